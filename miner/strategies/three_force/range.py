"""From forces to a price range, and from a price range to ticks. Prices are token1 per token0."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from miner.strategies.three_force.sums import clamp

RegimeType = Literal["bullish", "bearish", "neutral"]
_LOG_TICK = math.log(1.0001)


@dataclass(frozen=True, slots=True)
class RangeParams:
    """The published constants of the range. Any may be replaced for a pair; none is checked."""

    critical_force: float = 15.0  # v_c
    oversold: float = 40.0
    overbought: float = 60.0
    bearish_from: float = 40.0
    bullish_from: float = 60.0
    bias_exp: float = 0.015  # g
    bias_divider: float = 3.0  # δ
    confidence_exp: float = -0.03  # α_c
    confidence_divider: float = 5.0  # β
    base_min: float = 0.0005  # w_min, half-width as a share of the price
    base_max: float = 0.028  # w_max
    alpha_r: float = -0.4
    d: float = 300.0  # D
    rs_threshold: float = 0.25


DEFAULTS = RangeParams()


@dataclass(frozen=True, slots=True)
class PriceRange:
    """A range around a price. `lower` may be 0 or below: the published system does not guard it."""

    lower: float
    upper: float
    breadth: float
    confidence: float  # C, 0 to 100
    bias: float  # b
    type: RegimeType

    @property
    def C(self) -> float:
        """The confidence, by the reference's symbol."""
        return self.confidence

    @property
    def b(self) -> float:
        """The bias, by the reference's symbol."""
        return self.bias


def base_width(volatility_force: float, params: RangeParams = DEFAULTS) -> float:
    """Return the half-width of an unbiased range. It falls as volatility rises: the published defect.

    Parameters: volatility_force  0 to 100   ·   params  base_min, base_max, alpha_r, d
    Returns:    a share of the price
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A3.4
    """
    return params.base_min + (params.base_max - params.base_min) * math.exp(
        params.alpha_r * volatility_force / params.d
    )


def compute(price: float, forces: Iterable[float], params: RangeParams = DEFAULTS) -> PriceRange:
    """Return the range that the forces ask for.

    Parameters: price  > 0   ·   forces  (v, m, t), each 0 to 100   ·   params  the constants
    Returns:    the range with its confidence, bias and type
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A3.1 to A3.5
    """
    v, m, t = forces
    kind, confidence, bias = _lean(v, m, t, params)
    width = price * base_width(v, params)
    stretch = 1 + abs(bias)
    down, up = width, width
    if bias > 0:
        down, up = width / stretch, width * stretch
    elif bias < 0:
        down, up = width * stretch, width / stretch
    lower, upper = price - down, price + up
    return PriceRange(lower, upper, (upper - lower) / price, clamp(confidence, 0, 100), bias, kind)


def _lean(v: float, m: float, t: float, params: RangeParams) -> tuple[RegimeType, float, float]:
    """Return (type, confidence, bias), the confidence not clamped yet."""
    confidence = 100 * math.exp(params.confidence_exp * (v - params.critical_force))
    opposed = abs(m - 50) or 1.0  # u
    if params.bearish_from < t < params.bullish_from:
        bias = (t - 50) / 50 * confidence / 100
        if m > params.overbought or m < params.oversold:
            confidence /= opposed * params.confidence_divider
        return "neutral", confidence, bias
    kind: RegimeType = "bullish" if t >= params.bullish_from else "bearish"
    bias = (t - 50) / 100
    if (m > 50 and t > 50) or (m < 50 and t < 50):
        return kind, confidence, bias * math.exp(params.bias_exp * abs(m - 50))
    return kind, confidence / (opposed * params.confidence_divider), bias / (opposed * params.bias_divider)


def divergence(current: tuple[float, float], target: tuple[float, float]) -> float:
    """Return how far a range is from another.

    Parameters: current, target  (lower, upper)
    Returns:    0 to 1: change of width and distance of the middles, both in widths of `current`
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A3.6
    """
    width, target_width = current[1] - current[0], target[1] - target[0]
    if width == 0:
        return 0.0 if target_width == 0 else 1.0
    middle, target_middle = (current[0] + current[1]) / 2, (target[0] + target[1]) / 2
    return min(abs(target_width - width) / width + abs(middle - target_middle) / width, 1.0)


def price_to_tick(price: float) -> int:
    """Return the tick of a price, in doubles as published: an exact power may land one below.

    Parameters: price  any; below 1e-18 it is taken as that
    Returns:    floor(ln price / ln 1.0001)
    Rounding:   floor
    Raises:     nothing
    Source:     strategy reference A3.7
    """
    return math.floor(math.log(max(price, 1e-18)) / _LOG_TICK)


def tick_to_price(tick: int) -> float:
    """Return the price of a tick.

    Parameters: tick  any within the pool's bounds
    Returns:    1.0001^tick
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A3.7
    """
    return float(1.0001**tick)


def align_ticks(lower: float, upper: float, tick_spacing: int) -> tuple[int, int]:
    """Return the aligned ticks around a price range.

    Parameters: lower, upper  prices   ·   tick_spacing  > 0
    Returns:    (tick_lower, tick_upper)
    Rounding:   outward: the lower tick down, the upper one up
    Raises:     nothing
    Source:     strategy reference A3.7
    """
    tick_lower, tick_upper = price_to_tick(lower), price_to_tick(upper)
    return tick_lower // tick_spacing * tick_spacing, -(-tick_upper // tick_spacing) * tick_spacing
