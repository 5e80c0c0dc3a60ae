"""What reputations and weights are made of, read from the database as of each job's own chain time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from db.job import Job
from db.records import MinerScore, Participation
from db.store import Store
from protocol.units import JobId
from validator.metagraph import Identity
from validator.reputation import PARTICIPATION_WINDOW_DAYS
from validator.weights import JobStandings, compute_weights, standings


async def standing_of(store: Store, job_id: JobId) -> tuple[list[MinerScore], list[Participation], date]:
    """Return a job's reputations, its participation of the last days, and the UTC day of its last conclusive round."""
    last = await store.last_round(job_id, "evaluation", completed_only=True)
    today = chain_day(0 if last is None else last.start_timestamp)
    since = today - timedelta(days=PARTICIPATION_WINDOW_DAYS)
    return await store.reputations(job_id), await store.participation(job_id, since_day=since), today


async def stored_weights(store: Store, jobs: Iterable[Job]) -> dict[Identity, Fraction]:
    """Return each miner's share of the subnet's weight over these jobs; empty when nobody has earned any."""
    found = []
    for job in jobs:
        reputations, participation, today = await standing_of(store, JobId(job.job_id))
        found.append(JobStandings(job.weight, standings(reputations, participation, today=today)))
    return compute_weights(found)


def chain_day(timestamp: int) -> date:
    """Return the UTC day of a chain timestamp."""
    return datetime.fromtimestamp(timestamp, UTC).date()
