"""The width that balances fees, predictable loss and the cost of concentration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from miner.span import Span, around
from miner.strategies.edge import is_due
from miner.strategies.plus.band import BandParams
from miner.strategies.settings import above_zero
from miner.strategies.three_force.sums import clamp
from miner.view import View


def log_growth(
    *, delta: float, fee_rate: float, sigma: float, gamma: float, mu: float = 0.0, rho: float = 0.5
) -> float:
    """Return how fast wealth grows in a range of a width.

    Parameters: delta  total width, about 2w, > 0   ·   fee_rate  π of a full range   ·   sigma, mu  same unit of time
                gamma  cost of concentration   ·   rho  asymmetry, 0 to 1
    Returns:    (4π − σ²/2)/δ + μρ − ½σ²ρ² − γ/δ²
    Rounding:   floats
    Raises:     ZeroDivisionError for no width
    Source:     Cartea, Drissi, Monga 2023; strategy reference C1 P8
    """
    return (4 * fee_rate - sigma**2 / 2) / delta + mu * rho - sigma**2 * rho**2 / 2 - gamma / delta**2


def optimal_delta(*, fee_rate: float, sigma: float, gamma: float, mu: float = 0.0) -> float | None:
    """Return the best total width, with the asymmetry ρ = ½ + μ/δ.

    Parameters: as for `log_growth`; with a drift the unit of time matters, use days
    Returns:    (2γ + μ²σ²)/(4π − σ²/2 + μ(μ − σ²/2)), or None where no finite width pays or ρ leaves 0 to 1
    Rounding:   floats
    Raises:     nothing
    Source:     Cartea, Drissi, Monga 2023; strategy reference C1 P8
    """
    if fee_rate <= sigma**2 / 8:
        return None
    denominator = 4 * fee_rate - sigma**2 / 2 + mu * (mu - sigma**2 / 2)
    if denominator <= 0:
        return None
    delta = (2 * gamma + mu**2 * sigma**2) / denominator
    return delta if delta > 0 and 0 < 0.5 + mu / delta < 1 else None


@dataclass(frozen=True, slots=True)
class PredictableLoss:
    """Hold the width at which one more step of concentration costs as much as it earns.

    Idea:    Fees and predictable loss both grow as 1/width, the cost of keeping the range around the price as
             1/width²: where fees exceed the loss there is a best width, otherwise only the widest will do.
    Formula: δ* = 2γ/(4π − σ²/2) for π > (1 + margin)·σ²/8, half-width δ*/2 within the pool's bounds; γ = 2·c·σ², so
             that re-centring is what concentration costs. Drift is taken as 0: it cannot be forecast.
    Units:   π (measured full-range fee rate) and σ² per year; c a fraction of what is swapped.
    Source:  Cartea, Drissi, Monga 2023; strategy reference C1 P8.
    """

    margin: float = 0.05
    shift: float = 0.75

    def __post_init__(self) -> None:
        above_zero(margin=self.margin, shift=self.shift)

    @property
    def name(self) -> str:
        return "predictable_loss"

    def wish(self, view: View) -> Span | None:
        bounds = BandParams.for_pool(view.tick_spacing, is_stable=view.is_stable)
        gamma = 2 * view.cost * view.sigma**2
        delta = optimal_delta(fee_rate=view.fee_rate, sigma=view.sigma, gamma=gamma)
        if delta is None or view.fee_to_lvr <= 1 + self.margin:
            delta = math.inf
        w = clamp(delta / 2, bounds.w_lo, bounds.w_hi)
        target = around(view.x, w, w)
        return target if is_due(view, target, shift=self.shift) else None
