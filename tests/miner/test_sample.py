"""A sample question is one that a validator could have put."""

from __future__ import annotations

import pytest

from miner.sample import Sample, sample_query
from miner.strategies import NAMES, build
from miner.strategy import Positions, check_decision, owned
from protocol.messages import encode, parse_query


def test_it_is_a_valid_question_in_which_nothing_is_lost() -> None:
    first = build("band", {}).decide(sample_query())
    assert isinstance(first, Positions)
    query = sample_query(Sample(held=first.desired))
    assert parse_query(encode(query)) == query
    shown0, shown1 = owned(query)
    assert 0 <= 10 * 10**18 - shown0 < 10**6 and 0 <= 30_000 * 10**6 - shown1 <= len(first.desired)
    assert [(p.tick_lower, p.tick_upper) for p in query.current_positions] == [
        (d.range.tick_lower, d.range.tick_upper) for d in first.desired
    ]
    assert all(p.liquidity > 0 for p in query.current_positions)


def test_what_is_held_cannot_cost_more_than_there_is() -> None:
    first = build("band", {}).decide(sample_query())
    assert isinstance(first, Positions)
    with pytest.raises(ValueError, match="out of range"):
        sample_query(Sample(held=first.desired, amount0=0))


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_answers_it(name: str) -> None:
    assert check_decision(sample_query(), build(name, {}).decide(sample_query())) is None
