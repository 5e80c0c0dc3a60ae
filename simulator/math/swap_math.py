"""One step of a swap: as far as the next price at constant liquidity, and no further than the amount allows."""

from __future__ import annotations

from simulator.math.full_math import mul_div, mul_div_rounding_up
from simulator.math.sqrt_price_math import (
    get_amount0_delta,
    get_amount1_delta,
    get_next_sqrt_price_from_input,
    get_next_sqrt_price_from_output,
)

PIPS = 10**6


def compute_swap_step(
    sqrt_ratio_current_x96: int, sqrt_ratio_target_x96: int, liquidity: int, amount_remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    """Return (sqrt_ratio_next_x96, amount_in, amount_out, fee_amount) of one step.

    Parameters: sqrt_ratio_*_x96  Q64.96; the target's side gives the direction   ·   liquidity  uint128
                amount_remaining  int256 raw, >= 0 exact input, < 0 exact output   ·   fee_pips  1e-6, < 1e6
    Returns:    price not beyond the target; amount_in and fee_amount ceil, amount_out floor; an exact input that stops
                short of the target leaves its whole rest as fee
    Raises:     PoolRevert("") where SqrtPriceMath does
    Source:     v3-core SwapMath.computeSwapStep
    """
    if amount_remaining >= 0:
        return _exact_input_step(sqrt_ratio_current_x96, sqrt_ratio_target_x96, liquidity, amount_remaining, fee_pips)
    return _exact_output_step(sqrt_ratio_current_x96, sqrt_ratio_target_x96, liquidity, -amount_remaining, fee_pips)


def _exact_input_step(
    current_x96: int, target_x96: int, liquidity: int, amount_remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    zero_for_one = current_x96 >= target_x96
    get_in, get_out = (get_amount0_delta, get_amount1_delta) if zero_for_one else (get_amount1_delta, get_amount0_delta)
    amount_remaining_less_fee = mul_div(amount_remaining, PIPS - fee_pips, PIPS)
    amount_in = get_in(target_x96, current_x96, liquidity, round_up=True)
    if amount_remaining_less_fee >= amount_in:
        next_x96 = target_x96
    else:
        next_x96 = get_next_sqrt_price_from_input(
            current_x96, liquidity, amount_remaining_less_fee, zero_for_one=zero_for_one
        )
        if next_x96 != target_x96:
            amount_in = get_in(next_x96, current_x96, liquidity, round_up=True)
    amount_out = get_out(next_x96, current_x96, liquidity, round_up=False)
    if next_x96 != target_x96:
        return next_x96, amount_in, amount_out, amount_remaining - amount_in
    return next_x96, amount_in, amount_out, mul_div_rounding_up(amount_in, fee_pips, PIPS - fee_pips)


def _exact_output_step(
    current_x96: int, target_x96: int, liquidity: int, amount_remaining: int, fee_pips: int
) -> tuple[int, int, int, int]:
    zero_for_one = current_x96 >= target_x96
    get_in, get_out = (get_amount0_delta, get_amount1_delta) if zero_for_one else (get_amount1_delta, get_amount0_delta)
    amount_out = get_out(target_x96, current_x96, liquidity, round_up=False)
    if amount_remaining >= amount_out:
        next_x96 = target_x96
    else:
        next_x96 = get_next_sqrt_price_from_output(current_x96, liquidity, amount_remaining, zero_for_one=zero_for_one)
        if next_x96 != target_x96:
            amount_out = get_out(next_x96, current_x96, liquidity, round_up=False)
    amount_in = get_in(next_x96, current_x96, liquidity, round_up=True)
    # Rounding the price past the target can yield one unit more than was asked for; the pool keeps it.
    amount_out = min(amount_out, amount_remaining)
    return next_x96, amount_in, amount_out, mul_div_rounding_up(amount_in, fee_pips, PIPS - fee_pips)
