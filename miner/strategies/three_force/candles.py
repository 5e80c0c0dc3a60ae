"""Candles: one per venue and minute become one per minute, and those become longer ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from miner.strategies.three_force.sums import total

Candle: TypeAlias = tuple[int, float, float, float, float, float]  # timestamp_ms, open, high, low, close, volume

M1_MS = 60_000
M15_MS = 15 * M1_MS
H1_MS = 60 * M1_MS
H4_MS = 4 * H1_MS


@dataclass(frozen=True, slots=True)
class CandleParams:
    """How many bars of each frame are looked at, and what each venue weighs."""

    m15_bars: int = 96
    h1_bars: int = 168
    h4_bars: int = 180
    venue_weights: tuple[float, ...] = (0.40, 0.25, 0.20, 0.15)


DEFAULTS = CandleParams()


@dataclass(frozen=True, slots=True)
class Frames:
    """The same time in three lengths of bar, ascending."""

    m15: tuple[Candle, ...]
    h1: tuple[Candle, ...]
    h4: tuple[Candle, ...]


def merge(venues: Sequence[Iterable[Candle]], weights: Sequence[float] = DEFAULTS.venue_weights) -> list[Candle]:
    """Return one candle a minute from those of several venues.

    Parameters: venues  candles of each, any order within the minute   ·   weights  one per venue, >= 0
    Returns:    ascending M1 candles: open and close weighted, high the highest, low the lowest, volume the sum. A
                minute in which only venues of weight 0 traded is dropped
    Rounding:   floats
    Raises:     ValueError if there are fewer weights than venues
    Source:     strategy reference A1
    """
    if len(weights) < len(venues):
        raise ValueError(f"{len(venues)} venues, but {len(weights)} weights")
    minutes: dict[int, list[tuple[float, Candle]]] = {}
    for weight, candles in zip(weights, venues, strict=False):
        for candle in candles:
            minutes.setdefault(int(candle[0] // M1_MS * M1_MS), []).append((weight, candle))
    merged: list[Candle] = []
    for minute, entries in sorted(minutes.items()):
        weight_sum = total(weight for weight, _ in entries)
        if weight_sum == 0:
            continue
        merged.append(
            (
                minute,
                total(weight * candle[1] for weight, candle in entries) / weight_sum,
                max(candle[2] for _, candle in entries),
                min(candle[3] for _, candle in entries),
                total(weight * candle[4] for weight, candle in entries) / weight_sum,
                total(candle[5] for _, candle in entries),
            )
        )
    return merged


def aggregate(candles: Iterable[Candle], period_ms: int) -> list[Candle]:
    """Return longer candles.

    Parameters: candles  in the order in which they arrived   ·   period_ms  > 0
    Returns:    one candle per UTC bucket that holds any, ascending; the first and the last may be incomplete. Open is
                the first to arrive, close the last
    Rounding:   floats, volumes added in order
    Raises:     nothing
    Source:     strategy reference A1
    """
    buckets: dict[int, Candle] = {}
    for timestamp_ms, first, high, low, close, volume in candles:
        bucket = timestamp_ms // period_ms * period_ms
        bar = buckets.get(bucket)
        if bar is None:
            buckets[bucket] = (bucket, first, high, low, close, volume)
        else:
            buckets[bucket] = (bucket, bar[1], max(bar[2], high), min(bar[3], low), close, bar[5] + volume)
    return [buckets[bucket] for bucket in sorted(buckets)]


def frames(m1_candles: Iterable[Candle], params: CandleParams = DEFAULTS) -> Frames:
    """Return the three frames of the 3-force system.

    Parameters: m1_candles  in the order in which they arrived   ·   params  bars kept of each frame
    Returns:    the last bars of each; M15 and H1 are made of M1, H4 of H1
    Rounding:   as `aggregate`
    Raises:     nothing
    Source:     strategy reference A1
    """
    minutes = list(m1_candles)
    hours = aggregate(minutes, H1_MS)
    return Frames(
        m15=tuple(aggregate(minutes, M15_MS)[-params.m15_bars :]),
        h1=tuple(hours[-params.h1_bars :]),
        h4=tuple(aggregate(hours, H4_MS)[-params.h4_bars :]),
    )
