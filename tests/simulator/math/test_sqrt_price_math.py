from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.units import Q96
from simulator.math.revert import PoolRevert
from simulator.math.sqrt_price_math import (
    get_amount0_delta,
    get_amount0_delta_signed,
    get_amount1_delta,
    get_amount1_delta_signed,
    get_next_sqrt_price_from_amount0_rounding_up,
    get_next_sqrt_price_from_amount1_rounding_down,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
)
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO

PRICE = st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1)
LIQUIDITY = st.integers(1, 2**128 - 1)
AMOUNT = st.integers(0, 2**255)


@given(PRICE, PRICE, LIQUIDITY)
def test_amounts_enclose_the_true_ones_by_at_most_a_unit_each(price_a: int, price_b: int, liquidity: int) -> None:
    lower, upper = min(price_a, price_b), max(price_a, price_b)
    true0 = Fraction(liquidity * Q96 * (upper - lower), upper * lower)
    true1 = Fraction(liquidity * (upper - lower), Q96)
    for true, function in ((true0, get_amount0_delta), (true1, get_amount1_delta)):
        down = function(price_a, price_b, liquidity, round_up=False)
        up = function(price_b, price_a, liquidity, round_up=True)
        assert down <= true <= up
        assert up - down == (true.denominator != 1)


@given(PRICE, PRICE, st.integers(-(2**127), 2**127 - 1))
def test_signed_amounts_never_favour_the_position(price_a: int, price_b: int, liquidity_delta: int) -> None:
    up, size = liquidity_delta >= 0, abs(liquidity_delta)
    sign = 1 if up else -1
    assert get_amount0_delta_signed(price_a, price_b, liquidity_delta) == sign * get_amount0_delta(
        price_a, price_b, size, round_up=up
    )
    assert get_amount1_delta_signed(price_a, price_b, liquidity_delta) == sign * get_amount1_delta(
        price_a, price_b, size, round_up=up
    )


@given(PRICE, LIQUIDITY, AMOUNT, st.booleans())
def test_an_input_pays_for_the_whole_move(price: int, liquidity: int, amount_in: int, zero_for_one: bool) -> None:  # noqa: FBT001 hypothesis passes it by position
    try:
        moved = get_next_sqrt_price_from_input(price, liquidity, amount_in, zero_for_one=zero_for_one)
    except PoolRevert:
        assert not zero_for_one
        return
    assert moved <= price if zero_for_one else moved >= price
    assume(moved > 0)
    function = get_amount0_delta if zero_for_one else get_amount1_delta
    assert function(price, moved, liquidity, round_up=True) <= amount_in


@given(PRICE, LIQUIDITY, AMOUNT, st.booleans())
def test_an_output_is_covered_by_the_move(price: int, liquidity: int, amount_out: int, zero_for_one: bool) -> None:  # noqa: FBT001 hypothesis passes it by position
    try:
        moved = get_next_sqrt_price_from_output(price, liquidity, amount_out, zero_for_one=zero_for_one)
    except PoolRevert:
        return
    assert moved <= price if zero_for_one else moved >= price
    function = get_amount1_delta if zero_for_one else get_amount0_delta
    assert function(price, moved, liquidity, round_up=False) >= amount_out


def test_a_huge_input_takes_the_second_formula() -> None:
    # amount * price + liquidity * 2**96 is past 2**256: the quotient is rounded twice instead of once.
    price, liquidity, amount = 2**159 + 2**130 + 12345, 2**127 + 999, 2**97 + 7
    expected = -(-(liquidity << 96) // ((liquidity << 96) // price + amount))
    assert get_next_sqrt_price_from_amount0_rounding_up(price, liquidity, amount, add=True) == expected
    assert expected > -(-(liquidity << 96) * price // ((liquidity << 96) + amount * price))


@pytest.mark.parametrize("zero_for_one", [True, False])
def test_no_price_and_no_liquidity_revert(*, zero_for_one: bool) -> None:
    for function in (get_next_sqrt_price_from_input, get_next_sqrt_price_from_output):
        for price, liquidity in ((0, 1), (1, 0)):
            with pytest.raises(PoolRevert):
                function(price, liquidity, 10**17, zero_for_one=zero_for_one)


def test_more_than_the_reserves_cannot_leave() -> None:
    price, liquidity = 20282409603651670423947251286016, 1024
    for amount_out in (4, 5):
        with pytest.raises(PoolRevert):
            get_next_sqrt_price_from_output(price, liquidity, amount_out, zero_for_one=False)
    for amount_out in (262144, 262145, 2**161):
        with pytest.raises(PoolRevert):
            get_next_sqrt_price_from_output(price, liquidity, amount_out, zero_for_one=True)
    moved = get_next_sqrt_price_from_output(price, liquidity, 262143, zero_for_one=True)
    assert moved == 77371252455336267181195264


def test_no_amount_moves_no_price() -> None:
    assert get_next_sqrt_price_from_amount0_rounding_up(10**30, 10**18, 0, add=False) == 10**30
    assert get_next_sqrt_price_from_amount1_rounding_down(10**30, 10**18, 0, add=False) == 10**30


def test_amount0_needs_a_price() -> None:
    with pytest.raises(PoolRevert):
        get_amount0_delta(0, 10, 1, round_up=True)
