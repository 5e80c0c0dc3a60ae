"""Volatility, momentum and trend of one frame, and their blend over three."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from miner.strategies.three_force.candles import Candle, frames
from miner.strategies.three_force.sums import clamp, mean, std, total

_MIN_M1_CANDLES = 10  # with no more than these nothing is said


@dataclass(frozen=True, slots=True)
class ForceParams:
    """How far back each force looks, in bars, and what M15, H1 and H4 weigh."""

    volatility_lookback: int = 24
    momentum_lookback: int = 24
    trend_lookback: int = 36
    frame_weights: tuple[float, float, float] = (0.30, 0.40, 0.30)


DEFAULTS = ForceParams()


@dataclass(frozen=True, slots=True)
class Forces:
    """The three forces, each 0 to 100. It unpacks as (v, m, t); the other fields are for display."""

    v: float
    m: float
    t: float
    mean: float = 0.0
    std: float = 0.0
    ups: float = 0.0
    downs: float = 0.0

    def __iter__(self) -> Iterator[float]:
        return iter((self.v, self.m, self.t))

    @property
    def volatility(self) -> float:
        """The volatility force v."""
        return self.v

    @property
    def momentum(self) -> float:
        """The momentum force m."""
        return self.m

    @property
    def trend(self) -> float:
        """The trend force t."""
        return self.t


def parkinson_volatility(candles: Sequence[Candle], lookback: int = DEFAULTS.volatility_lookback) -> float:
    """Return the volatility per bar from highs and lows.

    Parameters: candles  ascending   ·   lookback  bars, > 0
    Returns:    sqrt(Σ ln(h/l)² / (4·N·ln 2)) over the N bars with both prices above 0; 0 below two of them
    Rounding:   floats
    Raises:     nothing
    Source:     Parkinson 1980; strategy reference A2
    """
    squares = [math.log(high / low) ** 2 for _, _, high, low, _, _ in candles[-lookback:] if high > 0 and low > 0]
    if len(squares) < 2:
        return 0.0
    return math.sqrt(total(squares) / (4 * len(squares) * math.log(2)))


def scale_volatility(sigma: float) -> float:
    """Return the volatility force of a volatility per bar.

    Parameters: sigma  per bar, >= 0
    Returns:    100·(1 − exp(−60·sigma)), 0 to 100
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A2
    """
    return clamp(100 * (1 - math.exp(-60 * sigma)), 0, 100)


def volatility_force(candles: Sequence[Candle], lookback: int = DEFAULTS.volatility_lookback) -> float:
    """Return the volatility force of one frame.

    Parameters: candles  ascending   ·   lookback  bars, > 0
    Returns:    0 to 100; from highs and lows, or from closes where no bar has a high above a positive low
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A2
    """
    bars = candles[-lookback:]
    if len(bars) < 2:
        return 0.0
    if any(high > low > 0 for _, _, high, low, _, _ in bars):
        return scale_volatility(parkinson_volatility(candles, lookback))
    closes = [bar[4] for bar in bars]
    centre = mean(closes)
    return clamp(100 * std(closes) / centre, 0, 100) if centre > 0 else 0.0


def momentum_force(candles: Sequence[Candle], lookback: int = DEFAULTS.momentum_lookback) -> float:
    """Return the relative strength of one frame's closes.

    Parameters: candles  ascending   ·   lookback  bars, > 0; the period is that, 14 at most
    Returns:    0 to 100; 50 without enough bars, 100 if nothing ever fell (also if nothing moved)
    Rounding:   floats
    Raises:     nothing
    Source:     Wilder 1978; strategy reference A2
    """
    closes, period = [bar[4] for bar in candles], min(14, lookback)
    if len(closes) < max(period + 1, 2):
        return 50.0
    first = max(1, len(closes) - 5 * period)
    changes = [closes[i] - closes[i - 1] for i in range(first, len(closes))]
    gain = total(max(change, 0.0) for change in changes[:period]) / period
    loss = total(max(-change, 0.0) for change in changes[:period]) / period
    for change in changes[period:]:
        gain = (gain * (period - 1) + max(change, 0.0)) / period
        loss = (loss * (period - 1) + max(-change, 0.0)) / period
    return 100.0 if loss == 0 else clamp(100 - 100 / (1 + gain / loss), 0, 100)


def trend_force(candles: Sequence[Candle], lookback: int = DEFAULTS.trend_lookback) -> float:
    """Return how far the short average of one frame's closes is above the long one.

    Parameters: candles  ascending   ·   lookback  bars, > 0
    Returns:    0 to 100; 50 for no difference or fewer than four bars
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A2
    """
    closes = [bar[4] for bar in candles]
    n = min(lookback, len(closes))
    if n < 4:
        return 50.0
    short, long = mean(closes[-(n // 3) :]), mean(closes[-(2 * n // 3) :])
    return clamp(50 + 1000 * (short - long) / long, 0, 100) if long > 0 else 50.0


def compute(candles: Sequence[Candle], params: ForceParams = DEFAULTS) -> Forces:
    """Return the forces of one frame.

    Parameters: candles  ascending, of one length   ·   params  lookbacks
    Returns:    the forces; mean and std of the closes that volatility looks at, and how many of the last closes rose
                and fell
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A2
    """
    closes = [bar[4] for bar in candles]
    looked_at = closes[-params.volatility_lookback :]
    changes = [b - a for a, b in itertools.pairwise(closes)][-params.momentum_lookback :]
    return Forces(
        v=volatility_force(candles, params.volatility_lookback),
        m=momentum_force(candles, params.momentum_lookback),
        t=trend_force(candles, params.trend_lookback),
        mean=mean(looked_at),
        std=std(looked_at),
        ups=float(sum(change > 0 for change in changes)),
        downs=float(sum(change < 0 for change in changes)),
    )


def composite(m1_candles: Sequence[Candle], params: ForceParams = DEFAULTS) -> Forces:
    """Return the forces of M15, H1 and H4 blended.

    Parameters: m1_candles  in the order in which they arrived   ·   params  lookbacks and weights
    Returns:    the weighted sums. A frame with too few bars adds v 0, m 50, t 50; so do 10 M1 candles or fewer
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A2
    """
    if len(m1_candles) <= _MIN_M1_CANDLES:
        return Forces(0.0, 50.0, 50.0)
    all_frames = frames(m1_candles)
    parts = [astuple(compute(bars, params)) for bars in (all_frames.m15, all_frames.h1, all_frames.h4)]
    return Forces(
        *(
            total(weight * value for weight, value in zip(params.frame_weights, column, strict=True))
            for column in zip(*parts, strict=True)
        )
    )
