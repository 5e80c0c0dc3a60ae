"""What a tick remembers: the liquidity that starts or ends there, and what had accrued on its other side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from protocol.units import MAX_TICK, MAX_UINT128, MIN_TICK
from simulator.math.integers import MASK_32, MASK_160, MASK_256, check_ints, to_int128, wrap_int56
from simulator.math.liquidity_math import add_delta
from simulator.math.revert import PoolRevert


class TickInfo(NamedTuple):
    """One tick. `*_outside_*` is what accrued on the side away from the price; only differences of it mean anything.

    A tuple, not a dataclass: every crossing makes one, and pools share them when copied.
    """

    liquidity_gross: int = 0
    liquidity_net: int = 0
    fee_growth_outside_0_x128: int = 0
    fee_growth_outside_1_x128: int = 0
    tick_cumulative_outside: int = 0
    seconds_per_liquidity_outside_x128: int = 0
    seconds_outside: int = 0
    initialized: bool = False


EMPTY_TICK = TickInfo()


class Accumulators(NamedTuple):
    """What a tick compares itself with: global fee growths (Q128, uint256), oracle cumulatives, block time (uint32)."""

    fee_growth_global_0_x128: int
    fee_growth_global_1_x128: int
    seconds_per_liquidity_cumulative_x128: int
    tick_cumulative: int
    time: int


def check_ticks(tick_lower: int, tick_upper: int) -> None:
    """Raise PoolRevert("TLU", "TLM" or "TUM") unless the ticks are in order and in range (UniswapV3Pool.checkTicks)."""
    check_ints(tick_lower, tick_upper)
    if tick_lower >= tick_upper:
        raise PoolRevert("TLU")
    if tick_lower < MIN_TICK:
        raise PoolRevert("TLM")
    if tick_upper > MAX_TICK:
        raise PoolRevert("TUM")


def tick_spacing_to_max_liquidity_per_tick(tick_spacing: int) -> int:
    """Return the most liquidity one tick may reference, so that all ticks together fit uint128.

    Parameters: tick_spacing  > 0
    Returns:    uint128, floor
    Raises:     nothing
    Source:     v3-core Tick.tickSpacingToMaxLiquidityPerTick
    """
    min_tick = -(-MIN_TICK // tick_spacing) * tick_spacing
    max_tick = MAX_TICK // tick_spacing * tick_spacing
    return MAX_UINT128 // ((max_tick - min_tick) // tick_spacing + 1)


def get_fee_growth_inside(
    ticks: Mapping[int, TickInfo],
    tick_lower: int,
    tick_upper: int,
    tick_current: int,
    fee_growth_global_0_x128: int,
    fee_growth_global_1_x128: int,
) -> tuple[int, int]:
    """Return the fee growth per unit of liquidity inside a range, (token0, token1).

    Parameters: ticks  by number, missing ones count as empty   ·   fee_growth_global_*_x128  Q128 uint256
    Returns:    Q128 modulo 2**256; only differences over time mean anything
    Raises:     nothing
    Source:     v3-core Tick.getFeeGrowthInside; whitepaper eq. 6.17 - 6.19
    """
    lower = ticks.get(tick_lower, EMPTY_TICK)
    upper = ticks.get(tick_upper, EMPTY_TICK)
    below0, below1 = lower.fee_growth_outside_0_x128, lower.fee_growth_outside_1_x128
    if tick_current < tick_lower:
        below0, below1 = fee_growth_global_0_x128 - below0, fee_growth_global_1_x128 - below1
    above0, above1 = upper.fee_growth_outside_0_x128, upper.fee_growth_outside_1_x128
    if tick_current >= tick_upper:
        above0, above1 = fee_growth_global_0_x128 - above0, fee_growth_global_1_x128 - above1
    return (
        (fee_growth_global_0_x128 - below0 - above0) & MASK_256,
        (fee_growth_global_1_x128 - below1 - above1) & MASK_256,
    )


def update(
    info: TickInfo,
    tick: int,
    tick_current: int,
    liquidity_delta: int,
    now: Accumulators,
    *,
    upper: bool,
    max_liquidity: int,
) -> tuple[TickInfo, bool]:
    """Return (the tick after a position on it changed, whether it became or ceased to be initialised).

    Parameters: liquidity_delta  int128   ·   upper  the position ends here   ·   max_liquidity  uint128
    Returns:    a new TickInfo; a tick first used at or below the price takes all growth so far as outside
    Raises:     PoolRevert: "LS" or "LA" from the gross liquidity, "LO" above max_liquidity, "" if the net leaves int128
    Source:     v3-core Tick.update
    """
    gross_before = info.liquidity_gross
    gross_after = add_delta(gross_before, liquidity_delta)
    if gross_after > max_liquidity:
        raise PoolRevert("LO")
    net = to_int128(info.liquidity_net - liquidity_delta if upper else info.liquidity_net + liquidity_delta)
    flipped = (gross_after == 0) != (gross_before == 0)
    outside = info[2:7]
    if gross_before == 0 and tick <= tick_current:
        outside = (
            now.fee_growth_global_0_x128,
            now.fee_growth_global_1_x128,
            now.tick_cumulative,
            now.seconds_per_liquidity_cumulative_x128,
            now.time,
        )
    return TickInfo(gross_after, net, *outside, info.initialized or gross_before == 0), flipped


def cross(info: TickInfo, now: Accumulators) -> TickInfo:
    """Return the tick after the price crossed it: every outside value changes sides.

    Parameters: now  the global values at the moment of crossing
    Returns:    a new TickInfo, each difference modulo its own width
    Raises:     nothing
    Source:     v3-core Tick.cross
    """
    gross, net, outside0, outside1, tick_cumulative, seconds_per_liquidity, seconds, initialized = info
    return TickInfo(
        gross,
        net,
        (now.fee_growth_global_0_x128 - outside0) & MASK_256,
        (now.fee_growth_global_1_x128 - outside1) & MASK_256,
        wrap_int56(now.tick_cumulative - tick_cumulative),
        (now.seconds_per_liquidity_cumulative_x128 - seconds_per_liquidity) & MASK_160,
        (now.time - seconds) & MASK_32,
        initialized,
    )
