"""What single pieces of the native engine's work cost, in nanoseconds, seconds and bytes."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from benchmarks.workload import Workload, synthetic
from protocol.units import Q96
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.native.batch import EventBatch, run_events
from simulator.native.pool import NativePool
from simulator.recovery import RecoveredCall

FORKS, DAY = 256, 6_000
EVENTS, RUNS = 20_000, 25
SEGMENTS, SPACING = 100, 60
Calls = list[tuple[int, RecoveredCall]]


def costs() -> dict[str, float]:
    """Return every figure by its name."""
    flat = _flat_pool()
    rng = random.Random(1)
    amounts = [rng.randrange(10**14, 10**16) for _ in range(EVENTS)]
    swaps = [RecoveredCall(index % 2 == 0, amount, None) for index, amount in enumerate(amounts)]
    # One unit of token0 is worth nine of token1: back and forth the price stays where it is.
    outputs = [RecoveredCall(i % 2 == 0, -amount * (9 if i % 2 == 0 else 1), None) for i, amount in enumerate(amounts)]
    first, again = _crossings()
    day, snapshot = synthetic(DAY), _pool_of_ticks(600)
    one, two = _day_s(day, threads=1), _day_s(day, threads=2)
    return {
        "in_tick_ns": _best_ns(flat, [(2, swap) for swap in swaps]),
        "in_tick_exact_output_ns": _best_ns(flat, [(2, swap) for swap in outputs]),
        "in_tick_own_block_ns": _best_ns(flat, [(2 + 12 * i, swap) for i, swap in enumerate(swaps)]),
        "crossing_ns": again,
        "first_crossing_ns": first,
        "day_256_forks_1_thread_s": one,
        "day_256_forks_2_threads_s": two,
        "fork_600_ticks_bytes": sys.getsizeof(snapshot.copy()),
    }


def _flat_pool() -> NativePool:
    """A pool with one wide position at a price of 9."""
    pool = NativePool(3000, SPACING)
    pool.timestamp = 1
    pool.initialize(Q96 * 3)
    pool.mint(0, -887_220, 887_220, 10**20)
    return pool


def _pool_of_ticks(count: int) -> NativePool:
    """A pool with that many initialised ticks, one position between any two neighbours."""
    rng = random.Random(3)
    pool = NativePool(3000, SPACING)
    pool.timestamp = 1
    pool.initialize(Q96)
    for index in range(-(count // 2), count - count // 2 - 1):
        pool.apply_liquidity(index * SPACING, (index + 1) * SPACING, rng.randrange(10**18, 2 * 10**18))
    return pool


def _best_ns(pool: NativePool, calls: Sequence[tuple[int, RecoveredCall]]) -> float:
    """Return nanoseconds a call, the best of several runs on fresh forks."""
    batch = EventBatch.of(calls)
    return min(_thread_ns(pool.copy(), batch) for _ in range(RUNS)) / len(calls)


def _thread_ns(pool: NativePool, batch: EventBatch) -> int:
    begin = time.thread_time_ns()
    run_events([pool], batch)
    return time.thread_time_ns() - begin


def _crossings() -> tuple[float, float]:
    """Return nanoseconds a crossing of a segment, for the first time and again, from edge to edge of a wide pool."""
    ends = [get_sqrt_ratio_at_tick(sign * (SEGMENTS * SPACING - SPACING // 2)) for sign in (-1, 1)]
    sweeps = [(2, RecoveredCall(index % 2 == 0, 10**30, ends[index % 2])) for index in range(2)]
    there, both = EventBatch.of(sweeps[:1]), EventBatch.of(sweeps)
    first, again = [], []
    for _ in range(RUNS):
        pool = _pool_of_ticks(2 * SEGMENTS + 2)
        run_events(
            [pool],
            EventBatch.of(
                [(2, RecoveredCall(zero_for_one=False, amount_specified=10**30, sqrt_price_limit_x96=ends[1]))]
            ),
        )
        first.append(_thread_ns(pool, there) / (2 * SEGMENTS))
        run_events([pool], EventBatch.of(sweeps[1:]))
        again.append(min(_thread_ns(pool, both) for _ in range(10)) / (4 * SEGMENTS))
    return min(first), min(again)


def _day_s(day: Workload, *, threads: int) -> float:
    """Return the seconds of a busy day on 256 forks: processor time of one thread, wall clock of two."""
    base, batch = day.pool("native"), EventBatch.of(day.happened)
    clock, seconds = (time.thread_time if threads == 1 else time.perf_counter), []
    for _ in range(3):
        forks: list[NativePool] = [base.copy() for _ in range(FORKS)]  # type: ignore[misc]  # it is a native pool
        begin = clock()
        run_events(forks, batch, threads=threads)
        seconds.append(clock() - begin)
    return min(seconds)
