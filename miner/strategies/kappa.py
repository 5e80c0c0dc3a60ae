"""The width by the ratio of fees to what the informed take."""

from __future__ import annotations

from dataclasses import dataclass

from miner.span import Span, around
from miner.strategies.edge import is_due
from miner.strategies.plus.band import BandParams
from miner.strategies.settings import above_zero
from miner.strategies.three_force.sums import clamp
from miner.view import View


@dataclass(frozen=True, slots=True)
class Kappa:
    """Be as narrow as the measured ratio κ of fees to losses justifies, and wide where it is not above 1.

    Idea:    A narrow range multiplies fees and losses alike; only their ratio says whether that is good. What keeps
             it from being arbitrarily narrow is the cost of re-centring.
    Formula: κ = f0/(σ²/8); carry (κ − 1)(σ²/8)(2/w) less re-centring cσ²/(2w²) is highest at w* = 4c/(κ − 1), within
             the pool's bounds; κ ≤ 1 + margin: the widest. Re-centred without a swap at half a width, re-widthed
             beyond a factor 1.5.
    Units:   f0 and σ² per year; c a fraction of what is swapped; w a log of a price ratio.
    Source:  Milionis et al. 2022 for σ²/8; strategy reference C1 P9.
    """

    margin: float = 0.05
    shift: float = 0.5

    def __post_init__(self) -> None:
        above_zero(margin=self.margin, shift=self.shift)

    @property
    def name(self) -> str:
        return "kappa"

    def wish(self, view: View) -> Span | None:
        bounds = BandParams.for_pool(view.tick_spacing, is_stable=view.is_stable)
        w = bounds.w_hi
        if view.fee_to_lvr > 1 + self.margin:
            w = clamp(4 * view.cost / (view.fee_to_lvr - 1), bounds.w_lo, bounds.w_hi)
        target = around(view.x, w, w)
        return target if is_due(view, target, shift=self.shift) else None
