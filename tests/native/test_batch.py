"""A batch on many forks is the same events one by one on each."""

from __future__ import annotations

import random
import threading

import pytest
from support.engine_duel import difference_of, state
from support.reading_duel import difference_in_reading

from protocol.errors import SimulationError
from protocol.units import Q96
from simulator import records
from simulator.events import LiquidityEvent
from simulator.pool import Pool, PoolRevert
from simulator.recovery import RecoveredCall, apply_call
from simulator.stretch import Mark

pytest.importorskip("simulator.native._core", reason="there was no compiler")

from simulator.native import batch
from simulator.native.batch import (
    DONE,
    NOT_REACHED,
    SKIPPED,
    STOPPED,
    EventBatch,
    run_events,
)
from simulator.native.pool import NativePool

Happening = tuple[int, RecoveredCall | LiquidityEvent | Mark | None]


def events_of(name: str) -> list[Happening]:
    """Return what happened on a recorded market, ready for a batch."""
    return [
        (block.timestamp, call if call is not None else event)  # type: ignore[misc]  # no call: a liquidity event
        for block in records.load(name).blocks
        for event, call in zip(block.events, block.calls, strict=True)
    ]


def one_by_one(pool: Pool, events: list[Happening], ranges: list[tuple[int, int]]) -> tuple[list[object], int]:
    """Apply events as a fork does. Returns the amounts (None: skipped) up to a revert, and the seconds in range."""
    answers: list[object] = []
    seconds = 0
    for timestamp, event in events:
        if any(lower <= pool.tick < upper for lower, upper in ranges):
            seconds += timestamp - pool.timestamp
        pool.timestamp = timestamp
        try:
            if event is None:
                answers.append((0, 0))
            elif isinstance(event, LiquidityEvent):
                amounts = pool.apply_liquidity(event.tick_lower, event.tick_upper, event.liquidity_delta)
                sign = 1 if event.liquidity_delta >= 0 else -1
                answers.append((sign * amounts[0], sign * amounts[1]))
            else:
                answers.append(apply_call(pool, event))
        except PoolRevert as revert:
            answers.append(revert.reason)
            break
    return answers, seconds


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_real_market_on_forks_with_positions_of_their_own(threads: int) -> None:
    record = records.load("wbtc-weth-03")
    events, rng = events_of("wbtc-weth-03"), random.Random(2)
    spacing = record.opening.tick_spacing
    middle = record.opening.tick // spacing * spacing
    ranges = [(middle - spacing * rng.randint(1, 9), middle + spacing * rng.randint(1, 9)) for _ in range(11)]
    forks = [NativePool.from_snapshot(record.opening)]
    forks += [forks[0].copy() for _ in ranges[1:]]
    for fork, (lower, upper) in zip(forks, ranges, strict=True):
        fork.mint("vault", lower, upper, 10**14)
    keys = [[("vault", *r)] for r in ranges]
    runs = run_events(forks, EventBatch.of(events), threads=threads, positions=keys, keep_amounts=True)
    for index in (0, 4, 10):
        python = Pool.from_snapshot(record.opening)
        python.mint("vault", *ranges[index], 10**14)
        answers, seconds = one_by_one(python, events, [ranges[index]])
        run = runs[index]
        assert difference_of(python, forks[index]) is None
        assert (run.applied, run.reason, run.in_range_s) == (len(events), None, seconds)
        assert list(run.fates) == [SKIPPED if answer is None else DONE for answer in answers]
        assert [run.amounts_at(i) for i in range(len(events))] == [answer or (0, 0) for answer in answers]


def small_pool() -> NativePool:
    pool = NativePool(3000, 60)
    pool.timestamp = 100
    pool.initialize(Q96)
    pool.apply_liquidity(-6000, 6000, 10**18)
    pool.knows_balances = False
    return pool


def test_a_passed_limit_is_skipped_and_any_other_revert_stops_only_its_fork() -> None:
    free, short = small_pool(), small_pool()
    free.apply_liquidity(-60, 60, 10**15)
    events: list[Happening] = [
        (112, RecoveredCall(True, 10**15, None)),
        (124, RecoveredCall(True, 10**15, Q96)),
        (136, LiquidityEvent(0, -60, 60, -(10**15), None, None)),
        (148, RecoveredCall(False, -(10**12), None)),
        (160, None),
    ]
    watched = [[("", -6000, 6000)], [("", 6000, 6060), ("", -60, 0)]]
    runs = run_events([free, short], EventBatch.of(events), positions=watched)
    assert [list(run.fates) for run in runs] == [
        [DONE, SKIPPED, DONE, DONE, DONE],
        [DONE, SKIPPED, STOPPED, NOT_REACHED, NOT_REACHED],
    ]
    assert [(run.applied, run.reason, run.in_range_s) for run in runs] == [(5, None, 60), (2, "LS", 24)]
    assert (free.timestamp, short.timestamp) == (160, 136)
    with pytest.raises(SimulationError, match="without keeping"):
        runs[0].amounts_at(0)


@pytest.mark.parametrize("seed", range(120))
def test_a_mark_reads_a_fork_as_the_fork_reads_itself(seed: int) -> None:
    """Near the lowest and the highest prices, too; marks anywhere, a start anywhere, owed tokens that wrap."""
    assert difference_in_reading(NativePool, batch, seed) is None


def test_a_batch_in_parts_is_the_batch() -> None:
    record = records.load("wbtc-weth-03")
    events = EventBatch.of(events_of("wbtc-weth-03"))
    whole, parts = NativePool.from_snapshot(record.opening), NativePool.from_snapshot(record.opening)
    run_events([whole], events)
    for start in range(0, len(events), 100):
        run_events([parts], events[start : start + 100])
    assert state(whole) == state(parts)
    assert len(events[5:5]) == len(events[9:2]) == 0
    with pytest.raises(SimulationError, match="step"):
        events[::2]


def test_a_fork_is_in_one_batch_once() -> None:
    pool, other = small_pool(), small_pool()
    events = EventBatch.of([(112, None)])
    with pytest.raises(SimulationError, match="distinct"):
        run_events([pool, other, pool], events)
    with pytest.raises(SimulationError, match="distinct forks, with positions"):
        run_events([pool], events, positions=[])
    with pytest.raises(SimulationError, match="distinct forks, with positions"):
        run_events([pool], events, starts=[])
    for start in (-1, 2):
        with pytest.raises(SimulationError, match="starts outside"):
            run_events([pool], events, starts=[start])
    with pytest.raises(SimulationError, match="outside the pool"):
        run_events([pool], events, positions=[[("", -887_273, 60)]])
    assert run_events([], events) == []
    assert len(run_events([pool], events[:0])[0].fates) == 0


def test_a_pool_in_a_running_batch_is_nobody_else_s() -> None:
    pool = small_pool()
    events = EventBatch.of([(112, RecoveredCall(i % 2 == 0, 10**14, None)) for i in range(400_000)])
    refused = 0
    while not refused:  # on a busy machine a whole batch may pass before we are given a turn
        worker = threading.Thread(target=run_events, args=([pool], events))
        worker.start()
        while worker.is_alive():
            try:
                assert pool.tick in range(-887_272, 887_272)
            except SimulationError:
                refused += 1
        worker.join()
    assert pool.timestamp == 112


@pytest.mark.parametrize(
    "event",
    [
        (-1, None),
        (2**64, None),
        (1, RecoveredCall(True, 2**255, None)),
        (1, RecoveredCall(True, 1, 2**160)),
        (1, RecoveredCall(True, 1, None, fee_pips=500)),
        (1, LiquidityEvent(0, -60, 60, 2**127, None, None)),
    ],
)
def test_what_no_event_could_hold_is_refused(event: Happening) -> None:
    with pytest.raises(SimulationError):
        EventBatch.of([event])
