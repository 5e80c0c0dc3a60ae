"""Quotes of a market maker with an inventory, as a range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from miner.span import Span, around
from miner.strategies.edge import is_due
from miner.strategies.plus.band import BandParams
from miner.strategies.settings import above_zero
from miner.strategies.three_force.sums import clamp
from miner.view import View

_YEAR_DAYS = 365.25


def reservation_price(mid: float, inventory: float, gamma: float, sigma: float, horizon: float) -> float:
    """Return the price at which somebody with this inventory is indifferent.

    Parameters: mid  price   ·   inventory  q, units   ·   gamma  risk aversion   ·   sigma, horizon  same unit of time
    Returns:    s − q·γ·σ²·T
    Rounding:   floats
    Raises:     nothing
    Source:     Avellaneda, Stoikov 2008
    """
    return mid - inventory * gamma * sigma**2 * horizon


def optimal_spread(gamma: float, sigma: float, horizon: float, k: float) -> float:
    """Return the distance between both quotes.

    Parameters: gamma  risk aversion, > 0   ·   sigma, horizon  same unit of time   ·   k  decay of arrivals, > 0
    Returns:    γ·σ²·T + (2/γ)·ln(1 + γ/k)
    Rounding:   floats
    Raises:     ZeroDivisionError for gamma or k of 0
    Source:     Avellaneda, Stoikov 2008
    """
    return gamma * sigma**2 * horizon + 2 / gamma * math.log(1 + gamma / k)


@dataclass(frozen=True, slots=True)
class AvellanedaStoikov:
    """Hold the stretch between a market maker's bid and ask, moved away from the token it has too much of.

    Idea:    Who holds much token0 wants to sell it: the range moves down, so that rising prices sell sooner.
    Formula: s = ln P, z = 2·(value share of token0) − 1; centre s − z·γσ²T, moved by half a half-width at most;
             half-width ½[γσ²T + (2/γ)·ln(1 + γ/k)] within the pool's bounds; continuous in z.
    Units:   log price; σ per √year, horizon_days converted to years; gamma and k per unit of log price.
    Source:  Avellaneda, Stoikov 2008; strategy reference C1 P6.
    """

    gamma: float = 10.0
    k: float = 50.0
    horizon_days: float = 1.0

    def __post_init__(self) -> None:
        above_zero(gamma=self.gamma, k=self.k, horizon_days=self.horizon_days)

    @property
    def name(self) -> str:
        return "avellaneda_stoikov"

    def target(self, view: View) -> Span:
        """Return the stretch between bid and ask."""
        bounds = BandParams.for_pool(view.tick_spacing, is_stable=view.is_stable)
        years = self.horizon_days / _YEAR_DAYS
        w = clamp(optimal_spread(self.gamma, view.sigma, years, self.k) / 2, bounds.w_lo, bounds.w_hi)
        centre = clamp(reservation_price(0.0, view.inventory, self.gamma, view.sigma, years), -w / 2, w / 2)
        return around(view.x, w - centre, w + centre)

    def wish(self, view: View) -> Span | None:
        target = self.target(view)
        return target if is_due(view, target, shift=0.75) else None
