"""What past prices say: volatility per year, trend and momentum, each in units of its own chance."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from miner.strategies.three_force.candles import H1_MS, H4_MS, M15_MS, Candle, aggregate
from miner.strategies.three_force.forces import momentum_force
from miner.strategies.three_force.sums import mean, total

_Frame: TypeAlias = tuple[float, int, list[Candle]]  # its weight, the length of a bar, its complete bars

YEAR_MS = 31_557_600_000
_LN2 = math.log(2)
_NULL_GAP = 17 / 12  # deviation of ln(SMA12/SMA24) of a driftless walk, in bars' deviations
_NULL_RSI = 12.0  # deviation of RSI14 of a driftless walk, nearly (11.9)


@dataclass(frozen=True, slots=True)
class SignalParams:
    """Which bars are looked at, and what is believed before there are any."""

    bars: int = 24
    min_bars: int = 12
    frame_weights: tuple[float, float, float] = (0.3, 0.4, 0.3)  # M15, H1, H4
    ewma_lambda: float = 0.97
    winsor: float = 5.0
    floor: float = 1e-4
    prior_sigma: float = 0.6
    stable_prior_sigma: float = 0.02
    prior_bars: float = 12.0  # how many M15 bars the prior weighs


DEFAULTS = SignalParams()


@dataclass(frozen=True, slots=True)
class Signals:
    """Volatility per square root of a year; trend and momentum in standard deviations of pure chance."""

    sigma: float
    z_trend: float
    z_momentum: float


def parkinson_variance(bar: Candle) -> float:
    """Return one bar's variance by its high and low.

    Parameters: bar  prices > 0
    Returns:    per bar
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     Parkinson 1980; strategy reference B2.1
    """
    return math.log(bar[2] / bar[3]) ** 2 / (4 * _LN2)


def garman_klass_variance(bar: Candle) -> float:
    """Return one bar's variance by all four prices, for a price without drift.

    Parameters: bar  prices > 0
    Returns:    per bar
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     Garman, Klass 1980; strategy reference B2.1
    """
    _, first, high, low, close, _ = bar
    return math.log(high / low) ** 2 / 2 - (2 * _LN2 - 1) * math.log(close / first) ** 2


def rogers_satchell_variance(bar: Candle) -> float:
    """Return one bar's variance by all four prices, for a price with any drift.

    Parameters: bar  prices > 0
    Returns:    per bar
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     Rogers, Satchell 1991; strategy reference B2.1
    """
    _, first, high, low, close, _ = bar
    return math.log(high / close) * math.log(high / first) + math.log(low / close) * math.log(low / first)


def range_variance(bars: Sequence[Candle], winsor: float = DEFAULTS.winsor) -> float:
    """Return the mean Parkinson variance of bars, no bar counting more than several times the usual one.

    Parameters: bars  not empty, prices > 0   ·   winsor  ln(high/low) is cut at this many medians
    Returns:    per bar
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     strategy reference B2.1
    """
    spans = [math.log(bar[2] / bar[3]) for bar in bars]
    middle = statistics.median(spans)
    limit = winsor * middle if middle > 0 else math.inf
    return total(min(span, limit) ** 2 for span in spans) / (4 * _LN2 * len(spans))


def realised_variance(bars: Sequence[Candle], decay: float = DEFAULTS.ewma_lambda) -> float | None:
    """Return the recent variance of closes, the newest weighing most.

    Parameters: bars  M15, ascending, closes > 0   ·   decay  weight of a bar relative to its successor
    Returns:    per year, or None for fewer than two bars; a move over a gap counts as spread evenly over it
    Rounding:   floats
    Raises:     ValueError for closes of 0
    Source:     strategy reference B2.1
    """
    weighted = weights = 0.0
    for before, bar in itertools.pairwise(bars):
        elapsed = (bar[0] - before[0]) / M15_MS
        weighted = decay * weighted + math.log(bar[4] / before[4]) ** 2 / elapsed
        weights = decay * weights + 1
    return weighted / weights * (YEAR_MS / M15_MS) if weights else None


def annual_variance(m15: Sequence[Candle], now_ms: int, params: SignalParams = DEFAULTS) -> float | None:
    """Return the variance per year: half from highs and lows of three frames, half from closes.

    Parameters: m15  ascending, prices > 0   ·   now_ms  bars that end later are left out
    Returns:    per year, or None while there are fewer than two complete bars
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     strategy reference B2.1
    """
    complete = _complete(m15, M15_MS, now_ms)
    return _variance(complete, _frames(complete, now_ms, params), params)


def _variance(complete: Sequence[Candle], frames: Sequence[_Frame], params: SignalParams) -> float | None:
    realised = realised_variance(complete, params.ewma_lambda)
    if realised is None:
        return None
    parts = [
        (weight, range_variance(bars[-params.bars :], params.winsor) * YEAR_MS / period_ms)
        for weight, period_ms, bars in frames
    ]
    if parts:
        of_ranges = total(weight * variance for weight, variance in parts) / total(weight for weight, _ in parts)
        realised = (of_ranges + realised) / 2
    return max(realised, params.floor**2)


def _complete(bars: Sequence[Candle], period_ms: int, now_ms: int) -> list[Candle]:
    return [bar for bar in bars if bar[0] + period_ms <= now_ms]


def _frames(complete: Sequence[Candle], now_ms: int, params: SignalParams) -> list[_Frame]:
    """Return the frames that have enough bars."""
    hours = aggregate(complete, H1_MS)
    frames = (
        (params.frame_weights[0], M15_MS, list(complete)),
        (params.frame_weights[1], H1_MS, _complete(hours, H1_MS, now_ms)),
        (params.frame_weights[2], H4_MS, _complete(aggregate(hours, H4_MS), H4_MS, now_ms)),
    )
    return [frame for frame in frames if len(frame[2]) >= params.min_bars]


def trend_score(bars: Sequence[Candle]) -> float:
    """Return how unusual the gap of two averages is for a price without drift.

    Parameters: bars  24 or more of one length, prices > 0
    Returns:    ln(SMA12/SMA24) in standard deviations of pure chance; 0 where nothing moved
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     strategy reference B2.3
    """
    closes = [bar[4] for bar in bars[-24:]]
    deviation = math.sqrt(range_variance(bars[-24:]))
    return math.log(mean(closes[-12:]) / mean(closes)) / (deviation * _NULL_GAP) if deviation > 0 else 0.0


def momentum_score(bars: Sequence[Candle]) -> float:
    """Return how unusual the relative strength is.

    Parameters: bars  of one length
    Returns:    (RSI14 - 50) in standard deviations of pure chance; 0 where nothing moved
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.3, B1.6
    """
    closes = {bar[4] for bar in bars[-71:]}  # RSI14 looks at 70 changes
    return (momentum_force(bars, 14) - 50) / _NULL_RSI if len(closes) > 1 else 0.0


def read(m15: Sequence[Candle], now_ms: int, *, is_stable: bool, params: SignalParams = DEFAULTS) -> Signals:
    """Return all signals at a moment, from complete bars alone; sane from the first query on.

    Parameters: m15  ascending, prices > 0   ·   now_ms  of the decision   ·   is_stable  which prior
    Returns:    the volatility drawn towards a prior while there are few bars; scores 0 without bars
    Rounding:   floats
    Raises:     ValueError for prices of 0
    Source:     strategy reference B2.1, B2.3; the prior is ours
    """
    return _read(tuple(_complete(m15, M15_MS, now_ms)), now_ms // M15_MS * M15_MS, is_stable, params)


@lru_cache(maxsize=64)  # all that is asked about within a quarter of an hour sees the same complete bars
def _read(complete: tuple[Candle, ...], now_ms: int, is_stable: bool, params: SignalParams) -> Signals:  # noqa: FBT001 a key
    prior = (params.stable_prior_sigma if is_stable else params.prior_sigma) ** 2
    frames = _frames(complete, now_ms, params)
    measured = _variance(complete, frames, params)
    variance = prior
    if measured is not None:
        # Between logarithms: pairs differ by orders of magnitude, and a mean would stay near the larger one for days.
        share = len(complete) / (len(complete) + params.prior_bars)
        variance = measured**share * prior ** (1 - share)
    scored = [(weight, bars) for weight, _, bars in frames if len(bars) >= params.bars]
    weights = total(weight for weight, _ in scored)
    if not scored:
        return Signals(math.sqrt(variance), 0.0, 0.0)
    return Signals(
        math.sqrt(variance),
        total(weight * trend_score(bars) for weight, bars in scored) / weights,
        total(weight * momentum_score(bars) for weight, bars in scored) / weights,
    )
