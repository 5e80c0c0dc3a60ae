"""A symmetric range that starts again when the price has gone far enough."""

from __future__ import annotations

from dataclasses import dataclass

from miner.span import Span, around
from miner.strategies.edge import is_due
from miner.strategies.settings import above_zero
from miner.view import View


@dataclass(frozen=True, slots=True)
class TauReset:
    """Re-centre a range of fixed width when the price has covered a part τ of its half-width.

    Idea:    τ = 1 waits until the range is left, smaller ones never leave it and pay for that more often.
    Formula: re-centre when |ln(P/m)| ≥ τ·w, m the middle. The published rule swaps to the new ratio; this one places
             what is left of one token beside the price instead, which was cheaper at every horizon measured.
    Units:   w a log of a price ratio; tau a part of it.
    Source:  Fan et al. 2021; strategy reference C1 P3, C4.
    """

    w: float = 0.05
    tau: float = 1.0

    def __post_init__(self) -> None:
        above_zero(w=self.w, tau=self.tau)

    @property
    def name(self) -> str:
        return "tau_reset"

    def wish(self, view: View) -> Span | None:
        target = around(view.x, self.w, self.w)
        return target if is_due(view, target, shift=self.tau) else None
