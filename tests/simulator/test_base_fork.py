"""The base fork: where the chain is, when the chain is there, and how much happened on the way."""

from __future__ import annotations

import pytest
from support.worlds import START_BLOCK, START_TIME, Chain, make_snapshot

from simulator.base_fork import BaseFork
from simulator.engine import Engine
from simulator.native import is_built

UNIT = 10**18
ENGINES: list[Engine] = ["python", "native"] if is_built() else ["python"]


@pytest.mark.parametrize("engine", ENGINES)
def test_it_follows_the_chain_in_state_time_and_count(engine: Engine) -> None:
    chain = Chain(make_snapshot())
    base = BaseFork(make_snapshot(), engine=engine)
    for round_trip in (True, False, True):
        chain.swap(round_trip, UNIT)
        chain.change_liquidity(-60, 60, 10**18)
        block = chain.block()
        for event in block.events:
            base.apply(block, event)
    where = {"block_number": START_BLOCK, "block_hash": "", "timestamp": START_TIME, "chain_id": 1, "pair_address": ""}
    assert base.pool.to_snapshot(**where) == chain.pool.to_snapshot(**where)
    assert base.pool.timestamp == block.timestamp > START_TIME
    assert (base.swaps, base.liquidity_changes) == (3, 3)
