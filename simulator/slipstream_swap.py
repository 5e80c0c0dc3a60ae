"""Who gets the fees of a Slipstream pool, and what a swap moves there beyond a V3 swap."""

from __future__ import annotations

from protocol.units import Q128
from simulator.math.full_math import mul_div, mul_div_rounding_up
from simulator.math.integers import MASK_128, MASK_256
from simulator.math.liquidity_math import add_delta
from simulator.math.swap_math import PIPS
from simulator.pool_state import Storage
from simulator.slipstream_reward import Rewards, update_rewards_growth_global
from simulator.slipstream_tick import StakeInfo, cross_stake


def calculate_fees(fee_amount: int, liquidity: int, staked_liquidity: int, unstaked_fee_pips: int) -> tuple[int, int]:
    """Return (fee growth of the unstaked liquidity, what the gauge gets) of one fee.

    Parameters: fee_amount  uint256 raw   ·   liquidity  uint128, > 0   ·   staked_liquidity  uint128
                unstaked_fee_pips  1e-6, what the gauge takes of the fees of unstaked liquidity
    Returns:    growth Q128 floor; the gauge's part of staked liquidity ceil, and ceil again of the rest; raw. If more
                is staked than there is, which a gauge never does, the differences wrap as the contract's do
    Raises:     PoolRevert("") if a quotient exceeds uint256
    Source:     slipstream CLPool.calculateFees, splitFees, applyUnstakedFees
    """
    if liquidity == staked_liquidity:
        return 0, fee_amount
    of_stakers = mul_div_rounding_up(fee_amount, staked_liquidity, liquidity)
    rest = (fee_amount - of_stakers) & MASK_256
    levy = mul_div_rounding_up(rest, unstaked_fee_pips, PIPS)
    growth_x128 = mul_div(rest - levy, Q128, (liquidity - staked_liquidity) & MASK_128)
    return growth_x128, (of_stakers + levy) & MASK_256


def negated_int128(value: int) -> int:
    """Return -value as int128 holds it: the lowest value is its own negative."""
    return value if value == -(2**127) else -value


class StakedSwap:
    """One swap's terms: the fee as it was at its start, and stakes and rewards as they will be after it."""

    __slots__ = ("_time", "_unstaked_fee_pips", "crossed", "fee_pips", "rewards", "staked_liquidity", "stakes")

    def __init__(
        self,
        *,
        fee_pips: int,
        unstaked_fee_pips: int,
        staked_liquidity: int,
        stakes: Storage[int, StakeInfo],
        rewards: Rewards,
        time: int,
    ) -> None:
        self.fee_pips = fee_pips
        self.staked_liquidity = staked_liquidity
        self.stakes = stakes
        self.rewards = rewards
        self.crossed: list[tuple[int, StakeInfo]] = []
        self._unstaked_fee_pips = unstaked_fee_pips
        self._time = time

    def split_fee(self, fee_amount: int, liquidity: int) -> tuple[int, int]:
        """Return (what the gauge gets, the growth of the unstaked liquidity); without liquidity nobody gets it."""
        if liquidity == 0:
            return 0, 0
        growth_x128, kept = calculate_fees(fee_amount, liquidity, self.staked_liquidity, self._unstaked_fee_pips)
        return kept, growth_x128

    def cross(self, tick: int, *, zero_for_one: bool) -> None:
        """Move the staked liquidity and the rewards of a tick to the other side.

        Rewards are counted once, at the first crossing, for what was staked when the swap began: until then the price
        had been in that range.
        """
        if not self.crossed:
            self.rewards = update_rewards_growth_global(self.rewards, self._time, self.staked_liquidity)
        stake = self.stakes[tick]
        self.crossed.append((tick, cross_stake(stake, self.rewards.reward_growth_global_x128)))
        net = stake.staked_liquidity_net
        self.staked_liquidity = add_delta(self.staked_liquidity, negated_int128(net) if zero_for_one else net)
