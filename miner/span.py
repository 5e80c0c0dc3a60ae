"""A stretch of log price, in ticks as fractions: what strategies think in before anything is aligned."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protocol.units import Q96

LOG_TICK = math.log(1.0001)


@dataclass(frozen=True, slots=True)
class Span:
    """From `lower` to `upper`, both in ticks; lower < upper."""

    lower: float
    upper: float

    @property
    def middle(self) -> float:
        """The tick half-way."""
        return (self.lower + self.upper) / 2

    @property
    def half(self) -> float:
        """Half of the width, in ticks."""
        return (self.upper - self.lower) / 2

    @property
    def log_half_width(self) -> float:
        """Half of the width, as a log of a price ratio."""
        return self.half * LOG_TICK

    def holds(self, x: float) -> bool:
        """Return whether the price is inside."""
        return self.lower <= x < self.upper


def around(x: float, down: float, up: float) -> Span:
    """Return the span from `down` below to `up` above a price.

    Parameters: x  ticks   ·   down, up  logs of price ratios, down + up > 0
    Returns:    in ticks
    Rounding:   floats
    Raises:     nothing
    Source:     tick = ln(price) / ln(1.0001)
    """
    return Span(x - down / LOG_TICK, x + up / LOG_TICK)


def tick_of(sqrt_price_x96: int) -> float:
    """Return a price as a tick with its fraction.

    Parameters: sqrt_price_x96  Q64.96, > 0
    Returns:    2·ln(sqrt price) / ln(1.0001)
    Rounding:   floats
    Raises:     ValueError for 0
    Source:     strategy reference B2.4
    """
    return 2 * math.log(sqrt_price_x96 / Q96) / LOG_TICK
