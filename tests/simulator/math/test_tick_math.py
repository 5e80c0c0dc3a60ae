from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.units import MAX_TICK, MIN_TICK
from simulator.math.revert import PoolRevert
from simulator.math.tick_math import (
    MAX_SQRT_RATIO,
    MIN_SQRT_RATIO,
    get_sqrt_ratio_at_tick,
    get_tick_at_sqrt_ratio,
    max_usable_tick,
    min_usable_tick,
)


@given(st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1))
@example(MIN_SQRT_RATIO)
@example(MAX_SQRT_RATIO - 1)
def test_the_tick_of_a_price_is_the_greatest_not_above_it(sqrt_price_x96: int) -> None:
    tick = get_tick_at_sqrt_ratio(sqrt_price_x96)
    assert get_sqrt_ratio_at_tick(tick) <= sqrt_price_x96 < get_sqrt_ratio_at_tick(tick + 1)


@given(st.integers(MIN_TICK, MAX_TICK - 1))
@example(MIN_TICK)
@example(-1)
@example(0)
@example(MAX_TICK - 1)
def test_ticks_survive_the_way_to_a_price_and_back(tick: int) -> None:
    ratio = get_sqrt_ratio_at_tick(tick)
    assert get_tick_at_sqrt_ratio(ratio) == tick
    assert get_tick_at_sqrt_ratio(get_sqrt_ratio_at_tick(tick + 1) - 1) == tick
    if tick > MIN_TICK:
        assert get_tick_at_sqrt_ratio(ratio - 1) == tick - 1


def test_the_ends() -> None:
    assert (get_sqrt_ratio_at_tick(MIN_TICK), get_sqrt_ratio_at_tick(MAX_TICK)) == (MIN_SQRT_RATIO, MAX_SQRT_RATIO)
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(PoolRevert) as caught:
            get_sqrt_ratio_at_tick(tick)
        assert caught.value.reason == "T"
    for sqrt_price_x96 in (0, MIN_SQRT_RATIO - 1, MAX_SQRT_RATIO):
        with pytest.raises(PoolRevert) as caught:
            get_tick_at_sqrt_ratio(sqrt_price_x96)
        assert caught.value.reason == "R"


@pytest.mark.parametrize(("spacing", "usable"), [(1, 887272), (10, 887270), (60, 887220), (200, 887200)])
def test_usable_ticks_are_symmetric(spacing: int, usable: int) -> None:
    assert (min_usable_tick(spacing), max_usable_tick(spacing)) == (-usable, usable)
