from __future__ import annotations

import random
from dataclasses import replace

import pytest

from simulator import records
from simulator.events import LiquidityEvent, SwapEvent
from simulator.inferred_liquidity import InferredLiquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.pool import Pool
from simulator.snapshot import PoolSnapshot, TickState

PLACE = ("0xab", (1, 7, "0xcd", 9))


def swap_to(tick: int, liquidity: int) -> SwapEvent:
    return SwapEvent(0, 1, -1, get_sqrt_ratio_at_tick(tick), liquidity, tick)


def change(tick_lower: int, tick_upper: int, liquidity_delta: int) -> LiquidityEvent:
    return LiquidityEvent(0, tick_lower, tick_upper, liquidity_delta, 0, 0)


def opening_of(known: InferredLiquidity) -> PoolSnapshot:
    pair_address, block = PLACE
    return known.opening(pair_address, block, fee_pips=3000)


def test_what_swaps_tell_less_what_came_since_is_the_liquidity_at_the_opening() -> None:
    known = InferredLiquidity(60)
    events = [swap_to(5, 100), change(-60, 60, 7), swap_to(-5, 117), change(60, 120, -30), swap_to(59, 107)]
    assert [known.take(event) for event in events] == [True] * 5
    assert known.segments == {0: 100, -1: 110}
    opening = opening_of(known)
    opening.check()
    assert (opening.tick, opening.liquidity, opening.block_number) == (5, 100, 7)
    gross = {tick: (state.liquidity_gross, state.liquidity_net) for tick, state in opening.ticks}
    # Nobody was at 60 and 120, so their net counts as 0, and a burn of 30 needs 30 there, and 30 for what it leaves.
    assert gross == {-887220: (110, 110), 0: (10, -10), 60: (60, 0), 120: (60, 0), 887220: (100, -100)}
    assert [known.is_known(tick) for tick in (-61, -60, 0, 59, 60)] == [False, True, True, True, False]


@pytest.mark.parametrize(
    "event",
    [
        swap_to(59, 106),
        swap_to(-5, 6),
        change(-61, 60, 1),
        change(60, 60, 1),
        change(-887_280, 60, 1),
        replace(swap_to(5, 107), tick=3),
        replace(swap_to(5, 107), sqrt_price_x96=2**160),
        SwapEvent(0, 1, -1, get_sqrt_ratio_at_tick(-887_230), 7, -887_230),
    ],
    ids=repr,
)
def test_what_contradicts_is_not_taken(event: SwapEvent | LiquidityEvent) -> None:
    known = InferredLiquidity(60)
    assert known.take(swap_to(5, 100)) and known.take(change(-60, 60, 7)) and known.take(swap_to(5, 107))
    assert not known.take(event)


def test_a_fall_that_ends_on_a_tick_is_counted_below_it() -> None:
    known = InferredLiquidity(60)
    assert known.take(replace(swap_to(60, 100), tick=59))
    assert known.segments == {0: 100}


def test_without_a_swap_there_is_no_price() -> None:
    known = InferredLiquidity(60)
    assert known.take(change(-60, 60, 7))
    with pytest.raises(ValueError, match="no swap"):
        opening_of(known)


def test_a_later_snapshot_tells_every_tick_of_the_opening() -> None:
    record = records.load("wbtc-weth-03")
    pool = Pool.from_snapshot(record.opening)
    known = InferredLiquidity(record.opening.tick_spacing)
    for block in record.blocks:
        for event, call in zip(block.events, block.calls, strict=True):
            assert known.take(event)
            if isinstance(event, LiquidityEvent):
                pool.apply_liquidity(event.tick_lower, event.tick_upper, event.liquidity_delta)
            else:
                assert call is not None
                pool.swap(call.zero_for_one, call.amount_specified, call.sqrt_price_limit_x96)
    last = pool.to_snapshot(chain_id=1, pair_address="0xab", block_number=8, block_hash="", timestamp=10)
    ticks = {tick: (s.liquidity_gross, s.liquidity_net) for tick, s in record.opening.ticks}
    assert not known.is_complete and known.take_snapshot(last) and known.is_complete
    assert {tick: (s.liquidity_gross, s.liquidity_net) for tick, s in opening_of(known).ticks} == ticks
    assert known.is_known(-887_220)
    changed = sorted(random.Random(1).sample(range(len(last.ticks)), 2))
    spoiled = list(last.ticks)
    for at, by in zip(changed, (1, -1), strict=True):
        tick, state = spoiled[at]
        spoiled[at] = (tick, replace(state, liquidity_net=state.liquidity_net + by))
    assert not known.take_snapshot(replace(last, ticks=tuple(spoiled)))


def test_a_snapshot_of_less_gross_than_net_liquidity_before_the_events_contradicts_them() -> None:
    at_60 = TickState(5, 5, 0, 0)
    snapshot = replace(records.load("wbtc-weth-03").opening, ticks=((0, TickState(2, 2, 0, 0)), (60, at_60)))
    assert InferredLiquidity(60).take_snapshot(snapshot)
    known = InferredLiquidity(60)
    assert known.take(change(0, 60, 2))
    assert not known.take_snapshot(snapshot), "it leaves 3 gross at 60 before the mint, and 7 net"
