from __future__ import annotations

from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.math.liquidity_amounts import (
    get_amount0_for_liquidity,
    get_amount1_for_liquidity,
    get_amounts_for_liquidity,
    get_liquidity_for_amount0,
    get_liquidity_for_amount1,
    get_liquidity_for_amounts,
)
from simulator.math.revert import PoolRevert
from simulator.math.sqrt_price_math import get_amount0_delta, get_amount1_delta
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO

PRICE = st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1)


def price(amount1: int, amount0: int) -> int:
    return isqrt((amount1 << 192) // amount0)


LOWER, UPPER = price(100, 110), price(110, 100)


@pytest.mark.parametrize(
    ("at", "liquidity", "amounts"),
    [
        (price(1, 1), 2148, (99, 99)),
        (price(99, 110), 1048, (99, 0)),
        (LOWER, 1048, (99, 0)),
        (price(111, 100), 2097, (0, 199)),
        (UPPER, 2097, (0, 199)),
    ],
)
def test_the_periphery_s_own_examples(at: int, liquidity: int, amounts: tuple[int, int]) -> None:
    assert get_liquidity_for_amounts(at, LOWER, UPPER, 100, 200) == liquidity
    assert get_liquidity_for_amounts(at, UPPER, LOWER, 100, 200) == liquidity
    assert get_amounts_for_liquidity(at, LOWER, UPPER, liquidity) == amounts
    assert get_amounts_for_liquidity(at, UPPER, LOWER, liquidity) == amounts


@given(PRICE, PRICE, PRICE, st.integers(0, 2**120), st.integers(0, 2**120))
def test_liquidity_never_costs_more_than_the_tokens_it_was_bought_with(
    at: int, price_a: int, price_b: int, amount0: int, amount1: int
) -> None:
    if price_a == price_b:
        return
    try:
        liquidity = get_liquidity_for_amounts(at, price_a, price_b, amount0, amount1)
    except PoolRevert:
        return
    lower, upper = min(price_a, price_b), max(price_a, price_b)
    inside = min(max(at, lower), upper)
    # Even with the pool's own rounding, upward.
    assert get_amount0_delta(inside, upper, liquidity, round_up=True) <= amount0
    assert get_amount1_delta(lower, inside, liquidity, round_up=True) <= amount1


@given(PRICE, PRICE, PRICE, st.integers(0, 2**128 - 1))
def test_amounts_are_what_the_pool_would_pay_out(at: int, price_a: int, price_b: int, liquidity: int) -> None:
    lower, upper = min(price_a, price_b), max(price_a, price_b)
    inside = min(max(at, lower), upper)
    assert get_amounts_for_liquidity(at, price_a, price_b, liquidity) == (
        get_amount0_delta(inside, upper, liquidity, round_up=False),
        get_amount1_delta(lower, inside, liquidity, round_up=False),
    )


def test_what_does_not_fit_reverts() -> None:
    calls = [
        lambda: get_liquidity_for_amount0(LOWER, LOWER, 1),
        lambda: get_liquidity_for_amount1(LOWER, LOWER, 1),
        lambda: get_liquidity_for_amount0(LOWER, LOWER + 1, 2**128),
        lambda: get_liquidity_for_amount1(LOWER, LOWER + 1, 2**128),
        lambda: get_amount0_for_liquidity(0, LOWER, 1),
    ]
    for call in calls:
        with pytest.raises(PoolRevert) as caught:
            call()
        assert caught.value.reason == ""
    assert get_amount1_for_liquidity(0, LOWER, 0) == 0
