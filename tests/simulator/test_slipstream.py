"""Slipstream pools: what follows from the rules, whatever the numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pool_walk import LENGTH, PoolWalk
from support.slipstream_trace import everything

from protocol.errors import SimulationError
from protocol.units import Q128
from simulator.math.oracle import Observation
from simulator.math.tick_math import MIN_SQRT_RATIO
from simulator.pool import Pool, PoolRevert
from simulator.slipstream import CLPool, DynamicFee
from simulator.slipstream_reward import Rewards, update_rewards_growth_global
from simulator.slipstream_swap import calculate_fees, negated_int128

T0 = 1_700_000_000
MAX_UINT128 = 2**128 - 1
fees = st.one_of(st.integers(0, 2**20), st.integers(0, 2**120))
liquidities = st.one_of(st.integers(1, 2**10), st.integers(1, 2**128 - 1))
SHARED_VERBS = (
    "initialize",
    "mint",
    "burn",
    "collect",
    "swap",
    "observe",
    "snapshot_cumulatives_inside",
    "increase_observation_cardinality_next",
)


def make_pool(**settings: Any) -> CLPool:
    pool = CLPool(60, 3000, **settings)
    pool.timestamp = T0
    pool.initialize(2**96)
    pool.mint("nft", -600, 600, 10**18)
    return pool


# --- Against a V3 pool ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"gauge": None}, {"unstaked_fee_pips": 0}], ids=["no gauge", "no levy"])
def test_without_stakes_and_levy_it_is_a_v3_pool(settings: dict[str, Any]) -> None:
    compared = 0
    for index in range(40):
        walk = PoolWalk(3, index)
        pool, ours = Pool(walk.fee_pips, walk.spacing), CLPool(walk.spacing, walk.fee_pips, **settings)
        for _ in range(LENGTH):
            operation = walk.next(pool)
            if operation.verb not in SHARED_VERBS:
                continue
            before = everything(ours)
            answers = [answer(side, operation.timestamp, operation.verb, operation.arguments) for side in (pool, ours)]
            if answers[0] == ("reverted", "AI"):
                answers[0] = ("reverted", "")  # a Slipstream pool is initialised by its factory, and only once
            assert answers[1] == answers[0], operation
            assert answers[1][0] == "returned" or everything(ours) == before
            assert v3_state(ours) == v3_state(pool)
            compared += 1
    assert compared > 1000


def answer(pool: Pool | CLPool, timestamp: int, verb: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    pool.timestamp = timestamp
    try:
        return "returned", getattr(pool, verb)(*arguments)
    except PoolRevert as revert:
        return "reverted", revert.reason


def v3_state(pool: Pool | CLPool) -> list[Any]:
    growths = pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128
    ticks = {
        tick: (info.liquidity_gross, info.liquidity_net, info.fee_growth_outside_0_x128, info.fee_growth_outside_1_x128)
        for tick, info in pool.ticks.items()
    }
    positions = dict(pool.positions)
    return [pool.sqrt_price_x96, pool.tick, pool.liquidity, growths, pool.balance0, pool.balance1, ticks, positions]


# --- Fees -------------------------------------------------------------------------------------------------------------


@given(fees, liquidities, st.data())
def test_a_fee_is_divided_without_rest(fee: int, liquidity: int, data: st.DataObject) -> None:
    staked = data.draw(st.one_of(st.just(0), st.just(liquidity), st.integers(0, liquidity)))
    levy_pips = data.draw(st.sampled_from([0, 37, 100_000, 1_000_000]))
    growth, kept = calculate_fees(fee, liquidity, staked, levy_pips)
    unstaked = liquidity - staked
    assert kept <= fee
    if unstaked == 0:
        assert (growth, kept) == (0, fee)
        return
    # What the others get is what is not kept, less the rounding of one growth.
    assert fee - kept - Fraction(unstaked, Q128) < Fraction(growth * unstaked, Q128) <= fee - kept
    # The gauge gets its shares rounded up, twice.
    exact = Fraction(fee * staked, liquidity) + Fraction(fee * unstaked, liquidity) * levy_pips / 10**6
    assert exact <= kept < exact + 2


def test_a_wholly_staked_pool_gives_all_fees_to_the_gauge() -> None:
    pool = make_pool()
    pool.stake(10**18, -600, 600)
    pool.swap(True, 10**15, None)
    assert (pool.fee_growth_global_0_x128, pool.gauge_fees_0) == (0, 3 * 10**12)
    assert pool.fees_owed("gauge", -600, 600) == (0, 0)
    assert pool.collect_fees() == (3 * 10**12 - 1, 0)
    assert pool.collect_fees() == (1, 0)
    assert pool.gauge_fees_0 == 1


def test_staking_pays_the_manager_what_it_earned_and_the_gauge_nothing() -> None:
    pool = make_pool()
    pool.swap(True, 10**15, None)
    owed = pool.fees_owed("nft", -600, 600)
    assert 0 < owed[0] < 3 * 10**12 * 9 // 10 + 1
    pool.stake(10**18, -600, 600)
    position, staked = pool.positions[("nft", -600, 600)], pool.positions[("gauge", -600, 600)]
    assert (position.liquidity, (position.tokens_owed_0, position.tokens_owed_1)) == (0, owed)
    assert (staked.liquidity, staked.tokens_owed_0, staked.tokens_owed_1) == (10**18, 0, 0)
    pool.stake(-(10**18), -600, 600)
    assert pool.staked_liquidity == 0
    assert pool.collect("nft", -600, 600, MAX_UINT128, MAX_UINT128, by="nft") == owed


def test_the_levy_follows_the_factorys_rules() -> None:
    pool = make_pool()
    assert pool.unstaked_fee_pips == 100_000
    pool.set_fees(100_001, 1_000_001)
    assert (pool.fee_pips, pool.unstaked_fee_pips) == (3000, 100_000)
    pool.set_fees(100_000, 1_000_000)
    assert (pool.fee_pips, pool.unstaked_fee_pips) == (100_000, 1_000_000)
    assert CLPool(60, 3000, gauge=None).unstaked_fee_pips == 0


# --- Emissions --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**40), st.integers(0, 2**60), st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1), st.data())
def test_emissions_are_conserved(rate: int, reserve: int, time: int, staked: int, data: st.DataObject) -> None:
    start = Rewards(reward_rate=rate, reward_reserve=reserve, last_updated=data.draw(st.integers(0, time)))
    end = update_rewards_growth_global(start, time, staked)
    emitted = reserve - end.reward_reserve
    assert emitted == min(rate * (time - start.last_updated), reserve)
    assert end.rollover == (0 if staked else emitted)
    assert end.reward_growth_global_x128 == (emitted * Q128 // staked if staked else 0)
    # Counting again at the same time changes nothing, whoever is staked by then: one count a swap is enough.
    assert update_rewards_growth_global(end, time, staked // 2) == end


def test_the_smallest_emissions_are_counted() -> None:
    start = Rewards(reward_rate=1, reward_reserve=1, last_updated=T0)
    end = update_rewards_growth_global(start, T0 + 1, 1)
    assert (end.reward_growth_global_x128, end.reward_reserve, end.last_updated) == (Q128, 0, T0 + 1)


def test_the_lowest_int128_is_its_own_negative() -> None:
    assert [negated_int128(value) for value in (-(2**127), 1 - 2**127, -1, 0, 5)] == [-(2**127), 2**127 - 1, 1, 0, -5]


def test_the_first_crossing_counts_the_stakes_before_it() -> None:
    pool = make_pool()
    pool.mint("nft", -1200, -600, 10**18)
    pool.stake(10**18, -600, 600)
    pool.sync_reward(10**6, 10**12, T0 + 10**6)
    pool.timestamp += 100
    quiet = pool.copy()
    quiet.swap(True, 10**15, None)
    assert quiet.last_updated == T0  # no crossing, no count
    pool.swap(True, 10**18, None)
    assert (pool.staked_liquidity, pool.last_updated, pool.rollover) == (0, T0 + 100, 0)
    assert pool.reward_growth_global_x128 == 10**8 * Q128 // 10**18
    assert pool.get_reward_growth_inside(-600, 600) == pool.reward_growth_global_x128
    pool.timestamp += 50
    pool.update_rewards_growth_global()
    assert pool.rollover == 5 * 10**7


def test_stakers_share_the_emissions_by_liquidity_and_time() -> None:
    pool = make_pool()
    pool.mint("nft", -60, 60, 3 * 10**18)
    pool.update_rewards_growth_global()
    pool.sync_reward(10**18, 10**24, T0 + 10**6)
    pool.stake(10**18, -600, 600)
    pool.timestamp += 100
    pool.stake(3 * 10**18, -60, 60)
    inside = pool.get_reward_growth_inside(-60, 60)
    pool.timestamp += 100
    pool.update_rewards_growth_global()
    assert pool.get_reward_growth_inside(-600, 600) * 10**18 // Q128 == 125 * 10**18
    assert (pool.get_reward_growth_inside(-60, 60) - inside) * 3 * 10**18 // Q128 == 75 * 10**18


# --- Who may, and what is refused -------------------------------------------------------------------------------------


def test_refusals_leave_no_trace() -> None:
    pool = make_pool()
    pool.stake(10**17, -600, 600)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
        ("stake", (1, -600, 600), {"by": "stranger"}, "NG"),
        ("sync_reward", (1, 1, 1), {"by": "nft"}, "NG"),
        ("update_rewards_growth_global", (), {"by": "nft"}, "NG"),
        ("collect_fees", (), {"by": "nft"}, "NG"),
        ("burn", ("gauge", -600, 600, 1), {"by": "stranger"}, "NNFT"),
        ("collect", ("gauge", -600, 600, 1, 1), {"by": "stranger"}, "NNFT"),
        ("stake", (10**18, -600, 600), {}, "LS"),
        ("stake", (-(10**18), -600, 600), {}, "LS"),
        ("stake", (0, -60, 60), {}, "NP"),
        ("stake", (-(2**127), -60, 0), {}, "LS"),
        ("initialize", (2**96,), {}, ""),
        ("swap", (True, 0, None), {}, "AS"),
        ("swap", (True, 1, 2**100), {}, "SPL"),
        ("flash", (10**40, 0, 0, 0), {}, "TF"),
        ("flash", (10**40, 0, 10**41, 0), {}, "TF"),
        ("flash", (0, 10**40, 0, 10**41), {}, "TF"),
        ("flash", (1000, 0, 1002, 0), {}, "F0"),
        ("get_reward_growth_inside", (60, -60), {}, "TLU"),
    ]
    for verb, arguments, named, reason in calls:
        before = everything(pool)
        with pytest.raises(PoolRevert) as caught:
            getattr(pool, verb)(*arguments, **named)
        assert (verb, caught.value.reason, everything(pool)) == (verb, reason, before)


def test_nothing_works_before_initialisation_or_without_a_gauge() -> None:
    locked, alone = CLPool(60, 3000), CLPool(60, 3000, gauge=None)
    alone.initialize(2**96)
    for pool, reason in ((locked, "LOK"), (alone, "NG")):
        for verb, arguments in (
            ("stake", (0, -60, 60)),
            ("sync_reward", (0, 0, 0)),
            ("update_rewards_growth_global", ()),
            ("collect_fees", ()),
        ):
            with pytest.raises(PoolRevert) as caught:
                getattr(pool, verb)(*arguments)
            assert caught.value.reason == reason
    for verb, arguments in (("swap", (True, 1, None)), ("flash", (0, 0, 0, 0)), ("burn", ("a", -60, 60, 0))):
        with pytest.raises(PoolRevert) as caught:
            getattr(locked, verb)(*arguments)
        assert caught.value.reason == "LOK"


def test_what_no_contract_could_be_sent_is_the_callers_error() -> None:
    pool = make_pool()
    for call in (
        lambda: pool.stake(2**127, -60, 60),
        lambda: pool.stake(-(2**127) - 1, -60, 60),
        lambda: pool.sync_reward(-1, 0, 0),
        lambda: pool.set_fees(2**24, 0),
        lambda: pool.set_fees(0, 2**24),
        lambda: pool.flash(-1, 0, 0, 0),
        lambda: pool.swap(True, 2**255, None),
        lambda: pool.get_reward_growth_inside(-60, 60, 2**256),
        lambda: pool.set_dynamic_fee(0, 600, 0, 0),
        lambda: CLPool(16_384, 3000),
        lambda: CLPool(0, 3000),
        lambda: CLPool(60, -1),
        lambda: CLPool(60, 100_001),
    ):
        with pytest.raises(SimulationError):
            call()
    with pytest.raises(AttributeError):
        pool.tick = 5


def test_the_least_and_the_most_a_factory_allows() -> None:
    pools = [CLPool(1, 0), CLPool(16_383, 100_000)]
    assert [(pool.tick_spacing, pool.fee_pips, pool.gauge_fees_0, pool.gauge_fees_1) for pool in pools] == [
        (1, 0, 0, 0),
        (16_383, 100_000, 0, 0),
    ]


def test_what_the_manager_burns_of_the_gauges_is_owed_to_the_gauge() -> None:
    pool = make_pool()
    pool.stake(10**17, -600, 600)
    pool.swap(True, 10**15, None)
    pool.mint("gauge", -600, 600, 10**17)
    assert pool.fees_owed("gauge", -600, 600) == (0, 0)
    principal = pool.burn("gauge", -600, 600, 10**16, by="nft")
    assert pool.fees_owed("gauge", -600, 600) == principal > (0, 0)
    assert pool.collect("gauge", -600, 600, MAX_UINT128, MAX_UINT128, by="nft") == principal


def test_copies_and_quotes_are_apart() -> None:
    pool = make_pool(dynamic_fee=DynamicFee(10**8, 50_000))
    pool.stake(10**17, -600, 600)
    before = everything(pool)
    twin = pool.copy()
    twin.timestamp += 10
    twin.swap(True, 10**18, MIN_SQRT_RATIO + 1)
    twin.stake(10**17, -600, 600)
    twin.burn("nft", -600, 600, 8 * 10**17)
    twin.sync_reward(1, 2, 3)
    twin.set_dynamic_fee(420, 60, 0, 0)
    twin.apply_liquidity(-60, 60, 5)
    pool.quote(True, 10**18, partial=True)
    assert everything(pool) == before != everything(twin)


def test_ticks_can_be_read_as_a_mapping() -> None:
    pool = make_pool()
    pool.stake(10**17, -600, 600)
    assert sorted(pool.ticks) == [-600, 600] and len(pool.ticks) == 2 and 0 not in pool.ticks
    assert [pool.ticks[tick].staked_liquidity_net for tick in (-600, 0, 600)] == [10**17, 0, -(10**17)]
    assert not pool.ticks[0].initialized
    assert pool.observations == [Observation(T0, initialized=True)]
