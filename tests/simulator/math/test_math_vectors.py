"""Every library call of the contract authors' own test suite, replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.vectors import load_vectors

from simulator.math.bit_math import least_significant_bit, most_significant_bit
from simulator.math.full_math import mul_div, mul_div_rounding_up
from simulator.math.liquidity_math import add_delta
from simulator.math.revert import PoolRevert
from simulator.math.sqrt_price_math import (
    get_amount0_delta,
    get_amount1_delta,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
)
from simulator.math.swap_math import compute_swap_step
from simulator.math.tick import tick_spacing_to_max_liquidity_per_tick
from simulator.math.tick_math import get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio

FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "getSqrtRatioAtTick": (56, get_sqrt_ratio_at_tick),
    "getTickAtSqrtRatio": (17, get_tick_at_sqrt_ratio),
    "computeSwapStep": (9, compute_swap_step),
    "getNextSqrtPriceFromInput": (14, lambda p, liq, a, z: get_next_sqrt_price_from_input(p, liq, a, zero_for_one=z)),
    "getNextSqrtPriceFromOutput": (14, lambda p, liq, a, z: get_next_sqrt_price_from_output(p, liq, a, zero_for_one=z)),
    "getAmount0Delta": (7, lambda a, b, liq, up: get_amount0_delta(a, b, liq, round_up=up)),
    "getAmount1Delta": (3, lambda a, b, liq, up: get_amount1_delta(a, b, liq, round_up=up)),
    "mostSignificantBit": (257, most_significant_bit),
    "leastSignificantBit": (257, least_significant_bit),
    "mulDiv": (8, mul_div),
    "mulDivRoundingUp": (10, mul_div_rounding_up),
    "addDelta": (6, add_delta),
    "tickSpacingToMaxLiquidityPerTick": (5, tick_spacing_to_max_liquidity_per_tick),
}


def answer(function: Callable[..., Any], args: list[Any]) -> list[Any] | str:
    """Return what a call returned as a list, or the reason of its revert."""
    try:
        result = function(*args)
    except PoolRevert as revert:
        return revert.reason
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_library_function_answers_as_recorded(name: str) -> None:
    count, function = FUNCTIONS[name]
    calls = load_vectors("math")[name]
    recorded = [(call["args"], call.get("ret", call.get("revert"))) for call in calls]
    assert [(args, answer(function, args)) for args, _ in recorded] == recorded
    assert len(recorded) == count


def test_no_recorded_function_is_left_out() -> None:
    vectors = load_vectors("math")
    assert sorted(vectors) == sorted(FUNCTIONS)
    assert sum(len(calls) for calls in vectors.values()) == 663
