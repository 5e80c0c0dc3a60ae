# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title  The vault's arithmetic, callable
"""

import vault_math as math


@external
@pure
def mul_div(a: uint256, b: uint256, denominator: uint256) -> uint256:
    return math.mul_div(a, b, denominator)


@external
@pure
def mul_div_rounding_up(a: uint256, b: uint256, denominator: uint256) -> uint256:
    return math.mul_div_rounding_up(a, b, denominator)


@external
@pure
def get_sqrt_ratio_at_tick(tick: int256) -> uint256:
    return math.get_sqrt_ratio_at_tick(tick)


@external
@pure
def get_amounts_for_liquidity(price: uint256, lower: uint256, upper: uint256, liquidity: uint256) -> (uint256, uint256):
    return math.get_amounts_for_liquidity(price, lower, upper, liquidity)


@external
@pure
def get_liquidity_for_amounts(price: uint256, lower: uint256, upper: uint256, amount0: uint256, amount1: uint256) -> uint256:
    return math.get_liquidity_for_amounts(price, lower, upper, amount0, amount1)


@external
@pure
def mean_tick(before: int256, now: int256, seconds: int256) -> int256:
    return math.mean_tick(before, now, seconds)


@external
@pure
def worth(sqrt_price: uint256, amount0: uint256, amount1: uint256) -> uint256:
    return math.worth(sqrt_price, amount0, amount1)
