"""Which market a job plays on."""

from __future__ import annotations

from fractions import Fraction

from db.job import Job
from protocol.errors import ConfigError
from simulator import records
from simulator.market import Market
from simulator.recorded import RecordedMarket
from validator import job_settings


def check_playable(job: Job) -> None:
    """Raise ConfigError if a recorded job names no record of ours, another pool, or a schedule that its chain cannot
    keep.
    """
    if job.feed != "recorded" or job.record is None:
        return
    record = records.load(job.record)
    schedule = job_settings.schedule(job, record.info)
    if schedule.length_blocks >= record.length_blocks:
        raise ConfigError(
            f"round_duration_seconds {job.round_duration_seconds} does not fit record {record.name}; use at most "
            f"{(record.length_blocks - 1) * record.info.block_time_s}"
        )


def open_market(job: Job, resume_after: int | None, speed: Fraction | None) -> Market:
    """Return the job's market, a recorded one continuing after the block `resume_after`."""
    if job.feed != "recorded" or job.record is None:
        raise ConfigError(
            f"job {job.job_id} reads a chain feed, which this version does not have; register it with --feed recorded"
        )
    return RecordedMarket(records.load(job.record), speed=speed, start_block=resume_after)
