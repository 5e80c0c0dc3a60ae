"""A real pool on a real node, streamed into a round: equal after every swap, and through every fault."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool, anvil_pool
from support.naive_reader import NaiveReader, all_swaps
from support.worlds import make_opening

from protocol.errors import ChainError
from simulator.base_fork import Divergence
from simulator.chain.abi import signed
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.events import FeeProtocolEvent, FlashEvent, LiquidityEvent, SwapEvent
from simulator.fork import Inventory, virtual_vault
from simulator.market import Reorg
from simulator.participant import PoolView
from simulator.portfolio import Range
from simulator.round import Round
from simulator.snapshot import PoolSnapshot

SETTINGS = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=10, stall_s=0.2, give_up_s=5, kept_blocks=16)
EDGE = 887220
UNIT = 10**18


@pytest.fixture
async def chain() -> AsyncIterator[AnvilPool]:
    async with anvil_pool(tick=100) as running:
        await running.mint(-EDGE, EDGE, 10**21)
        for step in range(-8, 8):
            await running.mint(step * 300, step * 300 + 600, 10**20 + step)
        await running.mine()
        yield running


def endpoints_of(chain: AnvilPool) -> Endpoints:
    return Endpoints({"anvil": chain.rpc}, chain_id=CHAIN_ID)


def round_of(snapshot: PoolSnapshot) -> Round:
    inventory = Inventory(9 * UNIT, 9 * UNIT, ((Range(-600, 1200), 4 * UNIT, 4 * UNIT),))
    return Round(make_opening(snapshot, virtual_vault(snapshot, inventory), (), length_blocks=12))


async def real_pool(chain: AnvilPool) -> PoolView:
    slot0 = await chain.call(chain.pool, "slot0()")
    [liquidity] = await chain.call(chain.pool, "liquidity()")
    return PoolView(slot0[0], signed(slot0[1], 24), liquidity)


async def busy_block(chain: AnvilPool, step: int) -> None:
    await chain.swap(step % 2 == 0, (7 + step) * UNIT)
    await chain.swap(step % 2 == 1, -(5 + step) * UNIT)
    if step % 3 == 0:
        await chain.mint(-60 * (step + 1), 60 * (step + 2), 10**19)
    if step % 3 == 1:
        await chain.burn(-300, 300, 10**18)
    await chain.swap(step % 2 == 0, 60 * UNIT)
    await chain.mine()


async def test_base_fork_equals_the_chain_after_every_block_and_every_kind_of_event(chain: AnvilPool) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    snapshot = await market.open_round(12)
    engine = round_of(snapshot)
    seen: list[object] = []
    for step in range(12):
        if step == 3:
            await chain.flash(10**15, 7)
            await chain.set_fee_protocol(4, 10)
        if step == 5:
            await chain.flash(0, 0)
        if step != 7:
            await busy_block(chain, step)
        else:
            await chain.mine()
        block = await market.next_block()
        seen += block.events
        engine.advance(block)
        assert engine.pool == await real_pool(chain)
    after = await market.open_round(12)
    base = engine._base.pool.to_snapshot(
        chain_id=CHAIN_ID,
        pair_address=market.info.pair_address,
        block_number=after.block_number,
        block_hash=after.block_hash,
        timestamp=after.timestamp,
    )
    assert base == after, "fee growth and every tick, too: flashes and the protocol's share are in them"
    kinds = (SwapEvent, LiquidityEvent, FlashEvent, FeeProtocolEvent)
    assert [sum(isinstance(event, kind) for event in seen) for kind in kinds] == [33, 7, 2, 1]
    assert engine.is_finished


async def test_event_that_no_pool_has_makes_the_round_inconclusive(chain: AnvilPool) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    await market.open_round(12)
    code = await chain.ask("eth_getCode", chain.pool, "latest")
    await chain.ask("anvil_setCode", chain.pool, "0x600360006000a1")  # a log of topic 3, in the pool's name
    await chain.send(chain.pool, "0x")
    await chain.mine()
    await chain.ask("anvil_setCode", chain.pool, code)
    with pytest.raises(Divergence) as raised:
        await market.next_block()
    assert raised.value.kind == "unknown_event"
    assert (await market.open_round(12)).block_number == (await chain.head()).number, "the next round goes on"


@pytest.mark.parametrize("depth", [1, 3])
async def test_reorg_inside_a_round_is_told_with_its_ancestor_and_the_new_blocks_follow(
    chain: AnvilPool, depth: int
) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    engine = round_of(await market.open_round(12))
    blocks = []
    for step in range(5):
        await busy_block(chain, step)
        blocks.append(await market.next_block())
        engine.advance(blocks[-1])
    await chain.reorg(depth)
    await busy_block(chain, 5)
    with pytest.raises(Reorg) as raised:
        await market.next_block()
    ancestor = blocks[-1 - depth]
    found = (raised.value.ancestor_number, raised.value.ancestor_hash, raised.value.depth)
    assert found == (ancestor.number, ancestor.block_hash, depth)
    again = Round(engine.opening)  # what validator.rewind does with a whole run
    for block in blocks[:-depth]:
        again.advance(block)
    for _ in range(depth + 1):
        again.advance(await market.next_block())
    assert again.pool == await real_pool(chain)


async def test_naive_reader_ends_beside_the_chain_after_the_same_reorg(chain: AnvilPool) -> None:
    """What the market does is needed: numbers alone go on without a gap."""
    naive = NaiveReader(chain.anvil.url, chain.pool, (await chain.head()).number)
    for step in range(3):
        await busy_block(chain, step)
    await naive.catch_up()
    await chain.reorg(2)
    await busy_block(chain, 3)
    await naive.catch_up()
    assert naive.swaps != await all_swaps(chain)


async def test_reorg_below_what_is_kept_is_inconclusive(chain: AnvilPool) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    for _ in range(4):
        await chain.mine()
    await market.open_round(12)
    await chain.mine()
    await market.next_block()
    await chain.reorg(3)
    await chain.mine()
    with pytest.raises(Divergence) as raised:
        await market.next_block()
    assert raised.value.kind == "reorg_too_deep"


async def test_reorg_is_seen_though_no_block_follows(chain: AnvilPool) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    await market.open_round(12)
    for step in range(2):
        await busy_block(chain, step)
        await market.next_block()
    await chain.reorg(1)
    with pytest.raises(Reorg):
        await market.next_block()


async def test_settle_waits_for_confirmations_and_sees_a_reorg_under_them(chain: AnvilPool) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    await market.open_round(12)
    await busy_block(chain, 0)
    await market.next_block()
    waiting = asyncio.create_task(market.settle())
    await chain.mine()
    assert not waiting.done()
    await chain.mine()
    await waiting
    await chain.reorg(3)
    with pytest.raises(Reorg):
        await market.settle()


async def test_no_block_for_long_is_a_retryable_error(chain: AnvilPool) -> None:
    settings = ChainSettings(block_time_s=2, poll_s=0.01, stall_s=0.05, give_up_s=0.2)
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, settings)
    await market.open_round(12)
    with pytest.raises(ChainError, match="no new block") as raised:
        await market.next_block()
    assert raised.value.retryable


async def test_cancelling_the_wait_loses_no_block(chain: AnvilPool) -> None:
    market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
    snapshot = await market.open_round(12)
    numbers = []
    for _ in range(5):
        await chain.mine()
        task = asyncio.create_task(market.next_block())
        for _ in range(3):
            await asyncio.sleep(0)
        if task.cancel():
            await asyncio.gather(task, return_exceptions=True)
        numbers.append((await market.next_block()).number)
    assert numbers == list(range(snapshot.block_number + 1, snapshot.block_number + 6))


async def test_node_killed_and_restarted_is_read_again_by_the_same_market(free_port: int) -> None:
    settings = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=2, stall_s=0.2, give_up_s=3)
    async with anvil_pool(tick=100, port=free_port) as chain:
        await chain.mint(-EDGE, EDGE, 10**21)
        await chain.mine()
        endpoints = Endpoints.over_http([chain.anvil.url], chain_id=CHAIN_ID, attempt_s=0.3)
        market = await ChainMarket.connect(endpoints, chain.pool, settings)
        engine = round_of(await market.open_round(12))
        await busy_block(chain, 0)
        engine.advance(await market.next_block())
        os.killpg(chain.anvil.pid, signal.SIGKILL)
        await chain.anvil.wait()
        with pytest.raises(ChainError, match="no endpoint answers") as raised:
            await market.next_block()
        assert raised.value.retryable
    async with anvil_pool(tick=100, port=free_port) as chain:  # another chain: its state was lost
        await chain.mint(-EDGE, EDGE, 10**21)
        await chain.mine()
        engine = await recovered(market)
        await busy_block(chain, 0)
        engine.advance(await market.next_block())
        assert engine.pool == await real_pool(chain)
        await market.close()


async def recovered(market: ChainMarket) -> Round:
    """Open a round as a runner does: again and again until the chain is back."""
    async with asyncio.timeout(20):
        while True:
            try:
                return round_of(await market.open_round(12))
            except ChainError as error:
                assert error.retryable
