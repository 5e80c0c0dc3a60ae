"""A Slipstream pool's emissions: a rate out of a reserve, shared by the staked liquidity at the price."""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol.units import Q128
from simulator.math.full_math import mul_div
from simulator.math.integers import MASK_256


@dataclass(frozen=True, slots=True)
class Rewards:
    """What the pool remembers of its emissions. Raw reward tokens, seconds, growth Q128 per staked liquidity.

    `rollover` is what was emitted while nothing was staked at the price; the gauge gives it out again later.
    """

    reward_growth_global_x128: int = 0
    reward_rate: int = 0
    reward_reserve: int = 0
    period_finish: int = 0
    rollover: int = 0
    last_updated: int = 0


def update_rewards_growth_global(rewards: Rewards, time: int, staked_liquidity: int) -> Rewards:
    """Return the emissions counted up to a time; a second count at the same time changes nothing.

    Parameters: time  uint32   ·   staked_liquidity  uint128, what has been staked at the price since the last count
    Returns:    a new Rewards; never more than the reserve is given, growth floor, modulo 2**256. `period_finish` stops
                nothing. A clock that wrapped at 2**32 counts as an endless time, as the contract has it
    Raises:     PoolRevert("") if the growth of one count exceeds uint256
    Source:     slipstream CLPool._updateRewardsGrowthGlobal
    """
    elapsed_s = (time - rewards.last_updated) & MASK_256
    if elapsed_s == 0:
        return rewards
    if rewards.reward_reserve == 0:
        return replace(rewards, last_updated=time)
    # The product is not checked by the contract and wraps.
    reward = min(rewards.reward_rate * elapsed_s & MASK_256, rewards.reward_reserve)
    growth_x128, rollover = rewards.reward_growth_global_x128, rewards.rollover
    if staked_liquidity:
        growth_x128 = (growth_x128 + mul_div(reward, Q128, staked_liquidity)) & MASK_256
    else:
        rollover = (rollover + reward) & MASK_256
    return replace(
        rewards,
        reward_growth_global_x128=growth_x128,
        reward_reserve=rewards.reward_reserve - reward,
        rollover=rollover,
        last_updated=time,
    )


def sync_reward(rewards: Rewards, reward_rate: int, reward_reserve: int, period_finish: int) -> Rewards:
    """Return the emissions of a new period, whose reserve includes what had rolled over. Source: CLPool.syncReward."""
    return replace(
        rewards, reward_rate=reward_rate, reward_reserve=reward_reserve, period_finish=period_finish, rollover=0
    )
