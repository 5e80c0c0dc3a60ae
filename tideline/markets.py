"""Which market a job plays on."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from db.job import Job
from protocol.errors import ConfigError
from simulator import records
from simulator.market import Market
from simulator.recorded import RecordedMarket
from tideline.chains import ChainAccess
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


async def open_market(
    job: Job, resume_after: int | None, speed: Fraction | None, chains: Mapping[int, ChainAccess]
) -> Market:
    """Return the job's market: its record, continuing after the block `resume_after`, or its pool on its chain."""
    if job.feed == "recorded" and job.record is not None:
        return RecordedMarket(records.load(job.record), speed=speed, start_block=resume_after)
    access = chains.get(job.chain_id)
    if access is None:
        raise ConfigError(
            f"job {job.job_id} is on chain {job.chain_id}, of which no node is known; give --rpc {job.chain_id}=URL"
        )
    # A second to import, which only those who read a chain should wait for.
    from simulator.chain.endpoints import Endpoints
    from simulator.chain.market import ChainMarket, ChainSettings
    from tideline.vaults import vault_source

    endpoints = Endpoints.over_http(access.urls, chain_id=job.chain_id, quorum=access.quorum)
    try:
        vault = None if job.opening is not None else await vault_source(endpoints, job, access.manager)
        return await ChainMarket.connect(
            endpoints, job.pair_address, ChainSettings(block_time_s=access.block_time_s), vault=vault
        )
    except BaseException:
        await endpoints.close()
        raise
