"""Amounts between two prices at constant liquidity, and the price an amount moves to.

Every rounding favours the pool: what must be paid is rounded up, what is paid out is rounded down, and a price never
moves further than the amount paid for it.
"""

from __future__ import annotations

from protocol.units import Q96
from simulator.math.full_math import mul_div, mul_div_rounding_up
from simulator.math.integers import MASK_160, MASK_256, add_uint256, to_int256, to_uint160
from simulator.math.revert import PoolRevert
from simulator.math.unsafe_math import div_rounding_up


def get_next_sqrt_price_from_amount0_rounding_up(sqrt_price_x96: int, liquidity: int, amount: int, *, add: bool) -> int:
    """Return the price after token0 was added to or removed from the virtual reserves.

    Parameters: sqrt_price_x96  Q64.96, > 0   ·   liquidity  uint128   ·   amount  uint256 raw token0
    Returns:    Q64.96, ceil: adding token0 must not lower the price too far, removing must raise it enough
    Raises:     PoolRevert("") if more is removed than the reserves hold, or the price leaves uint160
    Source:     v3-core SqrtPriceMath.getNextSqrtPriceFromAmount0RoundingUp
    """
    if amount == 0:
        return sqrt_price_x96
    numerator1 = liquidity << 96
    product = amount * sqrt_price_x96
    if add:
        denominator = numerator1 + product
        if denominator <= MASK_256:
            return mul_div_rounding_up(numerator1, sqrt_price_x96, denominator) & MASK_160
        # The exact formula would overflow 256 bits; the contract then uses this one, which rounds twice.
        return div_rounding_up(numerator1, add_uint256(numerator1 // sqrt_price_x96, amount)) & MASK_160
    if product > MASK_256 or numerator1 <= product:
        raise PoolRevert
    return to_uint160(mul_div_rounding_up(numerator1, sqrt_price_x96, numerator1 - product))


def get_next_sqrt_price_from_amount1_rounding_down(
    sqrt_price_x96: int, liquidity: int, amount: int, *, add: bool
) -> int:
    """Return the price after token1 was added to or removed from the virtual reserves.

    Parameters: sqrt_price_x96  Q64.96, > 0   ·   liquidity  uint128   ·   amount  uint256 raw token1
    Returns:    Q64.96, floor: adding token1 must not raise the price too far, removing must lower it enough
    Raises:     PoolRevert("") if more is removed than the reserves hold, or the price leaves uint160
    Source:     v3-core SqrtPriceMath.getNextSqrtPriceFromAmount1RoundingDown
    """
    if add:
        return to_uint160(add_uint256(sqrt_price_x96, mul_div(amount, Q96, liquidity)))
    if amount <= MASK_160:
        quotient = div_rounding_up(amount << 96, liquidity)
    else:
        quotient = mul_div_rounding_up(amount, Q96, liquidity)
    if sqrt_price_x96 <= quotient:
        raise PoolRevert
    return sqrt_price_x96 - quotient


def get_next_sqrt_price_from_input(sqrt_price_x96: int, liquidity: int, amount_in: int, *, zero_for_one: bool) -> int:
    """Return the price after an input of token0 (zero_for_one) or token1.

    Parameters: sqrt_price_x96  Q64.96, > 0   ·   liquidity  uint128, > 0   ·   amount_in  uint256 raw
    Returns:    Q64.96, rounded so that the target price is never passed
    Raises:     PoolRevert("") if price or liquidity is 0, or the price leaves uint160
    Source:     v3-core SqrtPriceMath.getNextSqrtPriceFromInput
    """
    if sqrt_price_x96 == 0 or liquidity == 0:
        raise PoolRevert
    if zero_for_one:
        return get_next_sqrt_price_from_amount0_rounding_up(sqrt_price_x96, liquidity, amount_in, add=True)
    return get_next_sqrt_price_from_amount1_rounding_down(sqrt_price_x96, liquidity, amount_in, add=True)


def get_next_sqrt_price_from_output(sqrt_price_x96: int, liquidity: int, amount_out: int, *, zero_for_one: bool) -> int:
    """Return the price after an output of token1 (zero_for_one) or token0.

    Parameters: sqrt_price_x96  Q64.96, > 0   ·   liquidity  uint128, > 0   ·   amount_out  uint256 raw
    Returns:    Q64.96, rounded so that the target price is passed
    Raises:     PoolRevert("") if price or liquidity is 0, or the reserves do not hold the output
    Source:     v3-core SqrtPriceMath.getNextSqrtPriceFromOutput
    """
    if sqrt_price_x96 == 0 or liquidity == 0:
        raise PoolRevert
    if zero_for_one:
        return get_next_sqrt_price_from_amount1_rounding_down(sqrt_price_x96, liquidity, amount_out, add=False)
    return get_next_sqrt_price_from_amount0_rounding_up(sqrt_price_x96, liquidity, amount_out, add=False)


def get_amount0_delta(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity: int, *, round_up: bool) -> int:
    """Return the token0 between two prices at constant liquidity: L * (1/sqrt(lower) - 1/sqrt(upper)).

    Parameters: sqrt_ratio_*_x96  Q64.96, any order, > 0   ·   liquidity  uint128
    Returns:    raw token0; ceil if round_up else floor, each of two divisions rounded that way
    Raises:     PoolRevert("") if the lower price is 0
    Source:     v3-core SqrtPriceMath.getAmount0Delta; whitepaper eq. 6.16
    """
    if sqrt_ratio_a_x96 > sqrt_ratio_b_x96:
        sqrt_ratio_a_x96, sqrt_ratio_b_x96 = sqrt_ratio_b_x96, sqrt_ratio_a_x96
    if sqrt_ratio_a_x96 == 0:
        raise PoolRevert
    numerator1 = liquidity << 96
    numerator2 = sqrt_ratio_b_x96 - sqrt_ratio_a_x96
    # numerator2 < sqrt_ratio_b, so neither quotient can exceed numerator1: mulDiv's overflow check cannot fire.
    if round_up:
        return -((-numerator1 * numerator2 // sqrt_ratio_b_x96) // sqrt_ratio_a_x96)
    return numerator1 * numerator2 // sqrt_ratio_b_x96 // sqrt_ratio_a_x96


def get_amount1_delta(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity: int, *, round_up: bool) -> int:
    """Return the token1 between two prices at constant liquidity: L * (sqrt(upper) - sqrt(lower)).

    Parameters: sqrt_ratio_*_x96  Q64.96, any order   ·   liquidity  uint128
    Returns:    raw token1; ceil if round_up else floor
    Raises:     nothing
    Source:     v3-core SqrtPriceMath.getAmount1Delta; whitepaper eq. 6.14
    """
    product = liquidity * abs(sqrt_ratio_b_x96 - sqrt_ratio_a_x96)
    return -(-product >> 96) if round_up else product >> 96


def get_amount0_delta_signed(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity_delta: int) -> int:
    """Return the token0 that a change of liquidity between two prices costs (positive) or returns (negative).

    Parameters: sqrt_ratio_*_x96  Q64.96, any order, > 0   ·   liquidity_delta  int128
    Returns:    raw token0, rounded up in signed value: a payment is rounded up, a return toward zero
    Raises:     PoolRevert("") if the lower price is 0
    Source:     v3-core SqrtPriceMath.getAmount0Delta, the overload with int128 liquidity
    """
    if liquidity_delta < 0:
        return -to_int256(get_amount0_delta(sqrt_ratio_a_x96, sqrt_ratio_b_x96, -liquidity_delta, round_up=False))
    return to_int256(get_amount0_delta(sqrt_ratio_a_x96, sqrt_ratio_b_x96, liquidity_delta, round_up=True))


def get_amount1_delta_signed(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity_delta: int) -> int:
    """Return the token1 that a change of liquidity between two prices costs (positive) or returns (negative).

    Parameters: sqrt_ratio_*_x96  Q64.96, any order   ·   liquidity_delta  int128
    Returns:    raw token1, rounded up in signed value: a payment is rounded up, a return toward zero
    Raises:     nothing
    Source:     v3-core SqrtPriceMath.getAmount1Delta, the overload with int128 liquidity
    """
    if liquidity_delta < 0:
        return -to_int256(get_amount1_delta(sqrt_ratio_a_x96, sqrt_ratio_b_x96, -liquidity_delta, round_up=False))
    return to_int256(get_amount1_delta(sqrt_ratio_a_x96, sqrt_ratio_b_x96, liquidity_delta, round_up=True))
