"""Reputation: what a miner's round scores add up to, who wins a round, and who may play live.

Integers in units of 1e-18. Every division truncates toward zero, so that the negated scores give the negated reputation
and neither gains nor losses are favoured. Nothing here knows a clock, a database or a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from db.records import Participation, Reputation, RoundType
from protocol.units import Hotkey

__all__ = [
    "PARTICIPATION_DAYS",
    "PARTICIPATION_WINDOW_DAYS",
    "Candidate",
    "Reputation",
    "advance",
    "is_eligible_for_live",
    "participation_days",
    "pick_winner",
]

PARTICIPATION_WINDOW_DAYS = 8  # complete days: today counts for nobody until it is over (ADR 1)
PARTICIPATION_DAYS = 7


@dataclass(frozen=True, slots=True)
class Candidate:
    """One who may win a round: scored, and without an invalid answer. `combined_before_e18` is from before it."""

    hotkey: Hotkey
    score_e18: int
    combined_before_e18: int
    registered_at_block: int


def advance(old: Reputation, score_e18: int, round_type: RoundType) -> Reputation:
    """Return the reputation after one more scored round.

    Parameters: old  1e-18 units   ·   score_e18  the round's score, 1e-18 units, any sign   ·   round_type
    Returns:    evaluation 0.9·old + 0.1·score, or live 0.7·old + 0.3·score; the other average as it was
    Rounding:   toward zero
    Raises:     nothing
    Source:     design §4.10
    """
    if round_type == "live":
        return Reputation(old.evaluation_e18, _tenths(7 * old.live_e18 + 3 * score_e18))
    return Reputation(_tenths(9 * old.evaluation_e18 + score_e18), old.live_e18)


def pick_winner(candidates: Sequence[Candidate]) -> Hotkey | None:
    """Return who won a round.

    Parameters: candidates  those who may win, in any order, each hotkey once
    Returns:    the best score; ties go to the higher combined reputation before the round, then to the earlier
                registration, then to the smaller hotkey. None without candidates, and where several share a best
                score of exactly 0: they all kept, and nobody did anything to win
    Rounding:   none
    Raises:     nothing
    Source:     design §4.9, §4.10
    """
    if not candidates:
        return None
    best = max(candidate.score_e18 for candidate in candidates)
    tied = [candidate for candidate in candidates if candidate.score_e18 == best]
    if best == 0 and len(tied) > 1:
        return None
    return min(tied, key=lambda c: (-c.combined_before_e18, c.registered_at_block, c.hotkey)).hotkey


def participation_days(rows: Sequence[Participation], *, today: date) -> int:
    """Return on how many of the eight UTC days before today a miner took part.

    Parameters: rows  one miner's days at one job, in any order; other days are ignored   ·   today  UTC, chain time
    Returns:    0 to 8: days on which it was scored in over half of its conclusive rounds
    Rounding:   none; exactly half is not over half
    Raises:     nothing
    Source:     design §4.10
    """
    first = today - timedelta(days=PARTICIPATION_WINDOW_DAYS)
    return len({row.day for row in rows if first <= row.day < today and 2 * row.scored_rounds > row.conclusive_rounds})


def is_eligible_for_live(
    rows: Sequence[Participation], *, today: date, combined_e18: int, was_previous_winner: bool
) -> bool:
    """Return whether a miner may play the live rounds of a job.

    Parameters: rows, today  as in participation_days   ·   combined_e18  its reputation now
                was_previous_winner  whether it won the last conclusive evaluation round of the job
    Returns:    True if it won that round, its reputation is positive, and it took part on 7 of the last 8 days
    Rounding:   none
    Raises:     nothing
    Source:     design §4.10
    """
    return was_previous_winner and combined_e18 > 0 and participation_days(rows, today=today) >= PARTICIPATION_DAYS


def _tenths(total: int) -> int:
    return total // 10 if total >= 0 else -(-total // 10)
