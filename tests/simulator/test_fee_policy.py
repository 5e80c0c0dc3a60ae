"""Protocol fees: two contracts' settings that mean the same share give the same pool."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pool_duel import answer
from support.pool_fields import FIELDS
from support.pool_walk import LENGTH, Operation, PoolWalk

from protocol.errors import SimulationError
from simulator.family import Family
from simulator.fee_policy import PANCAKE_V3, PANCAKE_V3_TIERS, UNISWAP_V3, ProtocolFeePolicy
from simulator.pool import Pool, PoolRevert

SAME_SHARE = {0: 0, 4: 2500, 5: 2000, 8: 1250, 10: 1000}
policies = st.sampled_from([UNISWAP_V3, PANCAKE_V3])
amounts = st.one_of(st.integers(0, 10_000), st.integers(0, 2**240))


@given(policies, st.integers(0, 15), st.integers(0, 15))
def test_two_settings_share_a_slot(policy: ProtocolFeePolicy, setting0: int, setting1: int) -> None:
    assert policy.decode(policy.encode(setting0, setting1)) == (setting0, setting1)
    # Without a denominator 1/4 .. 1/10 are allowed, with one 10 .. 40 %.
    assert [s for s in range(70_000) if UNISWAP_V3.is_allowed(s)] == [0, *range(4, 11)]
    assert [s for s in range(70_000) if PANCAKE_V3.is_allowed(s)] == [0, *range(1000, 4001)]


def test_slots_as_the_contracts_lay_them_out() -> None:
    assert (UNISWAP_V3.encode(4, 10), UNISWAP_V3.decode(0xA4)) == (0xA4, (4, 10))
    assert (PANCAKE_V3.encode(1000, 4000), PANCAKE_V3.decode(4000 << 16 | 1000)) == (4000 << 16 | 1000, (1000, 4000))


@given(amounts, st.sampled_from([4, 5, 8, 10]))
def test_the_same_share_of_a_fee(fee: int, setting: int) -> None:
    assert UNISWAP_V3.share_of_swap_fee(fee, setting) == PANCAKE_V3.share_of_swap_fee(fee, SAME_SHARE[setting])
    assert UNISWAP_V3.share_of_flash_fee(fee, setting) == PANCAKE_V3.share_of_flash_fee(fee, SAME_SHARE[setting])


@given(amounts, st.integers(1000, 4000))
def test_a_share_is_rounded_down(fee: int, setting: int) -> None:
    share = PANCAKE_V3.share_of_swap_fee(fee, setting)
    assert share * 10_000 <= fee * setting < (share + 1) * 10_000
    assert PANCAKE_V3.share_of_flash_fee(fee, setting) == share


def test_products_beyond_a_word() -> None:
    with pytest.raises(PoolRevert) as caught:
        PANCAKE_V3.share_of_swap_fee(2**250, 4000)
    assert caught.value.reason == ""
    assert PANCAKE_V3.share_of_flash_fee(2**250, 4000) == (2**250 * 4000 % 2**256) // 10_000
    assert UNISWAP_V3.share_of_swap_fee(2**256 - 1, 4) == 2**254 - 1


def test_a_new_pancake_pool_starts_with_its_tiers_share() -> None:
    started = {}
    for fee_pips, tick_spacing in PANCAKE_V3_TIERS.items():
        pool = Pool(fee_pips, tick_spacing, PANCAKE_V3)
        assert pool.fee_protocol == 0
        pool.initialize(2**96)
        started[fee_pips] = pool.fee_protocol
    assert PANCAKE_V3_TIERS == {100: 1, 500: 10, 2500: 50, 10_000: 200}
    assert started == {100: 216272100, 500: 222825800, 2500: 209718400, 10_000: 209718400}


def test_the_same_share_gives_the_same_pool() -> None:
    compared = 0
    for index in range(60):
        walk = PoolWalk(11, index)
        uniswap, pancake = Pool(walk.fee_pips, walk.spacing), Pool(walk.fee_pips, walk.spacing, PANCAKE_V3)
        for _ in range(LENGTH):
            operation = walk.next(uniswap)
            theirs = operation
            if operation.verb == "set_fee_protocol":
                if not set(operation.arguments) <= set(SAME_SHARE):
                    continue
                settings = tuple(SAME_SHARE[setting] for setting in operation.arguments)
                theirs = Operation(operation.timestamp, operation.verb, settings)
            locked = uniswap.sqrt_price_x96 == 0
            assert answer(pancake, theirs) == answer(uniswap, operation), operation
            if locked:
                pancake.fee_protocol = 0
            assert state(pancake) == state(uniswap)
            compared += 1
    assert compared > 2000


def state(pool: Pool) -> dict[str, object]:
    return {name: getattr(pool, name) for name in FIELDS if name != "fee_protocol"}


def test_a_snapshot_is_refused_under_another_contracts_policy() -> None:
    pool = Pool(2500, 50, PANCAKE_V3)
    pool.initialize(2**96)
    pool.mint("a", -100, 100, 10**18)

    snapshot = pool.to_snapshot(chain_id=56, pair_address="0x00", block_number=1, block_hash="0x01", timestamp=2)
    with pytest.raises(SimulationError):
        Pool.from_snapshot(replace(snapshot, family=Family.UNISWAP_V3))
    twin = Pool.from_snapshot(snapshot)
    assert twin.swap(True, 10**15, None) == pool.copy().swap(True, 10**15, None)
    assert twin.protocol_fees_0 == 25 * 10**11 * 3200 // 10_000
    assert Pool.from_snapshot(replace(snapshot, fee_protocol=0)).swap(True, 10**15, None)[0] == 10**15
