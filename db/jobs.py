"""Jobs in the database. A removed job keeps its history and its id, and is hidden."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from db.job import SETTINGS, Job, opening_to_mapping, validate_job
from db.models import JobRow
from db.rows import locked
from db.tables import Tables
from protocol.errors import ConfigError, StoreError
from protocol.units import JobId

_logger = logging.getLogger(__name__)


async def add(tables: Tables, job: Job, *, now: int) -> Job:
    """Write a new job and return it as stored."""
    existing = await tables.jobs.get_or_none(job_id=job.job_id)
    if existing is not None:
        state = "exists" if existing.removed_at is None else "was removed and its history is kept"
        raise ConfigError(f"job {job.job_id} {state}; choose another id")
    row = await tables.jobs.create(**_columns(job), revision=1, created_at=now, updated_at=now)
    return _job(row)


async def get(tables: Tables, job_id: JobId) -> Job | None:
    """Return a job that is not removed, or None."""
    row = await tables.jobs.get_or_none(job_id=job_id, removed_at=None)
    return None if row is None else _job(row)


async def is_taken(tables: Tables, job_id: JobId) -> bool:
    """Return whether there is a job of this id, or was one whose history is kept."""
    return await tables.jobs.filter(job_id=job_id).exists()


async def all_of(tables: Tables, *, active_only: bool) -> list[Job]:
    """Return the jobs that are not removed, by id. One that is invalid is logged and left out."""
    rows = tables.jobs.filter(removed_at=None)
    if active_only:
        rows = rows.filter(is_active=True)
    jobs = []
    for row in await rows.order_by("job_id"):
        try:
            jobs.append(_job(row))
        except StoreError as error:  # one row spoilt by hand must not stop the other jobs
            _logger.error("job left out: %s", error)
    return jobs


async def update(tables: Tables, job_id: JobId, changes: Mapping[str, Any], *, now: int) -> Job:
    """Change some settings; the whole is validated again. Nothing changes where nothing differs."""
    if "job_id" in changes:
        raise ConfigError("a job keeps its job_id; add another job instead")
    row = await _existing(tables, job_id)
    before = _job(row)
    settings = {name: value for name, value in before.to_mapping().items() if name in SETTINGS}
    after = validate_job({**settings, **changes})
    columns = _columns(after)
    if columns == _columns(before):
        return before
    row.update_from_dict({**columns, "revision": row.revision + 1, "updated_at": now})
    await row.save()
    return _job(row)


async def remove(tables: Tables, job_id: JobId, *, force: bool, now: int) -> None:
    """Delete a job without rounds; hide one with rounds if `force`, keeping its history."""
    row = await _existing(tables, job_id)
    rounds = await tables.rounds.filter(job_id=job_id).count()
    if rounds == 0:
        await row.delete()
        return
    if not force:
        raise ConfigError(f"job {job_id} has {rounds} rounds; pause it, or remove it with --force (history is kept)")
    row.update_from_dict({"removed_at": now, "is_active": False, "revision": row.revision + 1, "updated_at": now})
    await row.save()


async def lease(tables: Tables, job_id: JobId, holder: str, *, seconds: int, now: int) -> bool:
    """Take or renew the right to run a job; False while another holder's lease lasts."""
    row = await locked(tables.jobs.filter(job_id=job_id, removed_at=None)).first()
    if row is None:
        return False
    if row.lease_holder not in (None, holder) and row.lease_until is not None and row.lease_until > now:
        return False
    await tables.jobs.filter(job_id=job_id).update(lease_holder=holder, lease_until=now + seconds)
    return True


async def release(tables: Tables, job_id: JobId, holder: str) -> None:
    """Give a lease back, if it is still this holder's."""
    await tables.jobs.filter(job_id=job_id, lease_holder=holder).update(lease_holder=None, lease_until=None)


async def lock(tables: Tables, job_id: JobId) -> JobRow:
    """Lock a job, removed or not, until the transaction ends."""
    row = await locked(tables.jobs.filter(job_id=job_id)).first()
    if row is None:
        raise StoreError("no such job", job_id=job_id)
    return row


async def _existing(tables: Tables, job_id: JobId) -> JobRow:
    row = await locked(tables.jobs.filter(job_id=job_id, removed_at=None)).first()
    if row is None:
        raise ConfigError(f"there is no job {job_id}")
    return row


def _columns(job: Job) -> dict[str, Any]:
    values = {name: getattr(job, name) for name in SETTINGS}
    values["weight"] = str(job.weight)
    values["opening"] = None if job.opening is None else json.dumps(opening_to_mapping(job.opening))
    return values


def _job(row: JobRow) -> Job:
    values = {name: getattr(row, name) for name in SETTINGS}
    try:
        job = validate_job(values)
    except ConfigError as error:
        raise StoreError(f"the database holds an invalid job: {error.message}", job_id=row.job_id) from error
    return replace(job, revision=row.revision, created_at=row.created_at, updated_at=row.updated_at)
