"""A change of liquidity in a range, computed without touching the pool."""

from __future__ import annotations

from typing import NamedTuple

from simulator.math.integers import to_int128
from simulator.math.liquidity_math import add_delta
from simulator.math.position import PositionInfo
from simulator.math.position import update as update_position
from simulator.math.revert import OFF_SPACING, PoolRevert
from simulator.math.sqrt_price_math import get_amount0_delta_signed, get_amount1_delta_signed
from simulator.math.tick import TickInfo, check_ticks, get_fee_growth_inside
from simulator.math.tick import update as update_tick
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.pool_state import PoolState, accumulators


class TickChange(NamedTuple):
    """A tick as it will be; `flipped` when it becomes or ceases to be initialised."""

    tick: int
    info: TickInfo
    flipped: bool


class LiquidityChange(NamedTuple):
    """Everything a change of liquidity changes. Amounts as the contract signs them: positive is paid to the pool.

    `ticks` is empty for a poke, `position` None without an owner, `liquidity` None when the range is not at the price.
    """

    amount0: int
    amount1: int
    ticks: tuple[TickChange, ...]
    position: PositionInfo | None
    liquidity: int | None


def compute_liquidity_change(
    pool: PoolState, tick_lower: int, tick_upper: int, liquidity_delta: int, position: PositionInfo | None
) -> LiquidityChange:
    """Return what adding or removing liquidity does to a pool.

    Parameters: liquidity_delta  int128, 0 = count the position's fees
                position  the owner's, None for liquidity without owner
    Returns:    amounts paid in ceil, amounts returned floor
    Raises:     PoolRevert: "TLU" "TLM" "TUM" for the ticks, "LO" "LS" "LA" for the liquidity, "NP" for poking nothing,
                "" for a tick off the spacing or a delta outside int128
    Source:     v3-core UniswapV3Pool._modifyPosition, _updatePosition
    """
    to_int128(liquidity_delta)
    check_ticks(tick_lower, tick_upper)
    changes = _tick_changes(pool, tick_lower, tick_upper, liquidity_delta) if liquidity_delta else ()
    if position is not None:
        ticks = {change.tick: change.info for change in changes} if changes else pool.ticks
        growths = get_fee_growth_inside(
            ticks, tick_lower, tick_upper, pool.tick, pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128
        )
        position = update_position(position, liquidity_delta, *growths)
    amount0, amount1 = _amounts(pool, tick_lower, tick_upper, liquidity_delta)
    in_range = liquidity_delta != 0 and tick_lower <= pool.tick < tick_upper
    liquidity = add_delta(pool.liquidity, liquidity_delta) if in_range else None
    return LiquidityChange(amount0, amount1, changes, position, liquidity)


def _tick_changes(pool: PoolState, tick_lower: int, tick_upper: int, liquidity_delta: int) -> tuple[TickChange, ...]:
    now = accumulators(pool)
    changes = []
    for tick, upper in ((tick_lower, False), (tick_upper, True)):
        info, flipped = update_tick(
            pool.ticks[tick],
            tick,
            pool.tick,
            liquidity_delta,
            now,
            upper=upper,
            max_liquidity=pool.max_liquidity_per_tick,
        )
        changes.append(TickChange(tick, info, flipped))
    # TickBitmap.flipTick refuses a tick off the spacing, and such a tick can only ever be fresh.
    if any(change.flipped and change.tick % pool.tick_spacing for change in changes):
        raise PoolRevert("", OFF_SPACING)
    return tuple(changes)


def _amounts(pool: PoolState, tick_lower: int, tick_upper: int, liquidity_delta: int) -> tuple[int, int]:
    """Below the range everything is token0, above it token1; the price divides it in between."""
    lower_x96, upper_x96 = get_sqrt_ratio_at_tick(tick_lower), get_sqrt_ratio_at_tick(tick_upper)
    if pool.tick < tick_lower:
        return get_amount0_delta_signed(lower_x96, upper_x96, liquidity_delta), 0
    if pool.tick >= tick_upper:
        return 0, get_amount1_delta_signed(lower_x96, upper_x96, liquidity_delta)
    return (
        get_amount0_delta_signed(pool.sqrt_price_x96, upper_x96, liquidity_delta),
        get_amount1_delta_signed(lower_x96, pool.sqrt_price_x96, liquidity_delta),
    )
