"""A vault with real positions on a real node: what it does itself stays on the base fork."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool, anvil_pool
from support.worlds import make_opening

from simulator.base_fork import Divergence
from simulator.chain.abi import BURN, MINT, call_data, keccak256, topic, words
from simulator.chain.blocks import Header, PoolLog
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.ownership import DECREASE, INCREASE, own_events
from simulator.chain.rpc import BadAnswer, Refused, ScriptedRpc
from simulator.chain.snapshot import VaultQuery
from simulator.events import Block, LiquidityEvent, SwapEvent
from simulator.evidence import block_from_json, block_to_json
from simulator.flow import Flow
from simulator.portfolio import Range
from simulator.round import Round

SETTINGS = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=10)
EDGE = 887220
UNIT = 10**18
OTHER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
MANAGED, DIRECT = Range(-600, 1200), Range(-1200, 600)


@pytest.fixture
async def chain() -> AsyncIterator[AnvilPool]:
    """A pool in which the payer holds liquidity itself, and the first account holds some through the manager."""
    async with anvil_pool(tick=100) as running:
        await running.mint(-EDGE, EDGE, 10**21)
        await running.mine()
        await running.managed_mint(MANAGED.tick_lower, MANAGED.tick_upper, 5 * UNIT, 5 * UNIT)
        await running.mint(DIRECT.tick_lower, DIRECT.tick_upper, 10**18)
        await running.mine()
        yield running


async def decrease(chain: AnvilPool, token_id: int, liquidity: int) -> None:
    fields = "uint256,uint128,uint256,uint256,uint256"
    data = call_data(f"decreaseLiquidity(({fields}))", token_id, liquidity, 0, 0, 2**64)
    await chain.send(chain.manager, data)


async def connect(chain: AnvilPool, vault: VaultQuery) -> ChainMarket:
    endpoints = Endpoints({"anvil": chain.rpc}, chain_id=CHAIN_ID)
    return await ChainMarket.connect(endpoints, chain.pool, SETTINGS, vault=vault)


async def test_what_a_vault_does_through_the_manager_is_its_own_and_on_no_other_fork(chain: AnvilPool) -> None:
    market = await connect(chain, VaultQuery(chain.owner, chain.manager))
    snapshot = await market.open_round(12)
    vault = market.vault
    assert vault is not None and [p.range for p in vault.positions] == [MANAGED]
    engine = Round(make_opening(snapshot, replace(vault, idle0=UNIT, idle1=UNIT), (), length_blocks=12))
    opened = engine._benchmark.fork.active_liquidity()

    await chain.swap(True, UNIT)
    await chain.managed_mint(-60, 360, UNIT, UNIT)  # the vault opens another position
    await chain.mint(-120, 420, 10**17)  # somebody else does, too
    await decrease(chain, 1, opened // 2)  # and the vault takes half of its first one out
    await chain.swap(False, UNIT)
    await chain.mine()
    block = await market.next_block()
    events = {event.log_index: event for event in block.events}
    own = [events[index] for index in block.own]
    assert [(type(e), e.tick_lower, e.tick_upper) for e in own if isinstance(e, LiquidityEvent)] == [
        (LiquidityEvent, -60, 360),
        (LiquidityEvent, MANAGED.tick_lower, MANAGED.tick_upper),
    ]
    assert len(own) == 2 and len(block.events) == 5
    assert block_from_json(block_to_json(block)) == block
    assert len(Flow.recover(snapshot, [block]).blocks[0].happenings) == 3

    engine.advance(block)
    after = await market.open_round(12)
    base, fork = engine._base.pool, engine._benchmark.fork
    assert (base.sqrt_price_x96, base.tick, base.liquidity) == (after.sqrt_price_x96, after.tick, after.liquidity)
    assert fork.active_liquidity() == opened, "the opening portfolio is as it was"
    assert fork.foreign_liquidity() == 10**21 + 10**18 + 10**17, "and the vault is nobody else"


async def test_what_a_vault_does_in_the_pool_itself_is_its_own(chain: AnvilPool) -> None:
    market = await connect(chain, VaultQuery(chain.payer, chain.manager, (DIRECT,)))
    await market.open_round(12)
    await chain.managed_mint(-60, 360, UNIT, UNIT)  # somebody else's
    await chain.burn(DIRECT.tick_lower, DIRECT.tick_upper, 10**17)
    await chain.swap(True, UNIT)
    await chain.flash(5, 7)
    await chain.mine()
    block = await market.next_block()
    assert [block.is_own(event) for event in block.events] == [False, True, True, True]
    assert isinstance(block.events[2], SwapEvent)


async def test_a_position_made_and_burnt_within_a_block_is_told_by_who_owned_it_before(chain: AnvilPool) -> None:
    market = await connect(chain, VaultQuery(chain.owner, chain.manager))
    await market.open_round(12)
    [liquidity] = [(await chain.call(chain.manager, "positions(uint256)", 1))[7]]
    await decrease(chain, 1, liquidity)
    await chain.send(
        chain.manager, call_data("collect((uint256,address,uint128,uint128))", 1, 0, 2**128 - 1, 2**128 - 1)
    )
    await chain.send(chain.manager, call_data("burn(uint256)", 1))  # nobody owns it when the block ends
    await chain.mine()
    block = await market.next_block()
    assert len(block.own) == 1 and block.is_own(block.events[0])


async def test_a_position_given_away_is_no_longer_the_vaults(chain: AnvilPool) -> None:
    market = await connect(chain, VaultQuery(chain.owner, chain.manager))
    await market.open_round(12)
    give = call_data("transferFrom(address,address,uint256)", int(chain.owner, 16), int(OTHER, 16), 1)
    await chain.send(chain.manager, give)
    await chain.mine()
    await chain.ask("anvil_setBalance", OTHER, hex(10**20))
    await chain.ask(
        "eth_sendTransaction",
        {
            "from": OTHER,
            "to": chain.manager,
            "gas": hex(10**6),
            "data": call_data("decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))", 1, 5, 0, 0, 2**64),
        },
    )
    await chain.mine()
    await market.next_block()
    block = await market.next_block()
    assert len(block.events) == 1 and block.own == ()


# ---- a manager that says what cannot be

HEADER = Header(7, "0x" + "07" * 32, "0x" + "06" * 32, 1000, 2**2048 - 1)
MANAGER, VAULT = "0x" + "0a" * 20, "0x" + "0b" * 20
MINTED = PoolLog(LiquidityEvent(3, -60, 60, 50, 1, 1), (MANAGER,))


def manager_log(signature: str, index: int, token_id: int, liquidity: int, *, fields: int = 3) -> dict[str, object]:
    return {
        "address": MANAGER,
        "topics": [topic(signature), "0x" + words(token_id).hex()],
        "data": "0x" + words(liquidity, 1, 1)[: 32 * fields].hex(),
        "blockNumber": "0x7",
        "blockHash": HEADER.block_hash,
        "logIndex": hex(index),
    }


async def own_of(logs: list[dict[str, object]], owner: str | None = VAULT) -> tuple[int, ...]:
    def answer(method: str, params: tuple[object, ...]) -> object:
        if method == "eth_getLogs":
            return logs
        if owner is None:
            raise Refused("execution reverted", code=3)
        return "0x" + words(int(owner, 16)).hex()

    vault = VaultQuery(VAULT, MANAGER)
    return await own_events(ScriptedRpc(answer), [MINTED], HEADER, vault, deadline_s=1)


async def test_the_managers_next_log_names_the_position() -> None:
    before, after = manager_log(INCREASE, 2, 8, 50), manager_log(INCREASE, 4, 9, 50)
    assert await own_of([before, after, manager_log(DECREASE, 9, 1, 7)]) == (3,)
    assert await own_of([after], owner=OTHER) == ()
    assert await own_of([after], owner=None) == ()


@pytest.mark.parametrize("logs", [[], [manager_log(INCREASE, 2, 8, 50)], [manager_log(INCREASE, 4, 9, 51)]])
async def test_a_change_that_the_manager_does_not_own_up_to_is_inconclusive(logs: list[dict[str, object]]) -> None:
    with pytest.raises(Divergence) as raised:
        await own_of(logs)
    assert raised.value.kind == "unknown_owner"


async def test_a_managers_log_that_is_cut_off_is_not_believed() -> None:
    with pytest.raises(BadAnswer):
        await own_of([manager_log(INCREASE, 4, 9, 50, fields=2)])


def test_no_vault_of_no_block_owns_anything() -> None:
    assert Block(7, "0x", "0x", 1, (MINTED.event,)).is_own(MINTED.event) is False
    assert {topic(INCREASE), topic(DECREASE)}.isdisjoint({topic(MINT), topic(BURN)})
    assert topic(INCREASE) == "0x" + keccak256(INCREASE.encode()).hex()
