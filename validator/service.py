"""The validator: a runner for every active job, followed as jobs come, change and go, and the one broad `except` of
the process.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from db.job import Job
from protocol.errors import ConfigError, TidelineError
from protocol.units import JobId
from simulator.market import Market
from validator.job_runner import JobRunner, RunnerContext
from validator.ports import MarketSource
from validator.progress import Trouble

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the service behaves. `max_rounds` ends it once every job has played so many conclusive rounds."""

    max_rounds: int | None = None
    poll_s: float = 1.0  # how soon a change of the jobs is noticed
    restart_s: float = 10.0  # pause before a job whose runner failed is tried again


class ValidatorService:
    """Runs every active job, each in its own task."""

    def __init__(self, context: RunnerContext, markets: MarketSource, settings: ServiceSettings) -> None:
        self._context = context
        self._markets = markets
        self._settings = settings
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self._finished: set[JobId] = set()
        self._refused: dict[JobId, int] = {}  # revision at which a job's settings could not be played

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, or until every job has played its rounds. Rounds cut off are voided at the next
        start.
        """
        await self._void_open_rounds("the validator was restarted while the round was running")
        try:
            while not stop.is_set():
                await self._follow_jobs()
                if self._is_done():
                    return
                await self._wait(stop)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._void_open_rounds("the validator was stopped while the round was running")

    async def _void_open_rounds(self, reason: str) -> None:
        """Close what was cut off: nobody is scored for it and nobody punished."""
        for row in await self._context.store.open_rounds():
            await self._context.store.void_round(row.round_id, reason)

    async def _wait(self, stop: asyncio.Event) -> None:
        """Return when told to stop, when a runner ends, or when it is time to look at the jobs again."""
        waiter = asyncio.create_task(stop.wait())
        await asyncio.wait(
            [waiter, *self._tasks.values()], timeout=self._settings.poll_s, return_when=asyncio.FIRST_COMPLETED
        )
        waiter.cancel()

    async def _follow_jobs(self) -> None:
        """Start what is active and not running; a runner whose job is paused or gone ends by itself."""
        for job_id in [job_id for job_id, task in self._tasks.items() if task.done()]:
            del self._tasks[job_id]
        for job in await self._context.store.list_jobs(active_only=True):
            job_id = JobId(job.job_id)
            if self._refused.get(job_id) == job.revision or job_id in self._finished:
                continue
            if job_id not in self._tasks:
                self._tasks[job_id] = asyncio.create_task(self._supervise(job), name=f"job {job_id}")

    def _is_done(self) -> bool:
        return self._settings.max_rounds is not None and not self._tasks

    async def _supervise(self, job: Job) -> None:
        """Run one job. Whatever goes wrong in it is told, and costs the other jobs nothing."""
        job_id = JobId(job.job_id)
        market: Market | None = None
        try:
            market = await self._markets(job, await self._context.store.last_block(job_id))
            runner = JobRunner(job_id, market, self._context, max_rounds=self._settings.max_rounds)
            if await runner.run():
                self._finished.add(job_id)
        except ConfigError as error:
            self._context.observe(Trouble(f"job {job_id} is not played until it is changed: {error}"))
            self._refused[job_id] = job.revision
        except TidelineError as error:
            await self._pause(job_id, str(error))
        except Exception as error:  # the supervisor: the one place where anything at all is caught
            _log.exception("job %s failed unexpectedly", job_id)
            await self._pause(job_id, repr(error))
        finally:
            if market is not None:
                await market.close()

    async def _pause(self, job_id: JobId, reason: str) -> None:
        self._context.observe(Trouble(f"job {job_id} stopped and is tried again: {reason}"))
        for row in await self._context.store.open_rounds(job_id):
            await self._context.store.void_round(row.round_id, reason)
        await asyncio.sleep(self._settings.restart_s)
