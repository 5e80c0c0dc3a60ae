"""Moving liquidity between the position manager and the gauge, computed without touching the pool."""

from __future__ import annotations

from dataclasses import replace

from simulator.math.position import PositionInfo
from simulator.math.position import update as update_position
from simulator.math.tick import get_fee_growth_inside
from simulator.pool_state import PoolState, Storage
from simulator.slipstream_swap import negated_int128
from simulator.slipstream_tick import StakeInfo, update_stake


def move_position(
    pool: PoolState,
    of_nft: PositionInfo,
    of_gauge: PositionInfo,
    tick_lower: int,
    tick_upper: int,
    staked_liquidity_delta: int,
) -> tuple[PositionInfo, PositionInfo]:
    """Return both positions in a range after liquidity was staked or, with a negative delta, unstaked.

    Parameters: of_nft, of_gauge  the position manager's and the gauge's
                staked_liquidity_delta  int128, 0 = only count fees
    Returns:    (of_nft, of_gauge), new; the manager's is owed its fees up to now, floor, the gauge's none
    Raises:     PoolRevert: "NP" for a delta of 0 of nothing, "LS" "LA" for more than there is
    Source:     slipstream CLPool.stake, Position.update
    """
    growths = get_fee_growth_inside(
        pool.ticks, tick_lower, tick_upper, pool.tick, pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128
    )
    nft_after = update_position(of_nft, negated_int128(staked_liquidity_delta), *growths)
    gauge_after = update_position(of_gauge, staked_liquidity_delta, *growths)
    return nft_after, owed_as(gauge_after, of_gauge)


def stake_ticks(
    pool: PoolState, stakes: Storage[int, StakeInfo], tick_lower: int, tick_upper: int, staked_liquidity_delta: int
) -> dict[int, StakeInfo]:
    """Return the stakes of a range's ends after a change; an end that is not initialised keeps none.

    Parameters: staked_liquidity_delta  int128
    Returns:    by tick, only what changed
    Raises:     PoolRevert("") if a net leaves int128
    Source:     slipstream CLPool.stake
    """
    changed: dict[int, StakeInfo] = {}
    for tick, upper in ((tick_lower, False), (tick_upper, True)):
        if pool.ticks[tick].initialized:
            stake = changed.get(tick, stakes[tick])
            changed[tick] = update_stake(stake, staked_liquidity_delta, upper=upper)
    return changed


def owed_as(position: PositionInfo, other: PositionInfo) -> PositionInfo:
    """Return a position that is owed what another is."""
    return replace(position, tokens_owed_0=other.tokens_owed_0, tokens_owed_1=other.tokens_owed_1)
