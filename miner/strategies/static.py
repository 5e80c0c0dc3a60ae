"""A symmetric range of one width, placed once."""

from __future__ import annotations

from dataclasses import dataclass

from miner.span import Span, around
from miner.strategies.plus.decision import is_rewidth_worth
from miner.strategies.settings import above_zero
from miner.view import View


@dataclass(frozen=True, slots=True)
class Static:
    """Hold one symmetric range for ever, in or out of the price.

    Idea:    The baseline of every study: what a width earns if nobody tends it. What does not fit the range waits
             beside the price as a limit position.
    Formula: [P·e^(−w), P·e^w] at the first price; a range of about that width that is found there is taken over.
    Units:   w a log of a price ratio, 0.05 is about ±5 %.
    Source:  strategy reference C1 P2.
    """

    w: float = 0.05

    def __post_init__(self) -> None:
        above_zero(w=self.w)

    @property
    def name(self) -> str:
        return "static"

    def wish(self, view: View) -> Span | None:
        target = around(view.x, self.w, self.w)
        if view.held is not None and not is_rewidth_worth(target.half, view.held.half, 1.5):
            return None
        return target
