"""What a Slipstream tick remembers beyond a V3 tick: staked liquidity, and the rewards of its other side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from simulator.math.integers import MASK_256, to_int128
from simulator.math.tick import TickInfo
from simulator.pool_state import Storage


class StakeInfo(NamedTuple):
    """The two fields that Slipstream adds to a tick. Net int128, growth Q128 modulo 2**256.

    The growth is not set when a tick is first used, so only its differences during one position's life mean anything.
    """

    staked_liquidity_net: int = 0
    reward_growth_outside_x128: int = 0


EMPTY_STAKE = StakeInfo()


class CLTickInfo(NamedTuple):
    """One tick, whole, in the order of the contract's getter."""

    liquidity_gross: int
    liquidity_net: int
    staked_liquidity_net: int
    fee_growth_outside_0_x128: int
    fee_growth_outside_1_x128: int
    reward_growth_outside_x128: int
    tick_cumulative_outside: int
    seconds_per_liquidity_outside_x128: int
    seconds_outside: int
    initialized: bool


class CLTicks(Mapping[int, CLTickInfo]):
    """A pool's initialised ticks, to be read; a tick that is not reads as the empty record."""

    __slots__ = ("_stakes", "_ticks")

    def __init__(self, ticks: Storage[int, TickInfo], stakes: Storage[int, StakeInfo]) -> None:
        self._ticks = ticks
        self._stakes = stakes

    def __getitem__(self, tick: int) -> CLTickInfo:
        info, stake = self._ticks[tick], self._stakes[tick]
        return CLTickInfo(
            info.liquidity_gross,
            info.liquidity_net,
            stake.staked_liquidity_net,
            info.fee_growth_outside_0_x128,
            info.fee_growth_outside_1_x128,
            stake.reward_growth_outside_x128,
            info.tick_cumulative_outside,
            info.seconds_per_liquidity_outside_x128,
            info.seconds_outside,
            info.initialized,
        )

    def __contains__(self, tick: object) -> bool:
        return tick in self._ticks

    def __iter__(self) -> Iterator[int]:
        return iter(self._ticks)

    def __len__(self) -> int:
        return len(self._ticks)


def update_stake(info: StakeInfo, staked_liquidity_delta: int, *, upper: bool) -> StakeInfo:
    """Return the tick's stake after a position on it was staked or unstaked.

    Parameters: staked_liquidity_delta  int128   ·   upper  the position ends here
    Returns:    a new StakeInfo
    Raises:     PoolRevert("") if the net leaves int128
    Source:     slipstream Tick.updateStake
    """
    net = info.staked_liquidity_net
    net = to_int128(net - staked_liquidity_delta if upper else net + staked_liquidity_delta)
    return StakeInfo(net, info.reward_growth_outside_x128)


def cross_stake(info: StakeInfo, reward_growth_global_x128: int) -> StakeInfo:
    """Return the tick's stake after the price crossed it: the rewards outside change sides.

    Parameters: reward_growth_global_x128  Q128 uint256, at the moment of crossing
    Returns:    a new StakeInfo, the difference modulo 2**256
    Raises:     nothing
    Source:     slipstream Tick.cross
    """
    return StakeInfo(
        info.staked_liquidity_net, (reward_growth_global_x128 - info.reward_growth_outside_x128) & MASK_256
    )


def get_reward_growth_inside(
    stakes: Mapping[int, StakeInfo],
    tick_lower: int,
    tick_upper: int,
    tick_current: int,
    reward_growth_global_x128: int,
) -> int:
    """Return the reward growth per unit of staked liquidity inside a range.

    Parameters: stakes  by tick, missing ones count as empty   ·   reward_growth_global_x128  Q128 uint256
    Returns:    Q128 modulo 2**256; only differences during one position's life mean anything
    Raises:     nothing
    Source:     slipstream Tick.getRewardGrowthInside
    """
    below = stakes.get(tick_lower, EMPTY_STAKE).reward_growth_outside_x128
    if tick_current < tick_lower:
        below = reward_growth_global_x128 - below
    above = stakes.get(tick_upper, EMPTY_STAKE).reward_growth_outside_x128
    if tick_current >= tick_upper:
        above = reward_growth_global_x128 - above
    return (reward_growth_global_x128 - below - above) & MASK_256
