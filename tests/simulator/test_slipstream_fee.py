"""The dynamic fee: distance from the average tick, cap, discount, and what the module refuses."""

from __future__ import annotations

from fractions import Fraction

import pytest
from support.slipstream_trace import everything

from protocol.units import Q128
from simulator.pool import PoolRevert
from simulator.slipstream import CLPool, DynamicFee
from simulator.slipstream_fee import DEFAULT_FEE_PIPS

T0 = 1_700_000_000


def make_pool(dynamic_fee: DynamicFee) -> CLPool:
    pool = CLPool(60, 3000, dynamic_fee=dynamic_fee)
    pool.timestamp = T0
    pool.initialize(2**96)
    pool.mint("nft", -600, 600, 10**18)
    return pool


def moving_pool(ticks: int, **settings: int) -> CLPool:
    """A pool that stood at one tick for long, then moved by so many ticks, one second ago."""
    pool = make_pool(
        dynamic_fee=DynamicFee(0, 50_000, fee_cap=50_000, scaling_factor=10**8, seconds_ago=600, **settings)
    )
    pool.increase_observation_cardinality_next(400)
    pool.timestamp += 1000
    pool.swap(ticks < 0, 10**30, int(Fraction(2**96) * (1 + Fraction(ticks, 20_000))))
    pool.timestamp += 1
    return pool


def test_the_fee_grows_with_the_distance_from_the_average() -> None:
    up, down = moving_pool(200), moving_pool(-200)
    # 599 seconds at tick 0 and one at the new tick: the average is a fraction of a tick and truncates to 0 both ways.
    assert (up.fee_pips, down.fee_pips) == (3000 + abs(up.tick) * 100, 3000 + abs(down.tick) * 100)
    up.timestamp += 599
    assert up.fee_pips == 3000


def test_the_fee_of_a_swap_is_the_one_before_it() -> None:
    pool = moving_pool(200)
    before = pool.fee_pips
    quote = pool.quote(True, 10**16, None)
    pool.swap(True, 10**16, None)
    # The two fees differ, and only the first divides what was paid.
    assert pool.fee_pips != before
    assert pool.gauge_fees_0 + pool.fee_growth_global_0_x128 * 10**18 // Q128 + 1 == 10**16 * before // 10**6
    assert (quote.sqrt_price_x96, quote.tick) == (pool.sqrt_price_x96, pool.tick)


def test_cap_discount_and_zero() -> None:
    pool = moving_pool(200)
    full = pool.fee_pips
    pool.set_dynamic_fee(0, 600, 10_000, 10**8)
    assert pool.fee_pips == 10_000 < full
    pool.set_dynamic_fee(0, 600, 0, 7, discount=333_333)
    assert pool.fee_pips == 10_000 - 3334  # the cap and factor before, the discount rounded up
    pool.set_dynamic_fee(420, 600, 0, 0)
    assert pool.fee_pips == 0
    pool.set_dynamic_fee(500, 1000, 50_000, 10**8)
    assert pool.fee_pips == 500  # 400 slots are too few for 1000 seconds


def test_the_ring_must_hold_a_slot_every_two_seconds() -> None:
    pool = moving_pool(200)
    assert pool.observation_cardinality == 400
    pool.set_dynamic_fee(0, 801, 50_000, 10**8)
    assert pool.fee_pips > 3000
    pool.set_dynamic_fee(0, 802, 50_000, 10**8)
    assert pool.fee_pips == 3000


def test_the_module_accepts_its_limits() -> None:
    limits = DynamicFee(10**18, 50_000, 30_000, 50_000, 10**18, 131_069, 500_000)
    assert CLPool(60, 3000, dynamic_fee=limits).fee_pips == 15_000
    assert CLPool(60, 3000, dynamic_fee=DynamicFee(0, 0, seconds_ago=2)).fee_pips == 0
    assert DEFAULT_FEE_PIPS == {1: 100, 50: 500, 100: 500, 200: 3000, 2000: 10_000}


@pytest.mark.parametrize("defaults", [(10**18 + 1, 0, "ISF"), (-1, 0, "ISF"), (0, 50_001, "MFC"), (0, -1, "MFC")])
def test_the_module_refuses_such_defaults(defaults: tuple[int, int, str]) -> None:
    scaling_factor, fee_cap, reason = defaults
    with pytest.raises(PoolRevert) as caught:
        DynamicFee(scaling_factor, fee_cap)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"base_fee": 30_001}, "MBF"),
        ({"fee_cap": 50_001}, "MFC"),
        ({"scaling_factor": 10**18 + 1}, "ISF"),
        ({"seconds_ago": 1}, "ISA"),
        ({"seconds_ago": 131_070}, "ISA"),
        ({"discount": 500_001}, "MDC"),
    ],
)
def test_the_module_refuses(settings: dict[str, int], reason: str) -> None:
    pool = make_pool(dynamic_fee=DynamicFee(10**6, 10_000))
    before = everything(pool)
    arguments = {
        "base_fee": 0,
        "seconds_ago": 600,
        "fee_cap": 10_000,
        "scaling_factor": 10**6,
        "discount": 0,
    } | settings
    with pytest.raises(PoolRevert) as caught:
        pool.set_dynamic_fee(**arguments)
    assert (caught.value.reason, everything(pool)) == (reason, before)
