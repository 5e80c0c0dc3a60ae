"""From logs back to calls on real markets, and the class of every kind of divergence made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import records
from simulator.events import LiquidityEvent, PoolEvent, SwapEvent
from simulator.file_replay import apply_event
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.neutral import NeutralFile
from simulator.neutral_lines import EndLine, PoolLine, SwapLine
from simulator.pool import Pool, PoolRevert
from simulator.recovery import (
    DivergenceClass,
    RecoveredCall,
    apply_call,
    apply_happening,
    classify_divergence,
    infer_fee_pips,
    recover_call,
)

GENESIS = Path(__file__).parent.parent / "data" / "ethereum_genesis_165_pools.jsonl.gz"
UNIT = 10**18


def mode(call: RecoveredCall) -> str:
    if call.sqrt_price_limit_x96 is not None:
        return "limit"
    return "exact in" if call.amount_specified > 0 else "exact out"


def history(name: str) -> Iterator[tuple[Pool, PoolEvent, RecoveredCall | None]]:
    """Yield (the pool just before, event, recorded call); the pool is the live one and moves on."""
    record = records.load(name)
    pool = Pool.from_snapshot(record.opening)
    for block in record.blocks:
        for event, call in zip(block.events, block.calls, strict=True):
            yield pool, event, call
            assert apply_event(pool, event, call) is None


@pytest.mark.parametrize(
    ("name", "modes"),
    [
        ("usdc-weth-005", {"exact in": 5238, "exact out": 616, "limit": 191}),
        ("wbtc-weth-03", {"exact in": 639, "exact out": 85, "limit": 1}),
    ],
)
def test_every_swap_of_a_real_market_is_recovered_from_its_log_alone(name: str, modes: dict[str, int]) -> None:
    found: Counter[str] = Counter()
    for pool, event, call in history(name):
        if isinstance(event, SwapEvent):
            recovered = recover_call(pool, event)
            assert recovered == call
            assert recovered is not None
            found[mode(recovered)] += 1
    assert found == modes


def test_every_swap_of_the_first_165_pools_is_recovered_even_those_that_took_all() -> None:
    pools: dict[str, Pool] = {}
    found: Counter[str] = Counter()
    for line in NeutralFile.open(GENESIS).lines():
        assert not isinstance(line, EndLine)
        if isinstance(line, PoolLine):
            pools[line.pool] = Pool.from_snapshot(
                line.snapshot(chain_id=1, pair_address=line.pool, block_number=0, block_hash="", timestamp=0)
            )
            continue
        pool, call = pools[line.pool], None
        if isinstance(line, SwapLine):
            call = recover_call(pool, line.event(0))
            assert call is not None
            found[mode(call)] += 1
        assert apply_event(pool, line.event(0), call) is None
    assert found == {"exact in": 873, "exact out": 122, "limit": 6}


def small_pool(*ranges: tuple[int, int, int]) -> Pool:
    pool = Pool(3000, 60)
    pool.initialize(2**96)
    for tick_lower, tick_upper, liquidity in ranges or ((-6000, 6000, 1000 * UNIT), (-120, 180, 500 * UNIT)):
        pool.apply_liquidity(tick_lower, tick_upper, liquidity)
    return pool


def event_of(pool: Pool, call: RecoveredCall) -> SwapEvent:
    """Return the log that a call would leave, without making it."""
    quote = pool.quote(call.zero_for_one, call.amount_specified, call.sqrt_price_limit_x96, partial=True)
    return SwapEvent(0, quote.amount0, quote.amount1, quote.sqrt_price_x96, quote.liquidity, quote.tick)


@given(
    zero_for_one=st.booleans(),
    amount=st.integers(-(10**23), 10**23).filter(bool),
    limit_tick=st.none() | st.integers(1, 7000),
)
def test_any_call_is_recovered_to_the_same_outcome(zero_for_one: bool, amount: int, limit_tick: int | None) -> None:  # noqa: FBT001 hypothesis gives it
    pool = small_pool((-6000, 6000, 1000 * UNIT), (-120, 180, 500 * UNIT), (240, 300, 3))
    signed = None if limit_tick is None else (-limit_tick if zero_for_one else limit_tick)
    limit = None if signed is None else get_sqrt_ratio_at_tick(signed)
    event = event_of(pool, RecoveredCall(zero_for_one, amount, limit))
    recovered = recover_call(pool, event)
    assert recovered is not None
    assert event_of(pool, recovered) == event
    before = pool.copy()
    assert apply_call(pool, recovered) == (event.amount0, event.amount1)
    assert (before.sqrt_price_x96, before.tick) == (2**96, 0)


@pytest.mark.parametrize("zero_for_one", [True, False])
def test_a_call_is_recovered_in_its_own_form(*, zero_for_one: bool) -> None:
    """A fork may end elsewhere by another form of it, though ours ends in the same place."""
    limit = get_sqrt_ratio_at_tick(-30 if zero_for_one else 30)
    for amount in (10**16 + 7, UNIT + 1, 7 * UNIT + 12_345):
        for call in (
            RecoveredCall(zero_for_one, amount, None),
            RecoveredCall(zero_for_one, -amount, None),
            RecoveredCall(zero_for_one, 10**30 + amount, limit),
        ):
            pool = small_pool()
            event = event_of(pool, call)
            paid = event.amount0 if zero_for_one else event.amount1
            expected = call if call.sqrt_price_limit_x96 is None else replace(call, amount_specified=paid)
            assert recover_call(pool, event) == expected
            for fee_pips in (100, 3_001, 250_000):
                chain = small_pool()
                chain.fee_pips = fee_pips
                forged = event_of(chain, call)
                assert classify_divergence(pool, forged) is DivergenceClass.FEE_CHANGE
                assert infer_fee_pips(pool, forged) == fee_pips


def test_swaps_through_nothing_pay_nothing_and_are_recovered_from_the_price() -> None:
    for zero_for_one, tick in ((True, -600), (False, 600)):
        pool = small_pool((12000, 12060, 5), (-12060, -12000, 5))
        limit = get_sqrt_ratio_at_tick(tick)
        event = event_of(pool, RecoveredCall(zero_for_one, 7, limit))
        assert (event.amount0, event.amount1) == (0, 0)
        assert recover_call(pool, event) == RecoveredCall(zero_for_one, 1, limit)


def test_a_swap_whose_output_rounds_to_nothing_is_recovered() -> None:
    for zero_for_one in (True, False):
        pool = small_pool()
        call = RecoveredCall(zero_for_one, 1, None)
        event = event_of(pool, call)
        assert 0 in (event.amount0, event.amount1)
        assert recover_call(pool, event) == call


def test_a_swap_that_went_to_its_limit_through_empty_ticks_asked_for_more_than_it_paid() -> None:
    pool = small_pool((-60, 60, 1000 * UNIT))
    event = event_of(pool, RecoveredCall(True, 10**30, None))
    recovered = recover_call(pool, event)
    assert event.sqrt_price_x96 == MIN_SQRT_RATIO + 1
    assert recovered == RecoveredCall(True, event.amount0 + 1, MIN_SQRT_RATIO + 1)


@pytest.mark.parametrize(
    ("amount0", "amount1", "price"),
    [(5, 5, 2**96 - 9), (-5, -5, 2**96 - 9), (-5, 0, 2**96 - 9), (0, 0, 2**96), (0, 0, 2**160 - 1), (5, -4, 0)],
)
def test_what_no_pool_can_do_is_not_recovered(amount0: int, amount1: int, price: int) -> None:
    pool = small_pool()
    event = SwapEvent(0, amount0, amount1, price, pool.liquidity, 0)
    assert recover_call(pool, event) is None
    assert classify_divergence(pool, event) is DivergenceClass.MISSED_OR_FOREIGN_SWAP


def test_a_fork_skips_a_limit_it_has_already_passed_and_is_unchanged() -> None:
    for zero_for_one in (True, False):
        pool = small_pool()
        limit = get_sqrt_ratio_at_tick(-30 if zero_for_one else 30)
        apply_call(pool, RecoveredCall(zero_for_one, 10**30, limit))
        assert pool.sqrt_price_x96 == limit
        for passed in (limit, 2**96):
            assert apply_call(pool, RecoveredCall(zero_for_one, UNIT, passed)) is None
        assert pool.sqrt_price_x96 == limit


def test_a_fork_at_the_end_of_the_price_range_skips_and_any_other_revert_is_raised() -> None:
    pool = small_pool((-60, 60, 1))
    assert apply_call(pool, RecoveredCall(False, 10**30, None)) is not None
    assert pool.sqrt_price_x96 == MAX_SQRT_RATIO - 1
    assert apply_call(pool, RecoveredCall(False, 10**30, None)) is None
    with pytest.raises(PoolRevert, match="AS"):
        apply_call(pool, RecoveredCall(True, 0, None))


def test_a_mint_and_its_burn_leave_a_fork_as_it_was() -> None:
    pool = small_pool()
    ticks = dict(pool.ticks)
    for delta in (5 * UNIT, -5 * UNIT):
        apply_happening(pool, LiquidityEvent(0, -120, 60, delta, None, None))
        assert pool.liquidity == 1500 * UNIT + max(delta, 0)
    assert dict(pool.ticks) == ticks


def first_divergence(name: str, dropped: int, *, within: int = 400) -> DivergenceClass | None:
    """Play a record without one of its events and return the class of the divergence it leads to."""
    record = records.load(name)
    pool = Pool.from_snapshot(record.opening)
    events = [pair for block in record.blocks for pair in zip(block.events, block.calls, strict=True)]
    for event, call in events[:dropped]:
        assert apply_event(pool, event, call) is None
    for event, _ in events[dropped + 1 : dropped + within]:
        if isinstance(event, LiquidityEvent):
            pool.apply_liquidity(event.tick_lower, event.tick_upper, event.liquidity_delta)
            continue
        recovered = recover_call(pool, event)
        if recovered is None:
            return classify_divergence(pool, event)
        apply_call(pool, recovered)
    return None


def test_a_missed_swap_of_the_real_record_is_called_that() -> None:
    for dropped in (0, 104, 1000, 3000, 6000):
        assert first_divergence("usdc-weth-005", dropped) is DivergenceClass.MISSED_OR_FOREIGN_SWAP


def test_a_missed_mint_or_burn_of_the_real_record_is_called_that() -> None:
    record = records.load("wbtc-weth-03")
    events = [event for block in record.blocks for event in block.events]
    changes = [index for index, event in enumerate(events) if isinstance(event, LiquidityEvent)]
    found = Counter(first_divergence("wbtc-weth-03", index, within=1000) for index in changes[::6])
    # A poke (delta 0) and a range that the price never reaches change nothing.
    assert found == {DivergenceClass.MISSED_LIQUIDITY: 22, None: 8}


def test_another_fee_is_recognised_and_inferred_to_the_pip() -> None:
    for index, (pool, event, call) in enumerate(history("usdc-weth-005")):
        if call is None or index % 25:
            continue
        for fee_pips in (100, 499, 501, 3333):
            chain = pool.copy()
            chain.fee_pips = fee_pips
            forged = event_of(chain, call)
            assert recover_call(pool, forged) is None
            assert classify_divergence(pool, forged) is DivergenceClass.FEE_CHANGE
            assert infer_fee_pips(pool, forged) == fee_pips
        assert infer_fee_pips(pool, event) in (pool.fee_pips, None)  # not given a reason to look elsewhere


def test_liquidity_that_we_do_not_have_is_recognised_in_any_amount() -> None:
    for index, (pool, event, call) in enumerate(history("usdc-weth-005")):
        if call is None or index % 50:
            continue
        for liquidity_delta in (1, 10**15, -(10**15)):
            chain = pool.copy()
            chain.liquidity += liquidity_delta
            forged = event_of(chain, call)
            assert recover_call(pool, forged) is None
            assert classify_divergence(pool, forged) is DivergenceClass.MISSED_LIQUIDITY
        assert isinstance(event, SwapEvent)


@pytest.mark.parametrize("zero_for_one", [True, False])
@pytest.mark.parametrize("is_burn", [True, False])
def test_a_missed_position_whose_bound_was_crossed_is_recognised(*, zero_for_one: bool, is_burn: bool) -> None:
    ours, chain = small_pool(), small_pool()
    tick_lower, tick_upper = (-1200, -60) if zero_for_one else (60, 1200)
    (ours if is_burn else chain).apply_liquidity(tick_lower, tick_upper, 77 * UNIT)
    event = event_of(chain, RecoveredCall(zero_for_one, 40 * UNIT, None))
    assert (-1200 < event.tick < -120) if zero_for_one else (180 < event.tick < 1200)
    assert recover_call(ours, event) is None
    assert classify_divergence(ours, event) is DivergenceClass.MISSED_LIQUIDITY


def test_altered_amounts_are_a_foreign_swap() -> None:
    for index, (pool, event, _) in enumerate(history("usdc-weth-005")):
        if not isinstance(event, SwapEvent) or index % 50:
            continue
        received = "amount1" if event.amount0 > 0 else "amount0"
        for forged in (
            replace(event, **{received: getattr(event, received) - 10**6}),
            replace(event, tick=event.tick + 1),
            replace(event, sqrt_price_x96=event.sqrt_price_x96 + 10**24),
        ):
            assert recover_call(pool, forged) is None
            assert classify_divergence(pool, forged) is DivergenceClass.MISSED_OR_FOREIGN_SWAP


@pytest.mark.parametrize(
    ("start", "end", "crosses"),
    [(0, -130, True), (0, 190, True), (180, 170, True), (180, 190, False), (0, -120, False), (0, 180, True)],
)
def test_other_liquidity_and_no_tick_on_the_way_is_missed_liquidity_whatever_the_amounts(
    start: int, end: int, *, crosses: bool
) -> None:
    """Ticks at -120 and 180 are initialised. Who stands at a tick is above it: it is crossed by falling from it."""
    pool = small_pool()
    if start:
        pool.swap(start < 0, 10**30, get_sqrt_ratio_at_tick(start))
    end_x96 = get_sqrt_ratio_at_tick(end) + 1
    event = event_of(pool, RecoveredCall(end < start, 10**30, end_x96))
    assert (pool.tick, event.tick) == (start, end)
    forged = replace(event, liquidity=event.liquidity + 7, amount0=event.amount0 * 2)
    found = DivergenceClass.MISSED_OR_FOREIGN_SWAP if crosses else DivergenceClass.MISSED_LIQUIDITY
    assert classify_divergence(pool, forged) is found
