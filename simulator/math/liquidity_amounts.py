"""How much liquidity tokens buy, and how many tokens liquidity holds: the position manager's own arithmetic.

It is not the pool's: it divides and truncates elsewhere, and buys at most what the tokens cover.
"""

from __future__ import annotations

from protocol.units import Q96
from simulator.math.full_math import mul_div
from simulator.math.integers import to_uint128
from simulator.math.revert import PoolRevert


def get_liquidity_for_amount0(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, amount0: int) -> int:
    """Return the liquidity that token0 buys between two prices.

    Parameters: sqrt_ratio_*_x96  Q64.96, any order, different   ·   amount0  uint256 raw
    Returns:    uint128, floor; the product of the two prices is floored first
    Raises:     PoolRevert("") if the prices are equal or the result exceeds uint128
    Source:     v3-periphery LiquidityAmounts.getLiquidityForAmount0
    """
    lower, upper = _sorted(sqrt_ratio_a_x96, sqrt_ratio_b_x96)
    intermediate = mul_div(lower, upper, Q96)
    return to_uint128(mul_div(amount0, intermediate, upper - lower))


def get_liquidity_for_amount1(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, amount1: int) -> int:
    """Return the liquidity that token1 buys between two prices.

    Parameters: sqrt_ratio_*_x96  Q64.96, any order, different   ·   amount1  uint256 raw
    Returns:    uint128, floor
    Raises:     PoolRevert("") if the prices are equal or the result exceeds uint128
    Source:     v3-periphery LiquidityAmounts.getLiquidityForAmount1
    """
    lower, upper = _sorted(sqrt_ratio_a_x96, sqrt_ratio_b_x96)
    return to_uint128(mul_div(amount1, Q96, upper - lower))


def get_liquidity_for_amounts(
    sqrt_ratio_x96: int, sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, amount0: int, amount1: int
) -> int:
    """Return the most liquidity that both amounts buy in a range at a price.

    Parameters: sqrt_ratio_x96  the pool's price   ·   sqrt_ratio_a/b_x96  the range, any order
                amount*  uint256 raw
    Returns:    uint128, floor; inside the range the smaller of the two sides
    Raises:     PoolRevert("") if the range is empty or a side exceeds uint128
    Source:     v3-periphery LiquidityAmounts.getLiquidityForAmounts
    """
    lower, upper = _sorted(sqrt_ratio_a_x96, sqrt_ratio_b_x96)
    if sqrt_ratio_x96 <= lower:
        return get_liquidity_for_amount0(lower, upper, amount0)
    if sqrt_ratio_x96 < upper:
        return min(
            get_liquidity_for_amount0(sqrt_ratio_x96, upper, amount0),
            get_liquidity_for_amount1(lower, sqrt_ratio_x96, amount1),
        )
    return get_liquidity_for_amount1(lower, upper, amount1)


def get_amount0_for_liquidity(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity: int) -> int:
    """Return the token0 that liquidity holds between two prices.

    Parameters: sqrt_ratio_*_x96  Q64.96, any order, > 0   ·   liquidity  uint128
    Returns:    raw token0, floor
    Raises:     PoolRevert("") if the lower price is 0
    Source:     v3-periphery LiquidityAmounts.getAmount0ForLiquidity
    """
    lower, upper = _sorted(sqrt_ratio_a_x96, sqrt_ratio_b_x96)
    quotient = mul_div(liquidity << 96, upper - lower, upper)
    if lower == 0:
        raise PoolRevert
    return quotient // lower


def get_amount1_for_liquidity(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity: int) -> int:
    """Return the token1 that liquidity holds between two prices.

    Parameters: sqrt_ratio_*_x96  Q64.96, any order   ·   liquidity  uint128
    Returns:    raw token1, floor
    Raises:     nothing
    Source:     v3-periphery LiquidityAmounts.getAmount1ForLiquidity
    """
    lower, upper = _sorted(sqrt_ratio_a_x96, sqrt_ratio_b_x96)
    return mul_div(liquidity, upper - lower, Q96)


def get_amounts_for_liquidity(
    sqrt_ratio_x96: int, sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int, liquidity: int
) -> tuple[int, int]:
    """Return (amount0, amount1) that liquidity holds in a range at a price.

    Parameters: sqrt_ratio_x96  the pool's price   ·   sqrt_ratio_a/b_x96  the range, any order, > 0
                liquidity  uint128
    Returns:    raw amounts, both floor
    Raises:     PoolRevert("") if the lower price is 0
    Source:     v3-periphery LiquidityAmounts.getAmountsForLiquidity
    """
    lower, upper = _sorted(sqrt_ratio_a_x96, sqrt_ratio_b_x96)
    if sqrt_ratio_x96 <= lower:
        return get_amount0_for_liquidity(lower, upper, liquidity), 0
    if sqrt_ratio_x96 < upper:
        return (
            get_amount0_for_liquidity(sqrt_ratio_x96, upper, liquidity),
            get_amount1_for_liquidity(lower, sqrt_ratio_x96, liquidity),
        )
    return 0, get_amount1_for_liquidity(lower, upper, liquidity)


def _sorted(sqrt_ratio_a_x96: int, sqrt_ratio_b_x96: int) -> tuple[int, int]:
    if sqrt_ratio_a_x96 > sqrt_ratio_b_x96:
        return sqrt_ratio_b_x96, sqrt_ratio_a_x96
    return sqrt_ratio_a_x96, sqrt_ratio_b_x96
