"""Snapshots of a real pool on a real node: through the lens, plainly, and as the engine says it must be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from support.anvil_pool import CHAIN_ID, FEE, SPACING, AnvilPool, anvil_pool

from protocol.errors import ConfigError
from simulator.chain.abi import signed
from simulator.chain.artifacts import TICK_LENS
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.lens import lens_code
from simulator.chain.market import ChainMarket, ChainSettings, read_info
from simulator.chain.rpc import Absent, HttpRpc, Refused
from simulator.chain.snapshot import Reading, VaultQuery, bitmap_words, read_snapshot
from simulator.events import SwapEvent
from simulator.market import MarketInfo
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.pool import Pool
from simulator.portfolio import Range
from simulator.recovery import apply_call, apply_other, recover_call

SETTINGS = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=20)
EDGE = 887220


class CountingRpc:
    """Counts what is asked of a node, gives calls less gas, and can forget that it knows state overrides."""

    def __init__(
        self,
        rpc: HttpRpc,
        *,
        ignores_overrides: bool = False,
        refuses_overrides: bool = False,
        gas_cap: int | None = None,
    ) -> None:
        self._gas_cap = gas_cap
        self._rpc = rpc
        self.requests = 0
        self.questions = 0
        self._ignores, self._refuses = ignores_overrides, refuses_overrides

    async def ask(self, request: Any, *, deadline_s: float) -> Any:
        self.requests += 1
        self.questions += 1
        if len(request.params) == 3 and self._refuses:
            raise Refused("too many arguments, want at most 2", code=-32602)
        if len(request.params) == 3 and self._ignores:
            request = replace(request, params=request.params[:2])
        if self._gas_cap is not None:
            call, *rest = request.params
            request = replace(request, params=({**call, "gas": hex(self._gas_cap)}, *rest))
        return await self._rpc.ask(request, deadline_s=deadline_s)

    async def ask_all(self, requests: Any, *, deadline_s: float) -> Any:
        self.requests += 1
        self.questions += len(requests)
        return await self._rpc.ask_all(requests, deadline_s=deadline_s)

    async def close(self) -> None:
        await self._rpc.close()


@pytest.fixture
async def chain() -> AsyncIterator[AnvilPool]:
    async with anvil_pool(tick=100) as running:
        yield running


def endpoints_of(chain: AnvilPool) -> Endpoints:
    return Endpoints({"anvil": chain.rpc}, chain_id=CHAIN_ID)


async def busy_pool(chain: AnvilPool) -> MarketInfo:
    """Give the pool positions on both sides of the price, burnt ones, fees, and a protocol's share."""
    await chain.mint(-EDGE, EDGE, 10**21)
    for step in range(-8, 8):
        await chain.mint(step * 300, step * 300 + 600, 10**20 + step)
    await chain.managed_mint(-600, 1200, 10**18, 10**18)
    await chain.managed_mint(1800, 3000, 10**18, 10**18)
    await chain.mine()
    await chain.set_fee_protocol(4, 6)
    for amount in (10**18, 5 * 10**19, 10**20):
        await chain.swap(True, amount)
        await chain.swap(False, amount)
    await chain.burn(-300, 300, 10**20 - 1)
    await chain.swap(True, 4 * 10**20)
    await chain.mine()
    return await read_info(endpoints_of(chain), chain.pool, SETTINGS)


async def both_ways(chain: AnvilPool, info: MarketInfo, vault: VaultQuery | None) -> tuple[Reading, Reading]:
    header = await chain.head()
    through_lens, plainly = [
        await read_snapshot(chain.rpc, info, header, vault=vault, lens=lens, deadline_s=20)
        for lens in (lens_code(), None)
    ]
    return through_lens, plainly


async def test_lens_and_plain_way_read_the_same(chain: AnvilPool) -> None:
    info = await busy_pool(chain)
    for vault in (
        None,
        VaultQuery(chain.owner, chain.manager),
        VaultQuery(chain.payer, chain.manager, (Range(-300, 300), Range(-EDGE, EDGE))),
        VaultQuery(chain.payer, None, (Range(0, 60),)),
    ):
        through_lens, plainly = await both_ways(chain, info, vault)
        assert through_lens == plainly
    assert len(plainly.snapshot.ticks) >= 20
    assert plainly.vault is not None and plainly.vault.positions == (), "a range it does not hold"


async def test_vault_holds_what_the_position_manager_says(chain: AnvilPool) -> None:
    info = await busy_pool(chain)
    reading, _ = await both_ways(chain, info, VaultQuery(chain.owner, chain.manager))
    assert reading.vault is not None
    rows = [await chain.call(chain.manager, "positions(uint256)", token_id) for token_id in (1, 2)]
    expected = [(signed(row[5], 24), signed(row[6], 24), row[7], row[8], row[9], row[10], row[11]) for row in rows]
    found = [
        (
            *(p.range.tick_lower, p.range.tick_upper, p.liquidity),
            *(p.fee_growth_inside_0_last_x128, p.fee_growth_inside_1_last_x128, p.tokens_owed_0, p.tokens_owed_1),
        )
        for p in reading.vault.positions
    ]
    tokens = [info.token0.address, info.token1.address]
    idle = [(await chain.call(token, "balanceOf(address)", int(chain.owner, 16)))[0] for token in tokens]
    assert (found, reading.vault.idle0, reading.vault.idle1) == (expected, *idle)


async def test_snapshot_equals_the_engine_after_the_same_events(chain: AnvilPool) -> None:
    market = await start_at_initialisation(chain)
    await busy_pool(chain)
    engine = Pool(FEE, SPACING)
    engine.initialize(get_sqrt_ratio_at_tick(100))
    head: Header = await chain.head()
    while True:
        block = await market.next_block()
        engine.timestamp = block.timestamp
        for event in block.events:
            if isinstance(event, SwapEvent):
                call = recover_call(engine, event)
                assert call is not None
                apply_call(engine, call)
            else:
                apply_other(engine, event)
        if block.number == head.number:
            break
    reading, _ = await both_ways(chain, market.info, None)
    assert reading.snapshot == engine.to_snapshot(
        chain_id=CHAIN_ID,
        pair_address=chain.pool,
        block_number=head.number,
        block_hash=head.block_hash,
        timestamp=head.timestamp,
    )


async def start_at_initialisation(chain: AnvilPool) -> ChainMarket:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    assert (await market.open_round(10)).ticks == ()
    return market


async def test_ticks_equal_those_of_the_published_tick_lens(chain: AnvilPool) -> None:
    info = await busy_pool(chain)
    tick_lens = await chain._deploy(TICK_LENS.creation_code)
    reading, _ = await both_ways(chain, info, None)
    found: dict[int, tuple[int, int]] = {}
    for word in bitmap_words(SPACING):
        answer = await chain.call(tick_lens, "getPopulatedTicksInWord(address,int16)", int(chain.pool, 16), word)
        for at in range(2, 2 + 3 * answer[1], 3):
            tick, net, gross = answer[at : at + 3]
            found[signed(tick, 24)] = (gross, signed(net, 128))
    assert {tick: (s.liquidity_gross, s.liquidity_net) for tick, s in reading.snapshot.ticks} == found


async def test_pool_of_600_ticks_takes_one_call(chain: AnvilPool) -> None:
    """The size issue 4 names: at most two calls, against one per word and tick."""
    for step in range(-150, 150):
        await chain.mint(step * 120, step * 120 + 60, 10**18)
        if step % 25 == 0:
            await chain.mine()
    await chain.mine()
    info = await read_info(endpoints_of(chain), chain.pool, SETTINGS)
    header, lens, plain = await chain.head(), CountingRpc(chain.rpc), CountingRpc(chain.rpc)
    reading = await read_snapshot(lens, info, header, vault=None, lens=lens_code(), deadline_s=20)
    again = await read_snapshot(plain, info, header, vault=None, lens=None, deadline_s=20)
    assert reading == again
    assert (len(reading.snapshot.ticks), lens.requests) == (600, 1)
    assert plain.questions == 1 + 7 + len(bitmap_words(SPACING)) + 600


async def test_node_with_a_low_gas_cap_is_asked_in_pieces(chain: AnvilPool) -> None:
    info = await busy_pool(chain)
    header, vault = await chain.head(), VaultQuery(chain.owner, chain.manager)
    low, lower = CountingRpc(chain.rpc, gas_cap=4_900_000), CountingRpc(chain.rpc, gas_cap=1_000_000)
    readings = [
        await read_snapshot(n, info, header, vault=vault, lens=lens_code(), deadline_s=20) for n in (low, lower)
    ]
    plainly = await read_snapshot(chain.rpc, info, header, vault=vault, lens=None, deadline_s=20)
    assert readings == [plainly, plainly]
    assert 1 < low.requests == low.questions < 6
    assert lower.questions > 100, "a word a call is given up"


@pytest.mark.parametrize("fault", ["ignores_overrides", "refuses_overrides"])
async def test_node_without_state_overrides_is_read_plainly(chain: AnvilPool, fault: str) -> None:
    info = await busy_pool(chain)
    node = CountingRpc(chain.rpc, **{fault: True})
    header = await chain.head()
    reading = await read_snapshot(node, info, header, vault=None, lens=lens_code(), deadline_s=20)
    assert reading == await read_snapshot(chain.rpc, info, header, vault=None, lens=None, deadline_s=20)
    assert node.questions > 100


@pytest.mark.parametrize("is_lens", [True, False])
async def test_block_that_was_taken_back_is_an_error_and_no_answer(chain: AnvilPool, *, is_lens: bool) -> None:
    info = await busy_pool(chain)
    header = await chain.head()
    await chain.reorg(1)
    assert (await chain.head()).number == header.number
    with pytest.raises(Absent):
        await read_snapshot(chain.rpc, info, header, vault=None, lens=lens_code() if is_lens else None, deadline_s=20)


async def test_address_without_a_pool_is_the_operators_error(chain: AnvilPool) -> None:
    with pytest.raises(ConfigError, match="check the address"):
        await ChainMarket.connect(endpoints_of(chain), "0x" + "12" * 20, SETTINGS)


def test_lens_stays_within_its_bounds() -> None:
    assert len(lens_code()) // 2 - 1 < 6500, "the code travels with every call; docs/chain.md gives its size"
