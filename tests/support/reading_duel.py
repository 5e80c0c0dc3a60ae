"""What a native batch reads of a fork at its marks, held against what the fork reads of itself, on random markets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from simulator.events import LiquidityEvent
from simulator.fork import VAULT, Fork, Reading
from simulator.marks import MarkSums
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.pool import Pool
from simulator.portfolio import Range
from simulator.recovery import RecoveredCall
from simulator.stretch import MARK, PythonSteps, Step, take_step
from simulator.valuation import Prices


def market(rng: random.Random) -> list[Step]:
    """Return swaps of any size, small positions of others, marks and moments without anything."""
    steps: list[Step] = []
    for index in range(40):
        kind, low = rng.random(), 60 * rng.randint(-12, 8)
        what: Any = RecoveredCall(rng.random() < 0.5, rng.randint(1, 10 ** rng.randint(1, 18)), None)
        if kind < 0.35:
            what = MARK
        elif kind < 0.45:
            what = None
        elif kind < 0.5:
            what = LiquidityEvent(0, low, low + 120, rng.randint(1, 10**18), None, None)
        steps.append((12 * index, what))
    return steps


def vault(rng: random.Random, pools: tuple[Any, Any], middle: int) -> list[Fork]:
    """Put the same positions into both pools, one of them perhaps owed almost more than a position can remember."""
    lows = [middle + 60 * rng.randint(-12, 8) for _ in range(rng.randint(0, 3))]
    ranges = {Range(low, low + 60 * rng.randint(1, 12)) for low in lows}
    for r in ranges:
        liquidity = rng.randint(1, 10 ** rng.randint(1, 19))
        for pool in pools:
            pool.mint(VAULT, r.tick_lower, r.tick_upper, liquidity)
    if ranges and rng.random() < 0.5:
        first = min(ranges)
        key = (VAULT, first.tick_lower, first.tick_upper)
        for pool in pools:
            pool.positions[key] = replace(pool.positions[key], tokens_owed_0=2**128 - 5, tokens_owed_1=7)
    return [Fork(pool, 0, 0, ranges) for pool in pools]


def change(rng: random.Random) -> Prices:
    """Return what prices change by, up to the widest that a batch can hold."""
    return Prices(*(rng.choice((-1, 0, 1)) * rng.getrandbits(rng.choice((10, 192, 320, 383))) for _ in range(2)))


def readings(fork: Fork, steps: Sequence[Step]) -> list[Reading]:
    """Return what a fork reads of itself at the marks among some steps."""
    found = []
    for step in steps:
        take_step(fork.pool, step)
        if step[1] is MARK:
            found.append(fork.read())
    return found


def told(sums: MarkSums) -> tuple[object, ...]:
    """Return what sums say; of equal shares either may be the one that was kept."""
    share = Fraction(sums.most_own, sums.most_pool) if sums.most_own else 0
    return sums.count, sums.last, sums.principal_x192, sums.fees_x192, share


def difference_in_reading(native_pool: type, batch: Any, seed: int) -> str | None:
    """Return where a batch and the Python steps part, None if nowhere. `batch` is the module of native batches."""
    rng = random.Random(seed)
    middle = 60 * rng.choice((0, 0, 0, -14_600, 14_600))
    price = get_sqrt_ratio_at_tick(middle + rng.choice((0, rng.randint(-30, 30))))
    pools = Pool(3000, 60), native_pool(3000, 60)
    for pool in pools:
        pool.initialize(price)
        pool.knows_balances = False
        pool.apply_liquidity(-887_220, 887_220, 10**18)
    python, native = vault(rng, pools, middle)
    steps, start = market(rng), rng.randint(0, 40)
    changes = {index: change(rng) for index, (_, what) in enumerate(steps) if what is MARK}
    read = readings(python.copy(), steps[start:])
    [expected] = PythonSteps(steps).run([python], [start], len(steps), changes)
    keys, events = [(VAULT, r.tick_lower, r.tick_upper) for r in native.ranges], batch.EventBatch.of(steps)
    [looked] = batch.run_events([native.pool.copy()], events, positions=[keys], starts=[start])
    weights = batch.Weights.of(changes.values())
    [run] = batch.run_events([native.pool], events, positions=[keys], starts=[start], weights=weights)
    fates = [batch.NOT_REACHED] * start + [batch.DONE] * (len(steps) - start)
    compared = {
        "readings": (list(looked.readings), read),
        "sums": (told(run.sums), told(expected.marks)),
        "seconds in range": (run.in_range_s, expected.in_range_s),
        "fates": (list(run.fates), fates),
        "price": (native.pool.sqrt_price_x96, python.pool.sqrt_price_x96),
    }
    return next((name for name, (ours, theirs) in compared.items() if ours != theirs), None)
