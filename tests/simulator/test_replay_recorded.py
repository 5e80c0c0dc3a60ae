"""On real markets a replay is the round, ledger for ledger, and a round is the same on either engine."""

from __future__ import annotations

import pytest
from support.what_ifs import HOW, assert_same, recorded


@pytest.mark.parametrize(("name", "length_blocks"), [("usdc-weth-005", 2500), ("wbtc-weth-03", 6000)])
async def test_a_recorded_market_is_replayed_as_the_round_played_it(name: str, length_blocks: int) -> None:
    what_if = await recorded(name, length_blocks=length_blocks, miners=5, seed=3)
    result = what_if.in_a_round()
    for engine, threads in HOW:
        assert_same(what_if.replayed(engine=engine, threads=threads), result)
        assert what_if.in_a_round(engine) == result
    ledgers = [p.ledger for p in result.participants if p.ledger is not None]
    assert sum(ledger.rebalances for ledger in ledgers) > 20 and any(ledger.swap_cost_x192 for ledger in ledgers)
