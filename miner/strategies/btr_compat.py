"""The published 3-force system as a miner."""

from __future__ import annotations

import math
from dataclasses import dataclass

from miner.span import LOG_TICK, Span
from miner.strategies.three_force import forces
from miner.strategies.three_force import range as ranges
from miner.strategies.three_force.decision import OpenPosition, decide
from miner.view import View

# With one pool, what is earned now and what could be are the same: whatever the rate, only entering is an improvement.
_RATE = 1.0
_LEAST = 1e-3  # of the price: the published lower edge may be 0 or below, which no tick is


@dataclass(frozen=True, slots=True)
class BtrCompat:
    """Do what the published 3-force system does, defects included: a baseline to beat, not advice.

    Idea:    Volatility, momentum and trend on M15, H1 and H4 set width and lean; a range that diverges from the wished
             one by more than a quarter is shifted, twelve hours after the last move at the earliest.
    Formula: strategy reference A2, A3, A6 with its defaults; every formula is a function in `three_force`.
    Units:   prices relative to the pool's, so that decimals do not matter; candles are what this miner has seen.
    Source:  BTR's published 3-force system, restated in the strategy reference part A.
    """

    @property
    def name(self) -> str:
        return "btr_compat"

    def wish(self, view: View) -> Span | None:
        found = forces.composite(view.bars)
        wanted = ranges.compute(1.0, found)
        target = Span(
            view.x + math.log(max(wanted.lower, _LEAST)) / LOG_TICK, view.x + math.log(wanted.upper) / LOG_TICK
        )
        held = [] if view.held is None else [_open_position(view, view.held)]
        decision = decide(held, ((1.0, _RATE),), 1.0, found, now_ms=0)
        return None if decision.action == "HOLD" else target


def _open_position(view: View, held: Span) -> OpenPosition:
    limit = int(200 / LOG_TICK)  # e^±200 is beyond any pool
    lower, upper = (min(max(round(edge - view.x), -limit), limit) for edge in (held.lower, held.upper))
    entry_ms = None if view.held_s is None else -round(view.held_s * 1000)
    return OpenPosition(1.0, _RATE, lower, upper, entry_ms)
