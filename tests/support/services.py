"""A running validator service for tests: real database, real recorded markets, miners in the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from support.local_miners import LocalMiners, roster
from support.signed_rounds import VALIDATOR_KEY

from db.job import Job, validate_job
from db.records import RoundStart
from db.store import Store
from protocol.units import JobId, RoundId
from simulator.events import Block
from simulator.market import Market, MarketInfo
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot
from tideline.demo import demo_jobs
from tideline.guard import gate, guard
from tideline.markets import open_market
from validator.job_runner import RunnerContext
from validator.ports import MarketSource
from validator.progress import ProgressEvent, RoundClosed, RoundOpened, Trouble
from validator.service import ServiceSettings, ValidatorService

PATIENCE_S = 30.0  # before a test that waits for an event gives up
SOON = ServiceSettings(poll_s=0.01, restart_s=0.01)


def recorded_job(job_id: str, *, like: str = "wbtc-weth", **changes: Any) -> Job:
    """Return a job of the demo under another id, with short rounds of few questions."""
    base = next(job for job in demo_jobs() if job.job_id == like).to_mapping()
    settings = {k: v for k, v in base.items() if k not in ("revision", "created_at", "updated_at")}
    short = {"round_duration_seconds": 1200, "checkpoint_interval_blocks": 50}
    return validate_job({**settings, **short, "job_id": job_id, **changes})


async def at_full_speed(job: Job, resume_after: int | None) -> Market:
    """Open a job's recorded market without a pace."""
    return await open_market(job, resume_after, None, {})


@dataclass
class Watch:
    """Keeps what a service tells, and lets a test wait for it."""

    events: list[ProgressEvent] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, event: ProgressEvent) -> None:
        self.events.append(event)
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, is_there: Callable[[ProgressEvent], bool], *, after: int = 0) -> int:
        """Return the index after the first such event that is not among the first `after`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index, event in enumerate(self.events[after:], after + 1):
                    if is_there(event):
                        return index
                news = self._news
                await news.wait()

    def of(self, kind: type[Any], job_id: str | None = None) -> list[Any]:
        """Return the events of a kind, of one job or of all."""
        found = [event for event in self.events if isinstance(event, kind)]
        return found if job_id is None else [event for event in found if event.job_id == job_id]


@dataclass
class SeenMarket:
    """A market that lets a test see, and break, what happens to it."""

    inner: Market
    before_block: Callable[[], None]
    on_close: Callable[[], None]

    @property
    def info(self) -> MarketInfo:
        return self.inner.info

    @property
    def vault(self) -> VaultState | None:
        return self.inner.vault

    async def settle(self) -> None:
        await self.inner.settle()

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        return await self.inner.open_round(length_blocks)

    async def next_block(self) -> Block:
        self.before_block()
        return await self.inner.next_block()

    async def close(self) -> None:
        self.on_close()
        await self.inner.close()


@dataclass
class Playing:
    """Counts how many markets of each job are open at once, over all services that share it."""

    open_now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    async def __call__(self, job: Job, resume_after: int | None) -> Market:
        self.open_now[job.job_id] += 1
        self.most[job.job_id] = max(self.most[job.job_id], self.open_now[job.job_id])

        def closed() -> None:
            self.open_now[job.job_id] -= 1

        return SeenMarket(await at_full_speed(job, resume_after), lambda: None, closed)


@dataclass
class Running:
    """A service under way."""

    service: ValidatorService
    task: asyncio.Task[None]
    stop: asyncio.Event
    watch: Watch

    async def end(self) -> None:
        """Stop as a signal would, and wait."""
        self.stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await self.task


@contextlib.asynccontextmanager
async def running(
    store: Store,
    *,
    markets: MarketSource = at_full_speed,
    settings: ServiceSettings = SOON,
    holder: str = "holder",
    monotonic: Callable[[], float] | None = None,
    watch: Watch | None = None,
    miners: LocalMiners | None = None,
) -> AsyncIterator[Running]:
    """Run a service for the length of the block; it must not have failed by then."""
    seen = watch or Watch()
    asked = miners or LocalMiners()
    entrants = roster(asked.hotkeys)
    context = RunnerContext(store, asked, entrants, guard, gate, VALIDATOR_KEY, seen, "test", retry_s=0.01)
    clock = {} if monotonic is None else {"monotonic": monotonic}
    service = ValidatorService(context, markets, settings, holder=holder, **clock)
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    run = Running(service, task, stop, seen)
    try:
        yield run
        await run.end()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def soon(**changes: Any) -> ServiceSettings:
    """Return impatient settings with some changed."""
    return replace(SOON, **changes)


Wanted = Callable[[ProgressEvent], bool]


def closed(job_id: str, round_type: str = "evaluation") -> Wanted:
    """Match the end of a job's round."""
    return lambda e: isinstance(e, RoundClosed) and e.job_id == job_id and e.round_type == round_type


def opened(job_id: str) -> Wanted:
    """Match the beginning of a job's round."""
    return lambda e: isinstance(e, RoundOpened) and e.job_id == job_id


def told(text: str) -> Wanted:
    """Match trouble that was told."""
    return lambda e: isinstance(e, Trouble) and text in e.message


def left_open(job_id: str) -> RoundStart:
    """Return a round that nobody will finish."""
    return RoundStart(
        round_id=RoundId(f"{job_id}-evaluation-1"),
        job_id=JobId(job_id),
        round_number=1,
        round_type="evaluation",
        mode="paper",
        start_block=16_731_600,
        start_timestamp=1_677_629_400,
        block_hash="0x" + "ab" * 32,
        snapshot_digest="cd" * 32,
        code_version="0.1.0",
    )
