"""Futures: seeded, contiguous, made of nothing but recorded swaps, and like the record on average."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise

import numpy as np
import pytest
from support.worlds import START_BLOCK, START_TIME, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Q96
from simulator import records
from simulator.engine import Engine, default_engine, pool_from_snapshot
from simulator.events import LiquidityEvent
from simulator.flow import Flow, FlowBlock
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.recovery import Happening, RecoveredCall, apply_call
from simulator.scenarios import Past, PastBlock, PastSwap, draw_futures
from simulator.snapshot import PoolSnapshot

UNIT = 10**18


@cache
def past_of(name: str) -> Past:
    return Past.of(records.load(name).flow())


@cache
def day(name: str) -> tuple[Flow, ...]:
    """Return futures of a day, in windows of half an hour."""
    record = records.load(name)
    blocks = min(7000, record.length_blocks - 1)
    return draw_futures(record.opening, past_of(name), count=24, length_blocks=blocks, window_blocks=150, seed=7)


def moves_of(flow: Flow) -> list[list[float]]:
    """Return, block by block, by which factors the swaps of a flow move the sqrt price of its own pool."""
    pool = pool_from_snapshot(flow.snapshot, engine=default_engine())
    moves = []
    for block in flow.blocks:
        pool.timestamp = block.timestamp
        factors = []
        for call in block.happenings:
            assert isinstance(call, RecoveredCall)
            before = pool.sqrt_price_x96
            assert apply_call(pool, call) is not None, "skipped"
            factors.append(pool.sqrt_price_x96 / before)
        moves.append(factors)
    return moves


def make_past(*blocks: tuple[int, tuple[Happening, ...]], snapshot: PoolSnapshot | None = None) -> Past:
    """Return the past of blocks given as (seconds after the start, what happens)."""
    made = (FlowBlock(START_BLOCK + n, START_TIME + after, what) for n, (after, what) in enumerate(blocks, start=1))
    return Past.of(Flow(snapshot or make_snapshot(), tuple(made)))


def told_by_gap(past: Past) -> Past:
    """Return a past whose blocks can be told apart in a future: block n lasts n seconds."""
    return Past(tuple(replace(block, gap_s=number) for number, block in enumerate(past.blocks)))


def gaps_of(flow: Flow) -> list[int]:
    times = [flow.snapshot.timestamp, *(block.timestamp for block in flow.blocks)]
    return [after - before for before, after in pairwise(times)]


@pytest.mark.parametrize("name", records.names())
def test_every_swap_moves_the_price_as_it_did_in_the_record_and_windows_stay_whole(name: str) -> None:
    past = past_of(name)
    size = len(past.blocks)
    (flow,) = draw_futures(
        records.load(name).opening, told_by_gap(past), count=1, length_blocks=7000, window_blocks=150, seed=7
    )
    drawn = gaps_of(flow)
    recorded = [[swap.after_x96 / swap.before_x96 for swap in past.blocks[number].swaps] for number in drawn]
    moves = moves_of(flow)
    assert [len(factors) for factors in moves] == [len(factors) for factors in recorded]
    np.testing.assert_allclose(list(chain(*moves)), list(chain(*recorded)), rtol=1e-9)
    breaks = [n for n, (number, following) in enumerate(pairwise(drawn), 1) if following != (number + 1) % size]
    assert breaks == list(range(150, 7000, 150))


@pytest.mark.parametrize("name", records.names())
def test_a_future_goes_on_from_its_snapshot_and_holds_swaps_alone(name: str) -> None:
    for flow in day(name)[:2]:
        assert flow.snapshot == records.load(name).opening
        assert [block.number for block in flow.blocks] == [flow.snapshot.block_number + n for n in range(1, 7001)]
        calls = [call for block in flow.blocks for call in block.happenings]
        assert {type(call) for call in calls} == {RecoveredCall}


@pytest.mark.parametrize("name", records.names())
def test_on_average_futures_are_like_the_record(name: str) -> None:
    past = past_of(name).blocks
    swaps = np.array([len(block.swaps) for block in past])
    way = np.array([sum(abs(np.log(s.after_x96 / s.before_x96)) for s in block.swaps) for block in past])
    seconds = np.array([block.gap_s for block in past])
    moves = [moves_of(flow) for flow in day(name)]
    found_swaps = np.array([sum(map(len, future)) for future in moves])
    found_way = np.array([sum(abs(np.log(factor)) for block in future for factor in block) for future in moves])
    found_seconds = np.array([flow.blocks[-1].timestamp - flow.snapshot.timestamp for flow in day(name)])
    for found, recorded in ((found_swaps, swaps), (found_way, way), (found_seconds, seconds)):
        expected = recorded.mean() * 7000
        error = found.std(ddof=1) / len(found) ** 0.5
        assert abs(found.mean() - expected) <= 3.5 * error
        assert error < expected / 10
    assert len(set(found_swaps)) > 12


def test_a_seed_gives_the_same_futures_however_many_are_drawn() -> None:
    record = records.load("usdc-weth-005")

    def draw(count: int, seed: int) -> tuple[Flow, ...]:
        return draw_futures(
            record.opening, past_of(record.name), count=count, length_blocks=90, window_blocks=40, seed=seed
        )

    assert draw(5, 1)[:2] == draw(2, 1)
    assert len({flow.blocks for flow in (*draw(5, 1), *draw(5, 2))}) == 10


def test_futures_do_not_depend_on_the_engine() -> None:
    record = records.load("usdc-weth-005")
    flow = replace(record.flow(), blocks=record.flow().blocks[:400])

    def draw(engine: Engine) -> tuple[Flow, ...]:
        past = Past.of(flow, engine=engine)
        return draw_futures(record.opening, past, count=2, length_blocks=300, window_blocks=50, seed=1, engine=engine)

    assert draw("python") == draw(default_engine())


def test_every_block_of_the_past_is_as_likely() -> None:
    past = told_by_gap(make_past(*((12 * n, ()) for n in range(1, 11))))
    futures = draw_futures(make_snapshot(), past, count=400, length_blocks=9, window_blocks=4, seed=3)
    times_drawn = Counter(chain(*map(gaps_of, futures)))
    assert sorted(times_drawn) == list(range(10))
    assert max(times_drawn.values()) < 1.25 * min(times_drawn.values())


def test_the_past_is_prices_only() -> None:
    at = get_sqrt_ratio_at_tick
    past = make_past(
        (5, (RecoveredCall(False, 10**30, at(60)), LiquidityEvent(0, -60, 120, 10**24, None, None))),
        (29, ()),
        (30, (RecoveredCall(True, 1, None), RecoveredCall(False, 10**30, at(30)), RecoveredCall(True, -UNIT, None))),
    )
    (first, second, third) = past.blocks
    assert [(b.gap_s, b.timestamp - START_TIME) for b in past.blocks] == [(5, 5), (24, 29), (1, 30)]
    assert first.swaps == (PastSwap(at(0), at(60), is_exact_input=True, has_limit=True),)
    assert second.swaps == ()
    assert [(s.before_x96, s.is_exact_input, s.has_limit) for s in third.swaps] == [
        (at(60), False, False)
    ]  # the unit moves no price
    assert third.swaps[0].after_x96 < at(60)


def test_each_swap_of_a_block_moves_on_from_the_one_before() -> None:
    past = make_past((12, (RecoveredCall(False, UNIT, None), RecoveredCall(False, UNIT, None))))
    (first, second) = past.blocks[0].swaps
    assert (first.before_x96, second.before_x96) == (Q96, first.after_x96)
    assert second.after_x96 > first.after_x96


@pytest.mark.parametrize("is_exact_input", [True, False])
@pytest.mark.parametrize("falls", [True, False])
def test_a_swap_is_as_large_to_a_future_pool_as_it_was_to_the_recorded_one(
    *, falls: bool, is_exact_input: bool
) -> None:
    there = make_snapshot(tick=0, positions=((-887220, 887220, 10**21), (-60, 60, 10**24)))  # others came and went
    here = make_snapshot(tick=6000, positions=((-887220, 887220, 10**22), (5940, 6060, 10**22)))
    call = RecoveredCall(falls, 9 * 10**20 if is_exact_input else -9 * 10**20, None)
    past = make_past((12, (call,)), snapshot=there)
    (future,) = draw_futures(here, past, count=1, length_blocks=1, window_blocks=1, seed=0)
    (repeated,) = future.blocks[0].happenings
    assert isinstance(repeated, RecoveredCall)
    assert (repeated.zero_for_one, repeated.amount_specified > 0) == (falls, is_exact_input)
    swap = past.blocks[0].swaps[0]
    assert (swap.after_x96 < swap.before_x96) is falls
    assert repeated.sqrt_price_limit_x96 is None, "as it had none"
    assert moves_of(future) == [[pytest.approx(swap.after_x96 / swap.before_x96, rel=1e-12)]]


def test_a_limit_is_the_price_where_the_swap_ends_in_its_future() -> None:
    past = make_past((12, (RecoveredCall(False, 10**30, get_sqrt_ratio_at_tick(60)),)))
    here = make_snapshot(tick=-6000)
    (future,) = draw_futures(here, past, count=1, length_blocks=3, window_blocks=1, seed=0)
    pool = pool_from_snapshot(here)
    for block in future.blocks:
        (call,) = block.happenings
        assert isinstance(call, RecoveredCall)
        assert call.sqrt_price_limit_x96 == pool.sqrt_price_x96 * get_sqrt_ratio_at_tick(60) // get_sqrt_ratio_at_tick(
            0
        )
        amounts = apply_call(pool, call)
        assert amounts is not None
        assert (amounts[1], pool.sqrt_price_x96) == (call.amount_specified, call.sqrt_price_limit_x96)


def test_a_swap_that_nobody_could_answer_is_left_out() -> None:
    empty = make_snapshot(tick=-1200, positions=((0, 60, UNIT),))
    past = make_past((12, (RecoveredCall(False, UNIT, None),)), (24, (RecoveredCall(True, UNIT, None),)))
    (future,) = draw_futures(empty, past, count=1, length_blocks=8, window_blocks=2, seed=0)
    assert [block.happenings for block in future.blocks] == [()] * 8


def test_every_window_is_of_the_time_of_day_at_which_it_is_repeated() -> None:
    """Three days of hourly blocks, each told by how far its swap rises."""
    hour = 3600
    rises = [PastSwap(Q96, Q96 + n * Q96 // 10**6, is_exact_input=True, has_limit=False) for n in range(1, 73)]
    past = Past(tuple(PastBlock(hour, START_TIME + hour * n, (rise,)) for n, rise in enumerate(rises, start=1)))
    futures = draw_futures(make_snapshot(), past, count=20, length_blocks=40, window_blocks=2, seed=1, within_s=hour)
    for flow in futures:
        drawn = [round((factor - 1) * 1e6) for (factor,) in moves_of(flow)]
        # A window's first block may have happened an hour before or after the one before it ended.
        late = [(drawn[at] - at + 12) % 24 - 12 for at in range(0, 40, 2)]
        assert set(late) <= {-1, 0, 1}
    assert len({flow.blocks for flow in futures}) == 20
    morning = Past(past.blocks[5:8])
    with pytest.raises(SimulationError, match="time of day"):
        draw_futures(make_snapshot(), morning, count=1, length_blocks=1, window_blocks=1, seed=1, within_s=hour)


def test_the_time_of_day_is_a_circle_and_both_its_bounds_are_in_it() -> None:
    """Asked ten seconds after midnight, for what began at most 30 seconds earlier or later, on any day."""
    midnight = START_TIME // 86_400 * 86_400
    times = [midnight - 86_400 * day + at for day, at in ((3, -21), (3, -20), (2, 0), (2, 40), (1, 41), (1, 43_210))]
    past = Past(tuple(PastBlock(number, at, ()) for number, at in enumerate(times)))
    asked = replace(make_snapshot(), timestamp=midnight + 10)
    futures = draw_futures(asked, past, count=60, length_blocks=1, window_blocks=1, seed=1, within_s=30)
    assert {gap for flow in futures for gap in gaps_of(flow)} == {1, 2, 3}


@pytest.mark.parametrize(("far", "end_x96"), [(-880_000, MIN_SQRT_RATIO + 1), (880_000, MAX_SQRT_RATIO - 1)])
def test_a_move_beyond_all_prices_ends_with_the_last_one(far: int, end_x96: int) -> None:
    """Where a future has drifted to the end, a recorded move may point beyond it."""
    here = make_snapshot(tick=far)
    swap = PastSwap(Q96, 4 * Q96 if far > 0 else Q96 // 4, is_exact_input=True, has_limit=True)
    (future,) = draw_futures(
        here, Past((PastBlock(12, START_TIME, (swap,)),)), count=1, length_blocks=1, window_blocks=1, seed=0
    )
    [call] = future.blocks[0].happenings
    assert isinstance(call, RecoveredCall) and call.sqrt_price_limit_x96 == end_x96


@pytest.mark.parametrize(("count", "length", "window"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 3)])
def test_impossible_futures_are_refused(count: int, length: int, window: int) -> None:
    past = make_past((12, ()), (24, ()))
    with pytest.raises(SimulationError, match="at least 1"):
        draw_futures(make_snapshot(), past, count=count, length_blocks=length, window_blocks=window, seed=1)


def test_a_seed_below_0_is_refused() -> None:
    with pytest.raises(SimulationError, match="a seed is at least 0"):
        draw_futures(make_snapshot(), make_past((12, ())), count=1, length_blocks=1, window_blocks=1, seed=-1)


def test_no_block_is_no_past() -> None:
    with pytest.raises(SimulationError, match="no past"):
        Past.of(Flow(make_snapshot(), ()))
