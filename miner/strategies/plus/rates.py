"""What a position earns and loses while the price is inside it: exact rates, as fractions of its value per year."""

from __future__ import annotations

import math

from miner.span import LOG_TICK, Span
from miner.strategies.three_force.optimizer import value_per_liquidity

_Q128 = 2**128
_Q256 = 2**256


def lvr_rate(sigma: float, price: float, lower: float, upper: float) -> float:
    """Return what a position loses to those who know the price better.

    Parameters: sigma  per square root of a year   ·   price, lower, upper  of one token in the other, 0 < lower < upper
    Returns:    sigma²·√price / (4·value per unit of liquidity), 0 outside the range
    Rounding:   floats
    Raises:     ZeroDivisionError for prices of 0
    Source:     Milionis, Moallemi, Roughgarden, Zhang 2022; strategy reference B2.5
    """
    if not lower < price < upper:
        return 0.0
    return sigma**2 * math.sqrt(price) / (4 * value_per_liquidity(price, lower, upper))


def concentration(span: Span, x: float) -> float:
    """Return how many times a full range's fees and losses a position has per unit of value.

    Parameters: span  ticks   ·   x  the price in ticks
    Returns:    2√P / (value per unit of liquidity), 0 outside the span; 1/(1 − e^(−w/2)) for a symmetric one
    Rounding:   floats; relative to the price, so that no price overflows
    Raises:     nothing
    Source:     strategy reference B2.5
    """
    if not span.lower < x < span.upper:
        return 0.0
    return 2 / value_per_liquidity(1.0, *relative(span, x))


def relative(span: Span, x: float) -> tuple[float, float]:
    """Return a span's edges as multiples of a price.

    Parameters: span  ticks   ·   x  the price in ticks
    Returns:    (lower, upper), both > 0; beyond e^±200 cut off, where no pool is
    Rounding:   floats
    Raises:     nothing
    Source:     price = 1.0001^tick
    """
    lower, upper = (math.exp(min(max((edge - x) * LOG_TICK, -200.0), 200.0)) for edge in (span.lower, span.upper))
    return lower, upper


def fee_growth_value(before: tuple[int, int], after: tuple[int, int], price: float) -> float:
    """Return what one unit of liquidity earned between two readings of fee growth inside a range.

    Parameters: before, after  (token0, token1) fee growth, Q128.128, wrapping   ·   price  raw token1 per token0
    Returns:    raw token1 per unit of liquidity
    Rounding:   differences exact modulo 2^256, then floats
    Raises:     nothing
    Source:     whitepaper §6.3; strategy reference B2.5
    """
    growth0, growth1 = ((b - a) % _Q256 / _Q128 for a, b in zip(before, after, strict=True))
    return growth1 + growth0 * price


def full_range_fee_rate(earned: float, seconds: float, root_price: float) -> float:
    """Return the fee rate of a full range from what one unit of liquidity earned in range.

    Parameters: earned  raw token1 per unit of liquidity   ·   seconds  > 0   ·   root_price  √(raw price), > 0
    Returns:    per year of the full range's value 2√P
    Rounding:   floats
    Raises:     ZeroDivisionError for no time or no price
    Source:     strategy reference B2.5
    """
    return earned / (2 * root_price) * 31_557_600 / seconds


def fee_to_lvr(full_range_rate: float, sigma: float) -> float:
    """Return κ: how many times its loss to the informed a position earns, the same for every width.

    Parameters: full_range_rate  f0 per year   ·   sigma  per square root of a year, > 0
    Returns:    f0 / (sigma²/8)
    Rounding:   floats
    Raises:     ZeroDivisionError for no volatility
    Source:     strategy reference B2.5
    """
    return full_range_rate / (sigma**2 / 8)


def net_rate(full_range_rate: float, sigma: float, span: Span, x: float) -> float:
    """Return what a position earns less what it loses while the price is where it is.

    Parameters: full_range_rate  f0 per year   ·   sigma  per square root of a year   ·   span, x  ticks
    Returns:    per year of its value; 0 out of range
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.8
    """
    return (full_range_rate - sigma**2 / 8) * concentration(span, x)


def years_to_leave(sigma: float, down: float, up: float) -> float:
    """Return how long a price without drift stays between two edges, on average.

    Parameters: sigma  per square root of a year, > 0   ·   down, up  log distances to the edges
    Returns:    down·up / sigma², years
    Rounding:   floats
    Raises:     ZeroDivisionError for no volatility
    Source:     exit time of a Brownian motion; strategy reference B2.5
    """
    return down * up / sigma**2
