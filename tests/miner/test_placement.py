import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.placement import clamp, fit, floor_tick, nearest_tick, value_in_token1
from protocol.units import MAX_TICK, MAX_UINT128, MIN_TICK
from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.sqrt_price_math import get_amount0_delta, get_amount1_delta
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.portfolio import Range


@given(st.integers(MIN_TICK, MAX_TICK), st.integers(1, 16384))
def test_alignment(tick: int, spacing: int) -> None:
    below, nearest = floor_tick(tick, spacing), nearest_tick(tick, spacing)
    assert below % spacing == nearest % spacing == 0
    assert below <= tick < below + spacing
    assert 2 * abs(nearest - tick) <= spacing


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (-60, 60, Range(-60, 60)),
        (-900_000, 900_000, Range(-887_220, 887_220)),
        (887_220, 887_280, None),
        (887_160, 900_000, Range(887_160, 887_220)),
        (60, 60, None),
    ],
)
def test_clamp_cuts_to_usable_ticks(lower: int, upper: int, expected: Range | None) -> None:
    assert clamp(lower, upper, 60, 1) == expected


def test_clamp_leaves_no_range_below_the_minimum() -> None:
    assert clamp(887_160, 900_000, 60, 61) is None


@given(
    st.tuples(st.integers(-88_000, 88_000), st.integers(1, 5000)).map(lambda t: Range(t[0], t[0] + t[1])),
    st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1),
    st.integers(0, 2**100),
    st.integers(0, 2**100),
)
def test_a_fit_is_as_large_as_can_be_and_no_larger_than_needed(
    position_range: Range, price: int, amount0: int, amount1: int
) -> None:
    offer = fit(position_range, price, amount0, amount1)
    lower, upper = (get_sqrt_ratio_at_tick(t) for t in (position_range.tick_lower, position_range.tick_upper))
    most = get_liquidity_for_amounts(price, lower, upper, amount0, amount1)
    if offer is None:
        assert most == 0
        return
    assert 0 <= offer.amount0 <= amount0
    assert 0 <= offer.amount1 <= amount1
    inside = min(max(price, lower), upper)
    assert offer.amount0 == min(get_amount0_delta(inside, upper, most, round_up=True), amount0)
    assert offer.amount1 == min(get_amount1_delta(lower, inside, most, round_up=True), amount1)


def test_a_fit_beyond_what_a_position_can_hold_is_none() -> None:
    assert fit(Range(-1, 1), 2**96, 2**255, 2**255) is None


def test_a_fit_offers_no_more_than_an_allocation_can_say() -> None:
    offer = fit(Range(-600_000, -599_999), MIN_SQRT_RATIO, 2**140, 0)
    assert offer is not None
    assert (offer.amount0, offer.amount1) == (MAX_UINT128, 0)


def test_value() -> None:
    assert value_in_token1(10, 3, 2**97) == 43
