"""When to move: the same question for every strategy that follows the price."""

from __future__ import annotations

from miner.span import Span
from miner.strategies.plus.decision import is_rewidth_worth
from miner.view import View


def is_due(view: View, target: Span, *, shift: float, rewidth: float = 1.5) -> bool:
    """Return whether a target is far enough from what is held to be worth a move.

    Parameters: view  of now   ·   target  what would be held   ·   shift  of a half-width that the price must be away
                from the middle   ·   rewidth  widths within this factor are the same
    Returns:    True if nothing is held, or a limit is passed
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference C1 P3, P4, P9
    """
    if view.held is None:
        return True
    if abs(view.x - view.held.middle) >= shift * view.held.half:
        return True
    return is_rewidth_worth(target.half, view.held.half, rewidth)


def is_settled(view: View, max_gap_ticks: float) -> bool:
    """Return whether the price is where it has been: a guard against acting on a pushed or jumping price.

    Parameters: view  of now   ·   max_gap_ticks  from the mean of the last half hour
    Returns:    True also where nothing is remembered
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2 (TWAP guard), C1 P4
    """
    return view.twap is None or abs(view.x - view.twap) <= max_gap_ticks
