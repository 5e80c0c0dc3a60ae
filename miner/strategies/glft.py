"""Closed-form quotes of a market maker whose inventory is bounded, as a range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from miner.span import LOG_TICK, Span, around
from miner.strategies.edge import is_due
from miner.strategies.plus.band import BandParams
from miner.strategies.settings import above_zero
from miner.strategies.three_force.sums import clamp
from miner.view import View


def half_spreads(*, inventory: float, gamma: float, sigma: float, a: float, k: float) -> tuple[float, float]:
    """Return the distances of bid and ask from the price.

    Parameters: inventory  q, units held   ·   gamma  risk aversion, > 0   ·   sigma, a  same unit of time: volatility,
                arrivals at distance 0   ·   k  decay of arrivals with distance, > 0
    Returns:    (bid, ask) = (1/γ)ln(1 + γ/k) + ((1 ± 2q)/2)·√(σ²γ/(2kA)·(1 + γ/k)^(1 + k/γ))
    Rounding:   floats
    Raises:     ZeroDivisionError for gamma, k or a of 0
    Source:     Guéant, Lehalle, Fernandez-Tapia 2013, asymptotic quotes
    """
    ratio = 1 + gamma / k
    base = math.log(ratio) / gamma
    slope = math.sqrt(sigma**2 * gamma / (2 * k * a) * ratio ** (1 + k / gamma))
    return base + (1 + 2 * inventory) / 2 * slope, base + (1 - 2 * inventory) / 2 * slope


@dataclass(frozen=True, slots=True)
class Glft:
    """Hold the stretch between the quotes of a market maker who never holds more than `q_max` of a token.

    Idea:    Each side has its own distance: the side that adds to a large inventory moves away. At the bound only the
             other side is quoted, which is a range beside the price.
    Formula: q = z·q_max with z = 2·(value share of token0) − 1; lower = s − δ_bid, upper = s + δ_ask, both at least
             one spacing and at most the pool's bound; |q| ≥ q_max − ½ leaves one side.
    Units:   log price; σ per √year; a arrivals per year at distance 0; k per unit of log price.
    Source:  Guéant, Lehalle, Fernandez-Tapia 2013; strategy reference C1 P7.
    """

    gamma: float = 10.0
    k: float = 50.0
    a: float = 525_600.0  # one swap a minute
    q_max: float = 10.0

    def __post_init__(self) -> None:
        above_zero(gamma=self.gamma, k=self.k, a=self.a, q_max=self.q_max)

    @property
    def name(self) -> str:
        return "glft"

    def target(self, view: View) -> Span:
        """Return the stretch between bid and ask."""
        bounds = BandParams.for_pool(view.tick_spacing, is_stable=view.is_stable)
        q = view.inventory * self.q_max
        least = view.tick_spacing * LOG_TICK
        bid, ask = half_spreads(inventory=q, gamma=self.gamma, sigma=view.sigma, a=self.a, k=self.k)
        bid, ask = clamp(bid, least, bounds.w_hi), clamp(ask, least, bounds.w_hi)
        if q >= self.q_max - 0.5:
            return Span(view.x + view.tick_spacing, view.x + view.tick_spacing + max(ask / LOG_TICK, view.tick_spacing))
        if q <= 0.5 - self.q_max:
            return Span(view.x - view.tick_spacing - max(bid / LOG_TICK, view.tick_spacing), view.x - view.tick_spacing)
        return around(view.x, bid, ask)

    def wish(self, view: View) -> Span | None:
        target = self.target(view)
        if view.held is None or target.holds(view.x):
            return target if is_due(view, target, shift=0.75) else None
        # One side only: follow a price that runs away, wait for one that comes.
        is_far = abs(view.x - view.held.middle) >= 2 * (view.held.half + target.half)
        return target if is_far else None
