"""Which market a job plays on."""

from __future__ import annotations

from fractions import Fraction

from db.job import Job
from protocol.errors import ConfigError
from simulator import records
from simulator.market import Market
from simulator.recorded import RecordedMarket


def open_market(job: Job, resume_after: int | None, speed: Fraction | None) -> Market:
    """Return the job's market, a recorded one continuing after the block `resume_after`."""
    if job.feed != "recorded" or job.record is None:
        raise ConfigError(
            f"job {job.job_id} reads a chain feed, which this version does not have; register it with --feed recorded"
        )
    return RecordedMarket(records.load(job.record), speed=speed, start_block=resume_after)
