"""Material for an honest search: paths of views, months drawn from days, and folds that do not touch."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from miner.memory import MAX_BARS
from miner.signals import read
from miner.span import LOG_TICK
from miner.strategies.three_force.candles import M15_MS, Candle
from miner.strategies.three_force.sums import mean
from miner.view import View

BARS_PER_DAY = 96
Path: TypeAlias = tuple[tuple[int, View], ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """Where to choose and where to check, as steps of a path; between both lies the longest lookback."""

    train: slice
    test: slice


@dataclass(frozen=True, slots=True)
class FoldParams:
    """Lengths in days."""

    count: int = 5
    train_days: int = 14
    gap_days: int = 4  # 24 bars of four hours: what a signal looks back
    test_days: int = 3
    embargo_days: int = 1

    @property
    def days(self) -> int:
        """How long a path must be."""
        return self.train_days + self.gap_days + self.count * (self.test_days + self.embargo_days) - self.embargo_days


def seed_of(round_id: str, pool: str, version: str) -> int:
    """Return the seed that belongs to a round, a pool and a version of the policy.

    Parameters: any texts
    Returns:    the first eight bytes of a SHA-256, as an integer
    Rounding:   none
    Raises:     nothing
    Source:     strategy reference B2.6
    """
    digest = hashlib.sha256("\0".join((round_id, pool, version)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def make_path(m15: Sequence[Candle], *, fee_rate: float, cost: float, tick_spacing: int, is_stable: bool) -> Path:
    """Return what a strategy would have seen at the end of each bar.

    Parameters: m15  ascending, prices > 0   ·   fee_rate  f0 per year   ·   cost  of a swap, a fraction
    Returns:    (chain time, view) per bar, from that bar and those before it
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     the live strategy's own view (`miner.view`)
    """
    path = []
    for i, bar in enumerate(m15):
        bars = tuple(m15[max(0, i + 1 - MAX_BARS) : i + 1])
        now_ms = bar[0] + M15_MS
        recent = [math.log(earlier[4]) / LOG_TICK for earlier in bars[-2:]]
        view = View(
            x=math.log(bar[4]) / LOG_TICK,
            signals=read(bars, now_ms, is_stable=is_stable),
            fee_rate=fee_rate,
            fee_rate_se=0.0,
            twap=mean(recent),
            cost=cost,
            share0=0.5,
            tick_spacing=tick_spacing,
            is_stable=is_stable,
            bars=bars,
        )
        path.append((now_ms // 1000, view))
    return tuple(path)


def bootstrap(m15: Sequence[Candle], days: int, seed: int) -> list[Candle]:
    """Return a longer record made of days drawn with replacement from a short one.

    Parameters: m15  ascending without gaps, at least a day and a bar, prices > 0   ·   days  > 0   ·   seed  any
    Returns:    bars whose moves within each day are the record's own, days in random order
    Rounding:   floats
    Raises:     ValueError for less than a day
    Source:     block bootstrap (Künsch 1989); strategy reference B2.6
    """
    starts = len(m15) - BARS_PER_DAY
    if starts < 1:
        raise ValueError(f"{len(m15)} bars are no day to draw from")
    generator = np.random.default_rng(seed)
    result: list[Candle] = []
    timestamp_ms, close = m15[0][0], m15[0][4]
    for start in generator.integers(1, starts + 1, size=days):
        for before, bar in itertools.pairwise(m15[int(start) - 1 : int(start) + BARS_PER_DAY]):
            scale = close / before[4]
            result.append((timestamp_ms, *(price * scale for price in bar[1:5]), bar[5]))  # type: ignore[arg-type]  # four prices
            timestamp_ms, close = timestamp_ms + M15_MS, bar[4] * scale
    return result


def make_folds(steps: int, params: FoldParams, *, per_day: int = BARS_PER_DAY) -> tuple[Fold, ...]:
    """Return the folds of a path, each later than the one before.

    Parameters: steps  length of the path   ·   params  lengths in days   ·   per_day  steps of a day
    Returns:    `count` folds at the end of the path
    Rounding:   none
    Raises:     ValueError where the path is too short
    Source:     strategy reference B2.6
    """
    first = steps - params.days * per_day
    if first < 0:
        raise ValueError(f"{steps / per_day:g} days are shorter than the {params.days} of the folds")
    folds = []
    for k in range(params.count):
        start = first + k * (params.test_days + params.embargo_days) * per_day
        end = start + params.train_days * per_day
        test = end + params.gap_days * per_day
        folds.append(Fold(slice(start, end), slice(test, test + params.test_days * per_day)))
    return tuple(folds)
