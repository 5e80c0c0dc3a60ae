"""From reputations to the weight of each miner, in exact fractions: what they become on chain is decided elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from db.records import MinerScore, Participation
from protocol.units import BlockNumber
from validator.metagraph import Identity

RELIABILITY_WINDOW_DAYS = 7  # today included


@dataclass(frozen=True, slots=True)
class Standing:
    """A miner at a job: its reputation (1e-18 units), and its rounds of the last seven days."""

    identity: Identity
    combined_e18: int
    scored_rounds: int
    conclusive_rounds: int


@dataclass(frozen=True, slots=True)
class JobStandings:
    """All miners of a job, each identity once, with the weight of the job (>= 0)."""

    weight: Decimal | Fraction | int
    standings: tuple[Standing, ...]


def window_start(today: date) -> date:
    """Return the first of the seven days whose rounds count.

    Parameters: today  UTC, chain time
    Returns:    six days earlier
    Rounding:   none
    Raises:     nothing
    Source:     design §4.10
    """
    return today - timedelta(days=RELIABILITY_WINDOW_DAYS - 1)


def standings(
    reputations: Iterable[MinerScore], participation: Iterable[Participation], *, today: date
) -> tuple[Standing, ...]:
    """Join what the database says about the miners of one job.

    Parameters: reputations, participation  of one job   ·   today  UTC, chain time; days outside the window are ignored
    Returns:    one standing per reputation, in its order; without rounds in the window both counts are 0
    Rounding:   none
    Raises:     nothing
    Source:     design §4.10
    """
    first = window_start(today)
    scored: dict[str, int] = defaultdict(int)
    conclusive: dict[str, int] = defaultdict(int)
    for row in participation:
        if first <= row.day <= today:
            scored[row.hotkey] += row.scored_rounds
            conclusive[row.hotkey] += row.conclusive_rounds
    return tuple(
        Standing(
            identity=Identity(miner.hotkey, BlockNumber(miner.registered_at_block)),
            combined_e18=miner.combined_e18,
            scored_rounds=scored[miner.hotkey],
            conclusive_rounds=conclusive[miner.hotkey],
        )
        for miner in reputations
    )


def compute_weights(jobs: Sequence[JobStandings]) -> dict[Identity, Fraction]:
    """Return each miner's share of the subnet's weight.

    Parameters: jobs  those that count
    Returns:    Σ over jobs of job weight · max(combined, 0) · scored / conclusive, divided by the sum over all miners:
                positive fractions that add up to exactly 1; empty if nobody earned anything, and then nothing is set
    Rounding:   none
    Raises:     nothing
    Source:     design §4.10
    """
    earned: dict[Identity, Fraction] = defaultdict(Fraction)
    for job in jobs:
        weight = Fraction(job.weight)
        for standing in job.standings:
            if standing.combined_e18 > 0 and standing.scored_rounds > 0 and weight > 0:
                reliability = Fraction(standing.scored_rounds, standing.conclusive_rounds)
                earned[standing.identity] += weight * standing.combined_e18 * reliability
    total = sum(earned.values(), Fraction(0))
    return {identity: share / total for identity, share in earned.items()}
