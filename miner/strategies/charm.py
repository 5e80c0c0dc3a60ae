"""Base and limit order, re-placed without a swap, with guards against being led."""

from __future__ import annotations

from dataclasses import dataclass

from miner.span import Span, around
from miner.strategies.edge import is_due, is_settled
from miner.strategies.settings import above_zero
from miner.view import View


@dataclass(frozen=True, slots=True)
class Charm:
    """Tend a base range and turn the surplus token into the scarce one by a limit position beside the price.

    Idea:    A price that moves on buys what the base was short of, and pays a fee for it: no swap, no impact.
    Formula: base [P·e^(−w), P·e^w] with L = min(x/u, y/v), u = 1/√P − 1/√b, v = √P − √a; the rest of one token on the
             half of the range on its side. Re-placed when |ln(P/m)| ≥ w/2, not within `period_s` of the last move, and
             not while the price is more than `max_gap_ticks` from its mean of the last half hour.
    Units:   w a log of a price ratio; period_s seconds; max_gap_ticks ticks.
    Source:  Charm Alpha vaults (base and limit, TWAP guard); strategy reference C1 P4.
    """

    w: float = 0.05
    period_s: float = 900.0
    max_gap_ticks: float = 100.0

    def __post_init__(self) -> None:
        above_zero(w=self.w, period_s=self.period_s, max_gap_ticks=self.max_gap_ticks)

    @property
    def name(self) -> str:
        return "charm"

    def wish(self, view: View) -> Span | None:
        target = around(view.x, self.w, self.w)
        if not is_due(view, target, shift=0.5) or not is_settled(view, self.max_gap_ticks):
            return None
        is_early = view.held_s is not None and view.held_s < self.period_s
        return None if is_early else target
