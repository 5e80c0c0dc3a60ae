from __future__ import annotations

import dataclasses
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from support.pool_fields import FIELDS

from protocol.errors import SimulationError
from protocol.units import MAX_UINT128, Q96
from simulator import pool as pool_module
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.pool import Pool, PoolRevert, PositionInfo, SwapQuote, TickInfo
from simulator.snapshot import PoolSnapshot, TickState

BLOCK = {"chain_id": 1, "pair_address": "0xpool", "block_number": 5, "block_hash": "0xhash", "timestamp": 1_000_100}


def state(pool: Pool) -> dict[str, Any]:
    """Return everything a pool remembers, detached from it."""
    twin = pool.copy()
    return {name: getattr(twin, name) for name in FIELDS}


def make_pool() -> Pool:
    """Return a pool of several positions that has been traded, with a protocol fee and a ring of observations."""
    pool = Pool(3000, 60)
    pool.timestamp = 1_000_000
    pool.initialize(Q96)
    pool.increase_observation_cardinality_next(4)
    pool.set_fee_protocol(4, 6)
    pool.mint("ann", -600, 600, 10**18)
    pool.mint("bob", -60, 1200, 3 * 10**17)
    pool.mint("bob", -88_800, 88_800, 10**16)
    for step in range(12):
        pool.timestamp += 7
        pool.swap(step % 3 != 0, 10**16 * (step + 1), None)
    return pool


def make_snapshot(**changes: Any) -> PoolSnapshot:
    return dataclasses.replace(make_pool().to_snapshot(**BLOCK), **changes)


def test_the_public_names() -> None:
    assert pool_module.__all__ == ["Pool", "PoolRevert", "PositionInfo", "PositionKey", "SwapQuote", "TickInfo"]
    verbs = [name for name in dir(Pool) if callable(getattr(Pool, name)) and not name.startswith("_")]
    assert sorted(verbs) == [
        "apply_liquidity",
        "burn",
        "collect",
        "collect_protocol",
        "copy",
        "digest",
        "fee_growth_inside",
        "fees_owed",
        "flash",
        "from_json",
        "from_record",
        "from_snapshot",
        "increase_observation_cardinality_next",
        "initialize",
        "mint",
        "observe",
        "quote",
        "set_fee_protocol",
        "snapshot_cumulatives_inside",
        "swap",
        "to_json",
        "to_snapshot",
    ]


def test_a_mapping_reads_empty_where_nothing_was_written() -> None:
    pool = make_pool()
    before = state(pool)
    assert pool.ticks[120] == TickInfo(0, 0, 0, 0)
    assert pool.positions[("nobody", -60, 60)] == PositionInfo(0, 0, 0, 0, 0)
    assert state(pool) == before and 120 not in pool.ticks


def test_a_copy_lives_its_own_life() -> None:
    pool = make_pool()
    before = state(pool)
    twin = pool.copy()
    assert state(twin) == before
    twin.timestamp += 60
    twin.swap(True, 10**17, None)
    twin.mint("eve", -120, 0, 10**20)
    twin.burn("ann", -600, 600, 10**18)
    twin.collect("ann", -600, 600, MAX_UINT128, MAX_UINT128)
    twin.flash(5, 5, 10**6, 10**6)
    twin.increase_observation_cardinality_next(9)
    assert state(pool) == before
    assert all(state(twin)[name] != before[name] for name in ("ticks", "positions", "tick_bitmap", "observations"))


def test_a_pool_travels_between_processes() -> None:
    pool = make_pool()
    twin = pickle.loads(pickle.dumps(pool))
    assert state(twin) == state(pool)
    assert twin.ticks[120] == TickInfo()


def test_a_snapshot_gives_back_the_pool_that_gave_it() -> None:
    pool = make_pool()
    snapshot = pool.to_snapshot(**BLOCK)
    snapshot.check()
    twin = Pool.from_snapshot(PoolSnapshot.from_json(snapshot.to_json()))
    assert twin.to_snapshot(**BLOCK) == snapshot
    assert twin.tick_bitmap == pool.tick_bitmap
    pool.set_fee_protocol(0, 4)
    twin.set_fee_protocol(0, 4)
    for amount in (10**15, -(10**15), 10**19, -3):
        for zero_for_one in (True, False):
            assert twin.swap(zero_for_one, amount, None) == pool.swap(zero_for_one, amount, None)
    assert twin.to_snapshot(**BLOCK) == pool.to_snapshot(**BLOCK)


def test_a_pool_from_a_snapshot_starts_its_oracle_there_and_knows_no_balances() -> None:
    pool = Pool.from_snapshot(make_snapshot())
    assert (pool.observation_index, pool.observation_cardinality, pool.observation_cardinality_next) == (0, 1, 1)
    assert pool.observations[0].block_timestamp == BLOCK["timestamp"]
    assert (pool.balance0, pool.balance1, dict(pool.positions)) == (0, 0, {})
    pool.positions[("vault", -600, 600)] = PositionInfo(10**17, 0, 0, 10**30, 10**30)
    # Fees that were earned before the snapshot are paid although the engine never saw them come in.
    assert pool.collect("vault", -600, 600, MAX_UINT128, MAX_UINT128) == (10**30, 10**30)
    assert (pool.balance0, pool.balance1) == (-(10**30), -(10**30))


def test_a_price_just_fallen_onto_a_tick_survives_the_snapshot() -> None:
    pool = Pool(3000, 60)
    pool.initialize(get_sqrt_ratio_at_tick(100))
    pool.mint("ann", -60, 60, 10**18)
    pool.mint("ann", 60, 120, 10**18)
    pool.swap(True, 10**30, get_sqrt_ratio_at_tick(60))
    assert (pool.tick, pool.sqrt_price_x96) == (59, get_sqrt_ratio_at_tick(60))
    twin = Pool.from_snapshot(pool.to_snapshot(**BLOCK))
    assert twin.tick == 59
    assert twin.swap(False, 10**12, None) == pool.swap(False, 10**12, None)


FAR = ((-887_280, TickState(1, 1, 0, 0)), (887_280, TickState(1, -1, 0, 0)))
OPEN = ((-600, TickState(5, 5, 0, 0)), (600, TickState(4, -4, 0, 0)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tick": make_pool().tick + 1}, "its price is at"),
        ({"tick": make_pool().tick - 1}, "its price is at"),
        ({"sqrt_price_x96": 0}, "out of range"),
        ({"sqrt_price_x96": MAX_SQRT_RATIO}, "out of range"),
        ({"liquidity": 1}, "liquidity is 1, its ticks sum to"),
        ({"ticks": FAR, "liquidity": 1}, "out of range"),
        ({"ticks": OPEN}, "sum of liquidity_net is 1, expected 0"),
        ({"ticks": OPEN[::-1]}, "not strictly ascending"),
        ({"ticks": ((61, TickState(5, 5, 0, 0)),)}, "tick 61 is off the spacing of 60"),
        ({"ticks": ((60, TickState(0, 0, 0, 0)),)}, "tick 60 is initialised without liquidity"),
        ({"fee_protocol": 3}, "not of this contract"),
    ],
)
def test_a_snapshot_that_contradicts_itself_makes_no_pool(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SimulationError, match=says) as caught:
        Pool.from_snapshot(make_snapshot(**changes))
    assert "\n" not in str(caught.value) and "pool=0xpool" in str(caught.value)


@pytest.mark.parametrize(
    ("verb", "arguments", "says"),
    [
        ("mint", ("ann", -61, 60, 5), "reverted without a reason (a tick is not a multiple of the pool's spacing)"),
        ("apply_liquidity", (-60, 61, 5), "reverted without a reason (a tick is not a multiple of the pool's spacing)"),
        ("mint", ("ann", -887_280, 60, 5), "reverted: TLM (the lower tick is below -887272)"),
        ("mint", ("ann", 60, 60, 5), "reverted: TLU (the lower tick is not below the upper)"),
        ("burn", ("ann", -600, 600, 2 * 10**18), "reverted: LS (there is less liquidity than is taken)"),
        ("burn", ("eve", -600, 600, 0), "reverted: NP (there is no such position)"),
        ("swap", (True, 1, 2**159), "reverted: SPL (the price limit lies behind the price, or out of range)"),
    ],
)
def test_a_revert_is_told_in_words(verb: str, arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(PoolRevert) as caught:
        getattr(make_pool(), verb)(*arguments)
    assert str(caught.value) == says


def test_a_quote_beyond_the_liquidity_is_an_error_unless_less_will_do() -> None:
    for zero_for_one in (True, False):
        for amount in (10**30, -(10**30)):
            pool = make_pool()
            before = state(pool)
            with pytest.raises(SimulationError, match="beyond the pool's liquidity"):
                pool.quote(zero_for_one, amount)
            quote = pool.quote(zero_for_one, amount, partial=True)
            limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
            assert pool.quote(zero_for_one, amount, limit) == quote
            assert state(pool) == before
            amounts = pool.swap(zero_for_one, amount, None)
            assert (quote.amount0, quote.amount1) == amounts
            specified = amounts[0] if zero_for_one == (amount > 0) else amounts[1]
            assert quote.amount_remaining == amount - specified != 0


def test_liquidity_without_owner_moves_the_market_as_mint_and_burn_do() -> None:
    rng = random.Random(3)
    owned, ownerless = Pool(500, 10), Pool(500, 10)
    for pool in (owned, ownerless):
        pool.initialize(Q96)
    assert ownerless.apply_liquidity(-887_270, 887_270, 10**18) == owned.mint("ann", -887_270, 887_270, 10**18)
    minted: list[tuple[int, int, int]] = []
    for step in range(300):
        owned.timestamp = ownerless.timestamp = 1000 + 5 * step
        if step % 3 == 0:
            lower = rng.randrange(-50, 50) * 10
            key = (lower, lower + 10 * rng.randint(1, 60), rng.randrange(1, 10**18))
            minted.append(key)
            assert ownerless.apply_liquidity(*key) == owned.mint("ann", *key)
        elif step % 3 == 1 and len(minted) > 5:
            lower, upper, liquidity = minted.pop(rng.randrange(len(minted)))
            burnt = owned.burn("ann", lower, upper, liquidity)
            assert ownerless.apply_liquidity(lower, upper, -liquidity) == burnt
        else:
            zero_for_one, amount = rng.random() < 0.5, rng.randrange(-(10**16), 10**17) or 1
            assert ownerless.swap(zero_for_one, amount, None) == owned.swap(zero_for_one, amount, None)
        assert ownerless.apply_liquidity(-887_270, 887_270, 0) == (0, 0)
    compared = set(FIELDS) - {"positions", "balance0", "balance1"}
    assert {name: getattr(ownerless, name) for name in compared} == {name: getattr(owned, name) for name in compared}
    assert not ownerless.positions


def test_ownerless_liquidity_reverts_as_the_contract_does() -> None:
    pool = make_pool()
    before = state(pool)
    for arguments, reason in [
        ((-61, 60, 5), ""),
        ((60, 60, 5), "TLU"),
        ((-887_280, 60, 5), "TLM"),
        ((-60, 887_280, 5), "TUM"),
        ((-120, 60, -5), "LS"),
        ((-60, 60, 2**127 - 1), "LO"),
        ((-60, 60, 2**127), ""),
    ]:
        with pytest.raises(PoolRevert) as caught:
            pool.apply_liquidity(*arguments)
        assert (caught.value.reason, state(pool)) == (reason, before)
    with pytest.raises(PoolRevert) as caught:
        Pool(3000, 60).apply_liquidity(-60, 60, 1)
    assert caught.value.reason == "LOK"


def test_a_quote_is_the_swap_that_did_not_happen() -> None:
    pool = make_pool()
    before = state(pool)
    quote = pool.quote(True, 10**17, None)
    assert state(pool) == before
    amounts = pool.swap(True, 10**17, None)
    assert quote == SwapQuote(*amounts, pool.sqrt_price_x96, pool.tick, pool.liquidity)
    with pytest.raises(PoolRevert) as caught:
        pool.quote(False, 1, pool.sqrt_price_x96)
    assert caught.value.reason == "SPL"


def test_no_limit_means_the_last_price_there_is() -> None:
    falling, rising = make_pool(), make_pool()
    falling.swap(True, 10**40, None)
    rising.swap(False, 10**40, None)
    assert (falling.sqrt_price_x96, rising.sqrt_price_x96) == (MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1)


def test_fees_shown_are_fees_paid() -> None:
    pool = make_pool()
    shown = pool.fees_owed("ann", -600, 600)
    pool.burn("ann", -600, 600, 0)
    assert pool.fees_owed("ann", -600, 600) == shown
    assert pool.collect("ann", -600, 600, MAX_UINT128, MAX_UINT128) == shown
    assert shown > (0, 0) and pool.fees_owed("ann", -600, 600) == (0, 0)
    assert pool.fees_owed("nobody", -600, 600) == (0, 0)
    assert pool.fee_growth_inside(-600, 600) == (
        pool.positions[("ann", -600, 600)].fee_growth_inside_0_last_x128,
        pool.positions[("ann", -600, 600)].fee_growth_inside_1_last_x128,
    )


def test_everything_minted_comes_back_but_the_dust_and_the_protocol_s_share() -> None:
    pool = make_pool()
    for owner, lower, upper in list(pool.positions):
        pool.burn(owner, lower, upper, pool.positions[(owner, lower, upper)].liquidity)
        pool.collect(owner, lower, upper, MAX_UINT128, MAX_UINT128)
    assert (dict(pool.ticks), dict(pool.tick_bitmap), pool.liquidity) == ({}, {}, 0)
    assert 0 < pool.balance0 - pool.protocol_fees_0 < 40
    assert 0 < pool.balance1 - pool.protocol_fees_1 < 40


def test_a_call_that_reverts_leaves_no_trace() -> None:
    pool = make_pool()
    before = state(pool)
    calls: list[tuple[str, Callable[[], object]]] = [
        ("AI", lambda: pool.initialize(Q96)),
        ("", lambda: pool.mint("ann", -60, 60, 0)),
        ("", lambda: pool.mint("ann", -60, 60, 2**127)),
        ("", lambda: pool.mint("ann", -60, 61, 5)),
        ("LO", lambda: pool.mint("ann", -120, 120, 2**127 - 1)),
        ("LS", lambda: pool.burn("ann", -600, 600, 10**18 + 1)),
        ("NP", lambda: pool.burn("eve", -600, 600, 0)),
        ("AS", lambda: pool.swap(True, 0, None)),
        ("SPL", lambda: pool.swap(True, 1, MIN_SQRT_RATIO)),
        ("TF", lambda: pool.flash(pool.balance0 + 1, 0, 0, 0)),
        ("F0", lambda: pool.flash(1000, 0, 1002, 0)),
        ("F1", lambda: pool.flash(1000, 1000, 1003, 1002)),
        ("", lambda: pool.flash(0, 0, 2**256 - 1, 0)),
        ("", lambda: pool.set_fee_protocol(3, 4)),
        ("OLD", lambda: pool.observe([10**6])),
        ("", lambda: pool.snapshot_cumulatives_inside(-60, 60)),
    ]
    for reason, call in calls:
        with pytest.raises(PoolRevert) as caught:
            call()
        assert (caught.value.reason, state(pool)) == (reason, before)


def test_an_uninitialised_pool_is_locked() -> None:
    pool = Pool(3000, 60)
    calls: list[Callable[[], object]] = [
        lambda: pool.mint(1, -60, 60, 1),
        lambda: pool.burn(1, -60, 60, 1),
        lambda: pool.collect(1, -60, 60, 1, 1),
        lambda: pool.swap(True, 1, None),
        lambda: pool.flash(0, 0, 0, 0),
        lambda: pool.set_fee_protocol(4, 4),
        lambda: pool.collect_protocol(1, 1),
        lambda: pool.increase_observation_cardinality_next(2),
    ]
    for call in calls:
        with pytest.raises(PoolRevert) as caught:
            call()
        assert caught.value.reason == "LOK"


def test_what_no_call_could_carry_is_the_caller_s_mistake() -> None:
    pool = make_pool()
    calls: list[Callable[[], object]] = [
        lambda: pool.mint("ann", -60, 60, -1),
        lambda: pool.burn("ann", -60, 60, 2**128),
        lambda: pool.collect("ann", -60, 60, -1, 0),
        lambda: pool.swap(True, 2**255, None),
        lambda: pool.swap(True, 1, -1),
        lambda: pool.flash(0, 0, 2**256, 0),
        lambda: pool.observe([-1]),
        lambda: pool.increase_observation_cardinality_next(2**16),
        lambda: Pool(3000, 60).initialize(2**160),
        lambda: Pool(10**6, 60),
        lambda: Pool(3000, 0),
    ]
    for call in calls:
        with pytest.raises(SimulationError):
            call()
