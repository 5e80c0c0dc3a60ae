"""A replay is the round: ledger for ledger, on either engine, with any number of threads, shared or not."""

from __future__ import annotations

import pytest
from support.what_ifs import WhatIf, random_world, recorded

from simulator.engine import Engine
from simulator.native import is_built
from simulator.replay import Replay
from simulator.round import RoundResult

HOW = [("python", 1), ("native", 1), ("native", 2)] if is_built() else [("python", 1)]


def assert_same(replayed: Replay, result: RoundResult) -> None:
    """Every ledger, outcome and score."""
    assert replayed.ledgers == (result.benchmark, *(p.ledger for p in result.participants))
    assert replayed.outcomes[1:] == tuple(p.outcome for p in result.participants)
    assert replayed.scores()[1:] == tuple(p.score_e18 for p in result.participants)


@pytest.mark.parametrize("name", ["usdc-weth-005", "wbtc-weth-03"])
async def test_a_recorded_market_is_replayed_as_the_round_played_it(name: str) -> None:
    what_if = await recorded(name, length_blocks=1300, miners=5, seed=3)
    result = what_if.in_a_round()
    for engine, threads in HOW:
        assert_same(what_if.replayed(engine=engine, threads=threads), result)
    outcomes = {p.outcome for p in result.participants}
    ledgers = [p.ledger for p in result.participants if p.ledger is not None]
    assert len(outcomes) > 1 and sum(ledger.rebalances for ledger in ledgers) > 10


@pytest.mark.parametrize("seed", range(40))
def test_a_random_world_is_replayed_as_the_round_played_it(seed: int) -> None:
    what_if = random_world(seed)
    result = what_if.in_a_round()
    for engine, threads in HOW:
        for sharing in (True, False):
            assert_same(what_if.replayed(engine=engine, threads=threads, sharing=sharing), result)
