"""The recorded pools can fail: every one of these bugs makes the engine differ from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from support.planting import plant
from support.slipstream_trace import differences, load_pools

from simulator import slipstream, slipstream_fee, slipstream_reward, slipstream_stake, slipstream_swap, slipstream_tick
from simulator.slipstream import CLPool


class Bug(NamedTuple):
    """A wrong piece of one function."""

    function: Callable[..., Any]
    right: str
    wrong: str


FEE_AFTER_THE_SWAP = """fee_pips=(lambda twin: (
    commit_swap(twin._core, compute_swap(
        self._core, amount, limit, zero_for_one=zero_for_one), zero_for_one=zero_for_one),
    twin.fee_pips)[1])(self.copy()),"""

BUGS = {
    "the stakers' part is rounded down": Bug(
        slipstream_swap.calculate_fees, "mul_div_rounding_up(fee_amount,", "mul_div(fee_amount,"
    ),
    "the levy is rounded down": Bug(slipstream_swap.calculate_fees, "mul_div_rounding_up(rest,", "mul_div(rest,"),
    "the levy is taken of the whole fee": Bug(
        slipstream_swap.calculate_fees, "mul_div_rounding_up(rest,", "mul_div_rounding_up(fee_amount,"
    ),
    "fees grow per liquidity, staked or not": Bug(
        slipstream_swap.calculate_fees, "(liquidity - staked_liquidity) & MASK_128", "liquidity"
    ),
    "a wholly staked pool is divided too": Bug(
        slipstream_swap.calculate_fees, "if liquidity == staked_liquidity:", "if not fee_amount:"
    ),
    "a fall adds the stakes it leaves": Bug(
        slipstream_swap.StakedSwap.cross, "negated_int128(net) if zero_for_one else net", "net"
    ),
    "emissions are counted for the stakes after the swap": Bug(
        slipstream.CLPool.swap,
        "self.staked_liquidity, self._rewards = terms.staked_liquidity, terms.rewards",
        "self.staked_liquidity = terms.staked_liquidity; "
        "self._rewards = self._rewards_now() if terms.crossed else self._rewards",
    ),
    "emissions are counted in every swap": Bug(
        slipstream.CLPool._compute_swap, "rewards=self._rewards,", "rewards=self._rewards_now(),"
    ),
    "the fee is read after the swap": Bug(
        slipstream.CLPool._compute_swap, "fee_pips=self.fee_pips,", FEE_AFTER_THE_SWAP
    ),
    "the average tick is floored": Bug(
        slipstream_fee._ticks_from_average,
        "change // seconds_ago if change >= 0 else -(-change // seconds_ago)",
        "change // seconds_ago",
    ),
    "a ring must hold a slot a second": Bug(
        slipstream_fee._ticks_from_average, "seconds_ago // MIN_SECONDS_AGO", "seconds_ago"
    ),
    "any ring will do": Bug(
        slipstream_fee._ticks_from_average, "pool.observation_cardinality < seconds_ago // MIN_SECONDS_AGO", "False"
    ),
    "the cap bounds the dynamic part alone": Bug(
        slipstream_fee.DynamicFee.fee_pips,
        "min((self.base_fee or default_fee_pips) + away * scaling_factor // SCALING_PRECISION, fee_cap)",
        "(self.base_fee or default_fee_pips) + min(away * scaling_factor // SCALING_PRECISION, fee_cap)",
    ),
    "the discount is rounded down": Bug(
        slipstream_fee.DynamicFee.fee_pips, "mul_div_rounding_up(total,", "(lambda a, b, c: a * b // c)(total,"
    ),
    "the default factor keeps the pool's cap": Bug(
        slipstream_fee.DynamicFee.fee_pips, "scaling_factor, fee_cap = self.default_scaling_factor, ", "fee_cap = "
    ),
    "420 is a fee like any other": Bug(
        slipstream_fee.DynamicFee.fee_pips, "self.base_fee == ZERO_FEE_INDICATOR", "self.base_fee < 0"
    ),
    "emissions exceed the reserve": Bug(
        slipstream_reward.update_rewards_growth_global,
        "min(rewards.reward_rate * elapsed_s & MASK_256, rewards.reward_reserve)",
        "rewards.reward_rate * elapsed_s & MASK_256",
    ),
    "nothing rolls over": Bug(
        slipstream_reward.update_rewards_growth_global, "(rollover + reward) & MASK_256", "rollover"
    ),
    "an empty reserve stops the clock": Bug(
        slipstream_reward.update_rewards_growth_global, "return replace(rewards, last_updated=time)", "return rewards"
    ),
    "a new period keeps what rolled over": Bug(
        slipstream_reward.sync_reward, "rollover=0", "rollover=rewards.rollover"
    ),
    "a stake counts no emissions first": Bug(slipstream.CLPool.stake, "rewards = self._rewards_now()", "pass"),
    "stakes above the price count": Bug(
        slipstream.CLPool.stake, "tick_lower <= core.tick < tick_upper", "core.tick < tick_upper"
    ),
    "the lower tick is outside": Bug(
        slipstream.CLPool.stake, "tick_lower <= core.tick < tick_upper", "tick_lower < core.tick < tick_upper"
    ),
    "both ends of a stake add": Bug(
        slipstream_tick.update_stake, "net - staked_liquidity_delta if upper else net +", "net +"
    ),
    "the gauge is owed fees for a stake": Bug(
        slipstream_stake.move_position, "owed_as(gauge_after, of_gauge)", "gauge_after"
    ),
    "the gauge is owed fees for a burn": Bug(
        slipstream.CLPool._withhold_fees,
        "owed_as(self.positions[key], before), amount0, amount1",
        "self.positions[key], 0, 0",
    ),
    "a cleared tick keeps its stake": Bug(slipstream.CLPool._forget_stakes, "self._stakes.pop(tick, None)", "pass"),
    "rewards do not change sides": Bug(
        slipstream_tick.cross_stake,
        "(reward_growth_global_x128 - info.reward_growth_outside_x128) & MASK_256",
        "info.reward_growth_outside_x128",
    ),
    "rewards inside forget the upper side": Bug(
        slipstream_tick.get_reward_growth_inside, "tick_current >= tick_upper", "tick_current > tick_upper + 10**6"
    ),
    "the gauge is paid its last unit": Bug(
        slipstream.CLPool.collect_fees, "max(self.gauge_fees_0 - 1, 0)", "self.gauge_fees_0"
    ),
    "where one unit is left nothing is reported": Bug(
        slipstream.CLPool.collect_fees, "paid0 or self.gauge_fees_0, paid1 or self.gauge_fees_1", "paid0, paid1"
    ),
    "a flash is not divided": Bug(
        slipstream.CLPool.flash, "shares = self.staked_liquidity, self.unstaked_fee_pips", "shares = 0, 0"
    ),
    "a flash pays the spacing's fee": Bug(
        slipstream.CLPool.flash, "fee_pips=self.fee_pips", "fee_pips=self.default_fee_pips"
    ),
    "anyone may stake": Bug(slipstream.CLPool._require_caller, "by not in (None, *allowed) or ", ""),
    "a cap of 0 is taken as one": Bug(slipstream_fee.DynamicFee.with_settings, "if not fee_cap:", "if fee_cap < 0:"),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_recorded_pools_show_a_planted_bug(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = BUGS[name]
    plant(monkeypatch, bug.function, bug.right, bug.wrong)
    assert any(differences(record)[1] for record in load_pools())


# --- What the recorded pools do not meet ------------------------------------------------------------------------------


def a_stake_on_an_unused_tick_is_not_kept() -> None:
    pool = staked_pool()
    pool.stake(1, 300, 360, False)
    pool.mint("someone", 300, 360, 10**6)
    assert pool.ticks[300].staked_liquidity_net == 0


def emissions_outlast_their_period() -> None:
    pool = staked_pool()
    pool.sync_reward(3, 1000, pool.timestamp + 10)
    pool.timestamp += 100
    pool.update_rewards_growth_global()
    assert pool.reward_reserve == 700


def the_clock_wraps_as_a_long_time() -> None:
    pool = staked_pool()
    pool.timestamp = 2**32 - 5
    pool.update_rewards_growth_global()
    pool.sync_reward(1, 10**6, 0)
    pool.timestamp = 2**32 + 5
    pool.update_rewards_growth_global()
    assert (pool.reward_reserve, pool.last_updated) == (0, 5)


def a_gauge_without_a_name_owns_nothing() -> None:
    pool = CLPool(60, 3000, gauge=None)
    pool.initialize(2**96)
    pool.mint(None, -60, 60, 10**12)
    pool.swap(True, 10**6, None)
    assert pool.fees_owed(None, -60, 60)[0] > 0
    pool.burn(None, -60, 60, 0)
    assert pool.positions[(None, -60, 60)].tokens_owed_0 > 0


OWN = {
    a_stake_on_an_unused_tick_is_not_kept: Bug(slipstream_stake.stake_ticks, "pool.ticks[tick].initialized", "True"),
    emissions_outlast_their_period: Bug(
        slipstream_reward.update_rewards_growth_global,
        "elapsed_s = (time - rewards.last_updated)",
        "elapsed_s = (min(time, rewards.period_finish or time) - rewards.last_updated)",
    ),
    the_clock_wraps_as_a_long_time: Bug(
        slipstream_reward.update_rewards_growth_global,
        "rewards.last_updated) & MASK_256",
        "rewards.last_updated) % 2**32",
    ),
    a_gauge_without_a_name_owns_nothing: Bug(
        slipstream.CLPool._withhold_fees, "self.gauge is not None and key[0] == self.gauge", "key[0] == self.gauge"
    ),
}


def staked_pool() -> CLPool:
    """A pool at tick 0 with one position, all of it staked."""
    pool = CLPool(60, 3000)
    pool.timestamp = 1_700_000_000
    pool.initialize(2**96)
    pool.mint("nft", -60, 60, 10**12)
    pool.stake(10**12, -60, 60)
    return pool


@pytest.mark.parametrize("check", OWN, ids=lambda check: check.__name__)
def test_what_the_recorded_pools_do_not_meet(check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    check()
    plant(monkeypatch, *OWN[check])
    with pytest.raises(AssertionError):
        check()


def test_counting_at_every_crossing_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract counts once a swap to save gas: the second count would be at the same time, and change nothing."""
    plant(monkeypatch, slipstream_swap.StakedSwap.cross, "if not self.crossed:", "if True:")
    assert not any(differences(record)[1] for record in load_pools())
