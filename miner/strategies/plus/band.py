"""The one range function of `btr_plus`: the live strategy, the back-test and the optimizer all call it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from miner.placement import clamp
from miner.signals import Signals
from miner.span import LOG_TICK, Span, around
from simulator.portfolio import Range


@dataclass(frozen=True, slots=True)
class BandParams:
    """How wide and how tilted. Widths are logs of price ratios, from the price to an edge."""

    kappa_w: float = 2.0  # standard deviations ...
    horizon_days: float = 1.0  # ... of this long, in half a width
    w_lo: float = 0.005
    w_hi: float = 0.5
    b_max: float = 0.25
    momentum_weight: float = 0.5
    margin: float = 0.05  # of κ above 1 before narrow ranges are thought to pay

    @classmethod
    def for_pool(cls, tick_spacing: int, *, is_stable: bool, b_max: float = 0.25) -> BandParams:
        """Return the defaults of a pool: two spacings at least, stable pairs in a range of their own."""
        w_lo, w_hi = (0.0003, 0.02) if is_stable else (0.005, 0.5)
        w_lo = max(w_lo, 2 * tick_spacing * LOG_TICK)
        return cls(w_lo=w_lo, w_hi=max(w_hi, 2 * w_lo), b_max=b_max)


def width(sigma: float, params: BandParams) -> float:
    """Return the log half-width for a volatility: strictly wider when it rises, within bounds.

    Parameters: sigma  per square root of a year, > 0   ·   params  w_lo < w_hi
    Returns:    w_lo·(w_hi/w_lo)^u with u a logistic of ln(sigma); elasticity 1 in the middle
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.2
    """
    horizon = params.horizon_days / 365.25
    q = params.kappa_w * sigma * math.sqrt(horizon) / math.sqrt(params.w_lo * params.w_hi)
    power = q ** (4 / math.log(params.w_hi / params.w_lo))
    u = power / (1 + power) if math.isfinite(power) else 1.0
    return params.w_lo * math.exp(u * math.log(params.w_hi / params.w_lo))


def economic_width(w: float, fee_to_lvr: float | None, cost: float, params: BandParams) -> float:
    """Return the width that fees justify, never less than the one for the volatility.

    Parameters: w  log half-width for the volatility   ·   fee_to_lvr  κ, None if not measured   ·   cost  of a swap
    Returns:    the widest where κ is not above 1 + margin, else clip(4·cost/(κ − 1), w, w_hi)
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.2, C1 P9
    """
    if fee_to_lvr is None:
        return w
    if fee_to_lvr <= 1 + params.margin:
        return params.w_hi
    return min(max(4 * cost / (fee_to_lvr - 1), w), params.w_hi)


def bias(z_trend: float, z_momentum: float, params: BandParams) -> float:
    """Return the tilt of a range: smooth, odd, and below its bound.

    Parameters: z_trend, z_momentum  in standard deviations of chance
    Returns:    -b_max to b_max, above 0 if the range reaches further up
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.3
    """
    weight = params.momentum_weight
    agreement = 1 + weight * math.tanh(z_momentum * z_trend / 2)
    return params.b_max * math.tanh(z_trend / 2) * agreement / (1 + weight)


def compute(
    x: float, signals: Signals, params: BandParams, *, fee_to_lvr: float | None = None, cost: float = 0.0007
) -> Span:
    """Return the range around a price.

    Parameters: x  the pool's price in ticks   ·   signals  of the pool's own price, not of its inverse
                fee_to_lvr, cost  see `economic_width`
    Returns:    from x·e^(−w(1−b)) to x·e^(w(1+b)), in ticks; its width is 2w whatever the tilt
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.2 to B2.4
    """
    w = economic_width(width(signals.sigma, params), fee_to_lvr, cost, params)
    b = bias(signals.z_trend, signals.z_momentum, params)
    return around(x, w * (1 - b), w * (1 + b))


def align(span: Span, tick_spacing: int, min_width: int = 1) -> Range | None:
    """Return the aligned range around a span, as it will really be held.

    Parameters: span  ticks   ·   tick_spacing  > 0   ·   min_width  ticks that the job demands
    Returns:    two spacings at least, cut to the pool's ticks; None where too little is left of it
    Rounding:   outward: the lower tick down, the upper one up
    Raises:     nothing
    Source:     strategy reference B2.4
    """
    spacing = tick_spacing
    least = max(2 * spacing, -(-min_width // spacing) * spacing)
    lower, upper = math.floor(span.lower / spacing) * spacing, math.ceil(span.upper / spacing) * spacing
    missing = least - (upper - lower)
    if missing > 0:
        grow = -(-missing // (2 * spacing)) * spacing
        lower, upper = lower - grow, upper + grow
    return clamp(lower, upper, spacing, max(min_width, 1))
