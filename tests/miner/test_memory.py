import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.queries import Shape, make_query, shapes, shown

from miner.memory import MAX_BARS, Expert, FeeMean, Memory, observe
from miner.span import LOG_TICK, Span, tick_of
from protocol.messages import RebalanceQuery, ShownPosition

START_S = 1_700_000_100  # a quarter of an hour begins here
DAY_S = 86_400


def at(
    seconds: int, *, tick: int = 0, positions: tuple[ShownPosition, ...] = (), round_id: str = "r"
) -> RebalanceQuery:
    return make_query(Shape(tick=tick, timestamp=START_S + seconds, positions=positions, round_id=round_id))


def see(*queries: RebalanceQuery, memory: Memory | None = None) -> Memory:
    memory = memory or Memory()
    for query in queries:
        memory = observe(memory, query, tick_of(query.context.sqrt_price_x96))
    return memory


def ticks(memory: Memory) -> list[tuple[int, list[int]]]:
    """Return the bars in quarters of an hour after the start and in ticks."""
    return [
        ((bar[0] // 1000 - START_S) // 900, [round(math.log(price) / LOG_TICK) for price in bar[1:5]])
        for bar in memory.bars
    ]


def test_prices_become_bars_that_open_where_the_last_one_closed() -> None:
    memory = see(at(0, tick=10), at(300, tick=30), at(600, tick=20), at(900, tick=50), at(3600, tick=70))
    assert ticks(memory) == [(0, [10, 30, 10, 20]), (1, [20, 50, 20, 50]), (4, [70, 70, 70, 70])]


def test_the_same_query_twice_changes_nothing_more() -> None:
    once = see(at(0, tick=10), at(300, tick=30))
    assert see(at(300, tick=30), memory=once) == once


def test_a_query_from_the_past_forgets_what_came_after_it() -> None:
    memory = see(at(0, tick=10), at(900, tick=20), at(10 * DAY_S, tick=90), at(910, tick=30))
    assert ticks(memory) == [(0, [10, 10, 10, 10]), (1, [10, 30, 10, 30])]
    assert memory.seen_s == START_S + 910


def test_memory_is_bounded() -> None:
    memory = see(*(at(900 * i, tick=i) for i in range(MAX_BARS + 50)))
    assert len(memory.bars) == MAX_BARS
    assert ticks(memory)[-1] == (MAX_BARS + 49, [MAX_BARS + 48, MAX_BARS + 49, MAX_BARS + 48, MAX_BARS + 49])
    assert len(json.dumps(memory.to_json())) < 100_000


def held(fees0: int, fees1: int, *, liquidity: int = 10**18, lower: int = -100) -> ShownPosition:
    return ShownPosition(
        tick_lower=lower, tick_upper=100, allocation0=1, allocation1=1, liquidity=liquidity, fees0=fees0, fees1=fees1
    )


def test_fees_are_measured_on_positions_that_stood_in_range() -> None:
    """At price 1, 3 + 5 parts in 1e6 of one unit of liquidity per day are 4e-6·365.25 a year of a full range's 2√P."""
    memory = see(at(0, positions=(held(0, 0),)), at(DAY_S // 2, positions=(held(3 * 10**12 // 2, 5 * 10**12 // 2),)))
    fast, slow = memory.fees
    assert math.isclose(fast.weighted / fast.seconds, 4e-6 * 365.25, rel_tol=1e-12)
    assert (fast.seconds, slow.readings) == (DAY_S / 2, 1)


@pytest.mark.parametrize(
    "later",
    [
        at(300, positions=(held(5, 5, liquidity=10**17),)),  # another position on the same range
        at(300, positions=(held(5, 5, lower=-110),)),  # another range
        at(300, positions=(held(5, 5),), tick=500),  # out of range by now
        at(300, positions=(held(5, 5),), round_id="next"),  # another fork
        at(0, positions=(held(5, 5),)),  # no time
        at(-300, positions=(held(5, 5),)),  # before
    ],
)
def test_nothing_else_is_taken_for_fees(later: RebalanceQuery) -> None:
    memory = see(at(0, positions=(held(1, 1),)), later)
    assert memory.fees[0].readings == 0


def test_collected_fees_are_no_negative_income() -> None:
    assert see(at(0, positions=(held(9, 9),)), at(300, positions=(held(5, 5),))).fees[0].readings == 0


def test_what_was_learned_long_ago_counts_less() -> None:
    mean = FeeMean().add(2.0, 600.0)
    aged = mean.age(6 * 3600.0, 6 * 3600.0)
    assert aged == FeeMean(600.0, 1200.0, 300.0, 0.5)
    assert aged.weighted / aged.seconds == mean.weighted / mean.seconds


def test_a_plan_is_in_force_once_its_ranges_are_shown() -> None:
    first = see(at(0)).with_plan(((-10, 10), (10, 20)), Span(-9.5, 9.5))
    assert first.plan is None
    shown_ranges = (shown(-10, 10, 1, 1), shown(10, 20, 1, 0))
    second = see(at(300, positions=shown_ranges), memory=first)
    assert second.plan is not None and second.plan.span == Span(-9.5, 9.5)
    assert see(at(300, positions=shown_ranges[:1]), memory=first).plan == second.plan  # one was not opened
    assert see(at(300, positions=(shown(-10, 30, 1, 1),)), memory=first).plan is None
    assert see(at(300), memory=first).plan is None


def test_until_a_new_plan_is_shown_the_old_one_is_in_force() -> None:
    old = (shown(-10, 10, 1, 1),)
    first = see(at(0)).with_plan(((-10, 10),), Span(-10, 10))
    second = see(at(300, positions=old), memory=first).with_plan(((10, 30),), Span(10, 30))
    still = see(at(600, positions=old), memory=second)
    assert still.plan is not None and still.plan.span == Span(-10, 10)
    new = see(at(600, positions=(shown(10, 30, 1, 1),)), memory=second)
    assert new.plan is not None and new.plan.span == Span(10, 30)


def test_time_out_of_range_counts_from_when_it_was_first_seen() -> None:
    far, near = (shown(500, 600, 1, 0),), (shown(-100, 100, 1, 1),)
    memory = see(at(0, positions=near), at(300, positions=far), at(900, positions=far))
    assert memory.out_since_s == START_S + 300
    assert see(at(1200, positions=far, tick=550), memory=memory).out_since_s is None
    other = (shown(700, 800, 1, 0),)
    assert see(at(1200, positions=other), memory=memory).out_since_s == START_S + 1200
    assert see(at(1200), memory=memory).out_since_s is None


@settings(max_examples=60)
@given(st.lists(shapes(), max_size=4))
def test_json_gives_the_same_memory_back(asked: list[Shape]) -> None:
    memory = see(*(make_query(shape) for shape in asked))
    memory = replace(memory.with_plan(((-10, 10),), Span(-9.5, 9.5)), experts=(Expert("a", -1.5, 0.5, 2.0, 7, 9),))
    assert Memory.from_json(json.loads(json.dumps(memory.to_json(), allow_nan=False))) == memory


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tick", "far"),
        ("tick", float("nan")),
        ("bars", [[0, 1, 1, 1, 1]]),
        ("bars", [[0, 1, 1, 0, 1, 0]]),
        ("bars", [[900_000, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 0]]),
        ("bars", None),
        ("fees", [{}]),
        ("fees", [{"weight": 1}, {}]),
        ("positions", [{"tick_lower": 1}]),
        ("plans", [[1, 2]]),
        ("experts", [{"name": "a"}]),
        ("seen_s", float("inf")),
    ],
)
def test_a_malformed_memory_is_a_value_error(field: str, value: object) -> None:
    with pytest.raises(ValueError):
        Memory.from_json({**Memory().to_json(), field: value})


def test_a_memory_without_a_field_is_malformed() -> None:
    with pytest.raises(ValueError, match="malformed memory"):
        Memory.from_json({})
