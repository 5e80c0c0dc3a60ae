"""Geometry shared by strategies: aligned ranges around a price, and what fits into them without a swap."""

from __future__ import annotations

from protocol.units import MAX_UINT128, Q192
from simulator.math.liquidity_amounts import get_liquidity_for_amount0, get_liquidity_for_amount1
from simulator.math.revert import PoolRevert
from simulator.math.sqrt_price_math import get_amount0_delta, get_amount1_delta
from simulator.math.tick_math import get_sqrt_ratio_at_tick, max_usable_tick, min_usable_tick
from simulator.plan import Desired
from simulator.portfolio import Range

_MIN_SHARE = 50  # a position worth less than 1/50 of everything is not worth its gas


def floor_tick(tick: int, tick_spacing: int) -> int:
    """Return the highest aligned tick at or below `tick`."""
    return tick // tick_spacing * tick_spacing


def nearest_tick(tick: int, tick_spacing: int) -> int:
    """Return the aligned tick nearest to `tick`; halfway goes up."""
    return floor_tick(tick + tick_spacing // 2, tick_spacing)


def clamp(tick_lower: int, tick_upper: int, tick_spacing: int, min_width: int) -> Range | None:
    """Cut an aligned range to the pool's usable ticks.

    Parameters: tick_lower, tick_upper  aligned   ·   tick_spacing  > 0   ·   min_width  ticks
    Returns:    the range, or None if less than `min_width` of it is left
    Rounding:   none
    Raises:     nothing
    Source:     v3-core TickMath.MIN_TICK, MAX_TICK
    """
    lower = max(tick_lower, min_usable_tick(tick_spacing))
    upper = min(tick_upper, max_usable_tick(tick_spacing))
    return Range(lower, upper) if upper - lower >= max(min_width, 1) else None


def fit(position_range: Range, sqrt_price_x96: int, amount0: int, amount1: int) -> Desired | None:
    """Offer a range as much as the scarcer token allows, and of the other no more than that needs.

    Parameters: position_range  aligned   ·   sqrt_price_x96  Q64.96   ·   amount0, amount1  raw, what may be used
    Returns:    the offer, or None where no liquidity comes of it (or more than a position can hold)
    Rounding:   liquidity floored, amounts needed rounded up as the pool charges them, never above what may be used
    Raises:     nothing
    Source:     v3-periphery LiquidityAmounts; whitepaper eq. 6.29, 6.30
    """
    lower = get_sqrt_ratio_at_tick(position_range.tick_lower)
    upper = get_sqrt_ratio_at_tick(position_range.tick_upper)
    price = min(max(sqrt_price_x96, lower), upper)
    try:
        sides = []
        if price < upper:
            sides.append(get_liquidity_for_amount0(price, upper, amount0))
        if price > lower:
            sides.append(get_liquidity_for_amount1(lower, price, amount1))
        liquidity = min(sides)
    except PoolRevert:
        return None
    if liquidity == 0:
        return None
    need0 = get_amount0_delta(price, upper, liquidity, round_up=True)
    need1 = get_amount1_delta(lower, price, liquidity, round_up=True)
    offer = Desired(position_range, min(need0, amount0, MAX_UINT128), min(need1, amount1, MAX_UINT128))
    return offer if offer.amount0 or offer.amount1 else None


def value_in_token1(amount0: int, amount1: int, sqrt_price_x96: int) -> int:
    """Return what both amounts are worth at a price.

    Parameters: amount0, amount1  raw   ·   sqrt_price_x96  Q64.96
    Returns:    raw token1
    Rounding:   token0's value floored
    Raises:     nothing
    Source:     price = (sqrt_price_x96 / 2**96) ** 2
    """
    return amount0 * sqrt_price_x96**2 // Q192 + amount1


def base_and_limit(
    base_range: Range | None,
    *,
    sqrt_price_x96: int,
    tick: int,
    tick_spacing: int,
    min_width: int,
    limit_width: int,
    gap: int,
    amount0: int,
    amount1: int,
) -> tuple[Desired | None, Desired | None]:
    """Place two tokens without a swap: a base around the price, and what is left of one token beside the price.

    Parameters: base_range  aligned, None for no base   ·   tick, sqrt_price_x96  the pool's   ·   limit_width  ticks,
                aligned   ·   gap  spacings between the price and the limit position   ·   amount0, amount1  raw
    Returns:    (base, limit); either is None where it is worth less than 1/50 of everything, or cannot be placed. The
                limit lies above the price if token0 is left, below it if token1 is
    Rounding:   as `fit`; together never above what may be used
    Raises:     nothing
    Source:     strategy reference C1 P4
    """
    least = value_in_token1(amount0, amount1, sqrt_price_x96) // _MIN_SHARE
    base = None if base_range is None else fit(base_range, sqrt_price_x96, amount0, amount1)
    if base is not None and value_in_token1(base.amount0, base.amount1, sqrt_price_x96) < least:
        base = None
    if base is not None:
        amount0, amount1 = amount0 - base.amount0, amount1 - base.amount1
    if value_in_token1(amount0, 0, sqrt_price_x96) > amount1:
        lower = floor_tick(tick, tick_spacing) + (1 + gap) * tick_spacing
        limit_range, amount1 = clamp(lower, lower + limit_width, tick_spacing, min_width), 0
    else:
        upper = floor_tick(tick, tick_spacing) - gap * tick_spacing
        limit_range, amount0 = clamp(upper - limit_width, upper, tick_spacing, min_width), 0
    limit = None if limit_range is None else fit(limit_range, sqrt_price_x96, amount0, amount1)
    if limit is not None and value_in_token1(limit.amount0, limit.amount1, sqrt_price_x96) < least:
        limit = None
    return base, limit
