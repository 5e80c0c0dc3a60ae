"""The validator: a runner for every active job, followed as jobs come, change and go, and the one broad `except` of
the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from db.job import Job
from db.store import Store
from protocol.errors import ConfigError, StoreError, TidelineError
from protocol.units import JobId
from simulator.events import Block
from simulator.market import Market, MarketInfo
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot
from validator.job_runner import JobRunner, RunnerContext
from validator.leases import JobLeases
from validator.ports import MarketSource
from validator.progress import ProgressEvent, RoundClosed, RoundOpened, Trouble

_log = logging.getLogger(__name__)

RESTARTED = "the validator was restarted while the round was running"
STOPPED = "the validator was stopped while the round was running"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the service behaves. `max_rounds` ends it once every active job has played so many conclusive rounds."""

    max_rounds: int | None = None
    max_jobs: int | None = None  # at once; the others are left to other processes on the same database
    not_ours: frozenset[JobId] = frozenset()  # played by something else under the same lease name
    poll_s: float = 1.0  # how soon a change of the jobs is noticed
    restart_s: float = 10.0  # pause before a job whose runner failed is tried again
    lease_s: int = 30  # after so long without a sign of life, another process may take over


class ValidatorService:
    """Plays every active job that no other process plays, each in its own task."""

    def __init__(
        self,
        context: RunnerContext,
        markets: MarketSource,
        settings: ServiceSettings,
        *,
        holder: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = context.store
        self._observe = context.observe
        self._context = replace(context, observe=self._count)
        self._markets = markets
        self._settings = settings
        self._leases = JobLeases(context.store, holder, seconds=settings.lease_s, monotonic=monotonic)
        self._monotonic = monotonic
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self._played: Counter[JobId] = Counter()
        self._refused: dict[JobId, int] = {}  # revision at which a job's settings could not be played
        self._told: dict[str, str] = {}
        self._look_for_orphans_at = monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, or until every active job has played its rounds. A round cut off is voided.

        A database that fails is told and tried again; what it holds then decides how to go on.
        """
        try:
            while not stop.is_set():
                try:
                    if await self._follow_jobs():
                        return
                    self._told.pop("database", None)
                except StoreError as error:
                    self._tell_once("database", f"the database fails and is tried again: {error}")
                await self._wait(stop)
        finally:
            await self._end()

    async def _wait(self, stop: asyncio.Event) -> None:
        """Return when told to stop, when a runner ends, or when it is time to look at the jobs again."""
        waiter = asyncio.create_task(stop.wait())
        playing = [task for task in self._tasks.values() if not task.done()]
        await asyncio.wait([waiter, *playing], timeout=self._settings.poll_s, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()

    async def _follow_jobs(self) -> bool:
        """Start what is to be played and is not; return whether nothing is left to do."""
        await self._reap()
        await self._leases.renew()
        for job_id in [job_id for job_id in self._tasks if not self._leases.holds(job_id)]:
            self._tell_once(f"lease {job_id}", f"job {job_id} was taken over by another validator on this database")
            self._tasks[job_id].cancel()
        listed = await self._store.list_jobs(active_only=True)
        active = [job for job in listed if job.job_id not in self._settings.not_ours]
        if not active:
            self._tell_once("jobs", "no job is active; add one with `tideline jobs add`, or resume one")
        wanted = [job for job in active if not self._is_over(job)]
        for job in wanted:
            await self._start(JobId(job.job_id))
        await self._void_orphans()
        return self._settings.max_rounds is not None and not wanted and not self._tasks

    async def _start(self, job_id: JobId) -> None:
        if job_id in self._tasks:
            return
        if self._settings.max_jobs is not None and len(self._tasks) >= self._settings.max_jobs:
            return
        if await self._leases.take(job_id):
            self._told.pop(f"lease {job_id}", None)
            self._tasks[job_id] = asyncio.create_task(self._supervise(job_id), name=f"job {job_id}")
        elif f"lease {job_id}" not in self._told:
            self._tell_once(f"lease {job_id}", f"job {job_id} is played by another validator on this database")

    async def _reap(self) -> None:
        """Clear away the tasks that have ended, and let others have their jobs."""
        for job_id in [job_id for job_id, task in self._tasks.items() if task.done()]:
            if self._leases.holds(job_id):
                await self._void_open_rounds(job_id, STOPPED)
                await self._leases.give_back(job_id)
            task = self._tasks.pop(job_id)
            if not task.cancelled():
                task.result()  # it catches everything, so this could only be an observer that raised

    async def _end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        try:
            await self._reap()
        except StoreError as error:  # the next start voids what was left open
            _log.error("the last rounds could not be closed: %s", error)

    async def _void_orphans(self) -> None:
        """Close what a dead process left open in a job that nobody plays any more."""
        now = self._monotonic()
        if now < self._look_for_orphans_at:
            return
        self._look_for_orphans_at = now + self._leases.part_s
        for job_id in {JobId(row.job_id) for row in await self._store.open_rounds()} - self._settings.not_ours:
            if job_id not in self._tasks and await self._leases.take(job_id):
                await self._void_open_rounds(job_id, RESTARTED)
                await self._leases.give_back(job_id)

    async def _void_open_rounds(self, job_id: JobId, reason: str) -> None:
        """Close what was cut off, if the job is still ours: nobody is scored for it and nobody punished."""
        if not await self._leases.confirm(job_id):
            return  # an open round is another validator's
        for row in await self._store.open_rounds(job_id):
            await self._store.void_round(row.round_id, reason)

    def _is_over(self, job: Job) -> bool:
        job_id = JobId(job.job_id)
        return self._refused.get(job_id) == job.revision or self._rounds_left(job_id) == 0

    def _rounds_left(self, job_id: JobId) -> int | None:
        limit = self._settings.max_rounds
        return None if limit is None else max(0, limit - self._played[job_id])

    def _count(self, event: ProgressEvent) -> None:
        if isinstance(event, RoundOpened):
            self._told.pop(f"stopped {event.job_id}", None)
        if isinstance(event, RoundClosed) and event.round_type == "evaluation":
            self._played[JobId(event.job_id)] += 1
        self._observe(event)

    def _tell_once(self, subject: str, text: str) -> None:
        """Tell what has not been told of this subject last."""
        if self._told.get(subject) != text:
            self._told[subject] = text
            self._observe(Trouble(text))

    async def _supervise(self, job_id: JobId) -> None:
        """Play one job. Whatever goes wrong in it is told, and costs the other jobs nothing."""
        cut_off, resume = RESTARTED, True
        while True:
            try:
                await self._void_open_rounds(job_id, cut_off)
                if not await self._play(job_id, resume=resume):
                    return
                resume = False  # another market knows nothing of the blocks of the last one
                continue
            except TidelineError as error:
                cut_off = str(error)
            except Exception as error:  # the supervisor: the one place where anything at all is caught
                _log.exception("job %s failed unexpectedly", job_id)
                cut_off = repr(error)
            resume = True
            await self._pause(job_id, cut_off)

    async def _pause(self, job_id: JobId, reason: str) -> None:
        try:
            await self._void_open_rounds(job_id, reason)
        except StoreError as error:  # tried again before anything else is played
            _log.error("job %s: its round could not be closed: %s", job_id, error)
        self._tell_once(f"stopped {job_id}", f"job {job_id} stopped and is tried again: {reason}")
        await asyncio.sleep(self._settings.restart_s)

    async def _play(self, job_id: JobId, *, resume: bool) -> bool:
        """Play until the job is paused, removed, refused or done; return True when it wants another market first."""
        job = await self._store.get_job(job_id)
        if job is None or not job.is_active or self._rounds_left(job_id) == 0:
            return False
        market: Market | None = None
        try:
            market = await self._markets(job, await self._store.last_block(job_id) if resume else None)
            opened = _OpenedMarket(market, job, self._store, self._leases)
            await JobRunner(job_id, opened, self._context, max_rounds=self._rounds_left(job_id)).run()
        except _LeaseLost:
            return False
        except _MarketChanged:
            return True
        except ConfigError as error:
            now = await self._store.get_job(job_id)
            if now is not None and now.revision == job.revision:
                self._observe(Trouble(f"job {job_id} is not played until it is changed: {error}"))
            self._refused[job_id] = job.revision
        finally:
            if market is not None:
                await market.close()
        return False


class _MarketChanged(Exception):
    """The job now names another market than the one that is open."""


class _LeaseLost(Exception):
    """Another validator plays the job now."""


class _OpenedMarket:
    """A job's market, which opens no further round once the job is not ours or names another market."""

    def __init__(self, market: Market, job: Job, store: Store, leases: JobLeases) -> None:
        self._market = market
        self._job = job
        self._store = store
        self._leases = leases

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market."""
        return self._market.info

    @property
    def vault(self) -> VaultState | None:
        """The real vault, where the market reads one."""
        return self._market.vault

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head."""
        job = await self._store.get_job(self._job.job_id)
        if not await self._leases.confirm(JobId(self._job.job_id)):
            raise _LeaseLost
        if job is not None and _market_of(job) != _market_of(self._job):
            raise _MarketChanged
        return await self._market.open_round(length_blocks)

    async def next_block(self) -> Block:
        """Return the next block."""
        return await self._market.next_block()

    async def settle(self) -> None:
        """Return once the last block stands."""
        await self._market.settle()

    async def close(self) -> None:
        """Release the market."""
        await self._market.close()


def _market_of(job: Job) -> tuple[str, str | None, int, str]:
    return job.feed, job.record, job.chain_id, job.pair_address
