"""A flow: the calls behind a market's blocks, complete, in order, and enough to reproduce the market."""

from __future__ import annotations

import pytest
from support.worlds import START_BLOCK, START_TIME, Chain, make_snapshot

from protocol.errors import SimulationError
from simulator import records
from simulator.base_fork import Divergence
from simulator.engine import pool_from_snapshot
from simulator.flow import Flow, FlowBlock
from simulator.recorded import RecordedMarket
from simulator.recovery import RecoveredCall, apply_happening

UNIT = 10**18


async def test_a_markets_blocks_recover_to_the_calls_of_its_record() -> None:
    record = records.load("wbtc-weth-03")
    market = RecordedMarket(record)
    snapshot = await market.open_round(2000)
    blocks = [await market.next_block() for _ in range(2000)]
    flow, whole = Flow.recover(snapshot, blocks), record.flow()
    assert flow.blocks == whole.blocks[:2000]
    assert len(whole.blocks) == record.length_blocks - 1
    assert sum(isinstance(h, RecoveredCall) for block in whole.blocks for h in block.happenings) == 725
    pool = pool_from_snapshot(flow.snapshot)
    for block in flow.blocks:
        pool.timestamp = block.timestamp
        for happening in block.happenings:
            apply_happening(pool, happening)
    assert pool.sqrt_price_x96 == market.snapshot().sqrt_price_x96


def test_blocks_that_are_not_this_pools_are_refused() -> None:
    chain = Chain(make_snapshot())
    chain.swap(True, UNIT)
    with pytest.raises(Divergence):
        Flow.recover(make_snapshot(tick=60), [chain.block()])


@pytest.mark.parametrize(
    "blocks",
    [
        (FlowBlock(START_BLOCK + 2, START_TIME + 12, ()),),
        (FlowBlock(START_BLOCK + 1, START_TIME - 1, ()),),
        (FlowBlock(START_BLOCK + 1, START_TIME, ()), FlowBlock(START_BLOCK + 1, START_TIME, ())),
    ],
    ids=["a gap", "back in time", "twice"],
)
def test_a_flow_follows_its_snapshot_without_a_gap(blocks: tuple[FlowBlock, ...]) -> None:
    with pytest.raises(SimulationError, match="follow"):
        Flow(make_snapshot(), blocks)
