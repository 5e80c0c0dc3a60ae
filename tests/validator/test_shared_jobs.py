"""Several validators on one database: no job is played twice at once, and none is orphaned."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.local_miners import LocalMiners
from support.postgres import PostgresServer, running_server
from support.services import (
    Playing,
    Watch,
    closed,
    left_open,
    opened,
    recorded_job,
    running,
    soon,
    told,
)

from db.store import Store
from protocol.messages import RebalanceQuery
from validator.progress import ProgressEvent, RoundClosed, RoundOpened, Trouble
from validator.transport import Exchange, MinerEndpoint


@dataclass
class Times:
    """Two clocks that move by hand: the database's, and one process's own."""

    wall: int = 1_700_000_000
    monotonic: float = 0.0


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return await server.create_database()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True, busy_timeout_ms=50) as opened:
        yield opened


async def test_two_validators_on_one_database_never_play_a_job_twice_at_once(url: str) -> None:
    playing = Playing()
    async with await Store.open(url, create=True) as one, await Store.open(url, create=False) as two:
        for name in ("a", "b", "c", "d"):
            await one.add_job(recorded_job(name))
        half = soon(max_jobs=2)
        async with running(one, markets=playing, holder="one", settings=half) as first:
            async with running(two, markets=playing, holder="two", settings=half) as second:
                for name in ("a", "b", "c", "d"):
                    done = [asyncio.create_task(run.watch.until(closed(name))) for run in (first, second)]
                    await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED, timeout=30)
                    for task in done:
                        task.cancel()
                    await asyncio.gather(*done, return_exceptions=True)
            played = [{e.job_id for e in run.watch.of(RoundClosed)} for run in (first, second)]
            assert played[0].isdisjoint(played[1]) and played[0] | played[1] == {"a", "b", "c", "d"}
            assert [len(jobs) for jobs in played] == [2, 2]
        assert set(playing.most.values()) == {1}
        for name in ("a", "b", "c", "d"):
            numbers = sorted(row.round_number for row in await one.round_history(name))
            assert numbers == list(range(1, len(numbers) + 1))
        assert await one.open_rounds() == []


async def test_a_job_is_handed_over_when_the_other_validator_stops(url: str) -> None:
    times = Times()
    playing = Playing()

    def now() -> int:
        return times.wall

    async with (
        await Store.open(url, create=True, clock=now) as one,
        await Store.open(url, create=False, clock=now) as two,
    ):
        await one.add_job(recorded_job("a"))
        async with running(one, markets=playing, holder="one") as first:
            await first.watch.until(closed("a"))
            async with running(two, markets=playing, holder="two", monotonic=lambda: times.monotonic) as second:
                await second.watch.until(told("job a is played by another validator on this database"))
                await first.end()
                times.monotonic += 10  # time to ask again
                await second.watch.until(closed("a"))
        assert len(second.watch.of(Trouble)) == 1
        assert set(playing.most.values()) == {1}


async def test_the_job_of_a_dead_validator_is_taken_over_when_its_lease_expires(url: str) -> None:
    times = Times()
    async with await Store.open(url, create=True, clock=lambda: times.wall) as store:
        await store.add_job(recorded_job("a"))
        assert await store.lease_job("a", "dead", seconds=30)
        await store.start_round(left_open("a"))
        async with running(store, monotonic=lambda: times.monotonic, settings=soon(max_rounds=1)) as run:
            await run.watch.until(told("is played by another validator"))
            assert [row.round_id for row in await store.open_rounds()] == ["a-evaluation-1"]
            times.wall += 31
            times.monotonic += 31
            await asyncio.wait_for(run.task, 30)
        assert [e.round_id for e in run.watch.of(RoundClosed)] == ["a-evaluation-2"]
        row = await store.get_round("a-evaluation-1")
        assert row is not None and row.status == "inconclusive"


async def test_whoever_hung_for_longer_than_its_lease_stops_at_once_and_voids_nothing_of_the_other(url: str) -> None:
    times = Times()
    slow = LocalMiners()
    released = asyncio.Event()

    class Hanging(LocalMiners):
        async def ask_all(
            self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
        ) -> list[Exchange]:
            await released.wait()
            return await slow.ask_all(questions, deadline_s=deadline_s)

    def now() -> int:
        return times.wall

    async with (
        await Store.open(url, create=True, clock=now) as one,
        await Store.open(url, create=False, clock=now) as two,
    ):
        await one.add_job(recorded_job("a"))
        async with running(one, holder="one", miners=Hanging(), monotonic=lambda: times.monotonic) as first:
            await first.watch.until(opened("a"))
            times.wall += 31  # its own clock stands still: it does not renew
            async with running(two, holder="two") as second:
                await second.watch.until(closed("a"))
                times.monotonic += 11
                await first.watch.until(told("job a was taken over by another validator"))
                released.set()
                for _ in range(3):
                    await second.watch.until(closed("a"), after=len(second.watch.events))
            await first.end()
        assert (len(first.watch.of(RoundOpened)), first.watch.of(RoundClosed)) == (1, [])
        assert len(first.watch.of(Trouble)) == 1 and not second.watch.of(Trouble)
        rows = {row.round_number: row for row in await two.round_history("a")}
        assert rows[1].reason == "the validator was restarted while the round was running"
        assert {rows[n].status for n in range(2, max(rows))} == {"completed"}


async def test_whoever_wakes_before_it_has_looked_at_its_leases_voids_nothing_of_the_other(url: str) -> None:
    """Its runner goes on first: the round it had was voided, and the open one is another validator's."""
    times, released = Times(), asyncio.Event()

    class Hanging(LocalMiners):
        async def ask_all(
            self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
        ) -> list[Exchange]:
            await released.wait()
            return await super().ask_all(questions, deadline_s=deadline_s)

    def now() -> int:
        return times.wall

    async with (
        await Store.open(url, create=True, clock=now) as one,
        await Store.open(url, create=False, clock=now) as two,
    ):
        await one.add_job(recorded_job("a"))
        async with running(one, holder="one", miners=Hanging(), monotonic=lambda: 0.0) as first:
            await first.watch.until(opened("a"))
            times.wall += 31
            async with running(two, holder="two") as second:
                await second.watch.until(closed("a"))
                released.set()
                await first.watch.until(told("taken over by another validator"))
                for _ in range(3):
                    await second.watch.until(closed("a"), after=len(second.watch.events))
                assert not second.watch.of(Trouble)
        rows = {row.round_number: row for row in await two.round_history("a")}
        assert {rows[n].status for n in range(2, max(rows))} == {"completed"}


async def test_no_round_is_opened_on_a_lease_that_is_lost(store: Store, tmp_path: Path) -> None:
    await store.add_job(recorded_job("a"))

    class Stolen(Watch):
        """Another validator takes the job as soon as its first round has closed."""

        def __call__(self, event: ProgressEvent) -> None:
            super().__call__(event)
            if isinstance(event, RoundClosed):
                with sqlite3.connect(tmp_path / "jobs.sqlite3", timeout=30) as raw:
                    raw.execute("update jobs set lease_holder = 'other', lease_until = 99999999999")
                raw.close()

    async with running(store, watch=Stolen()) as run:
        await run.watch.until(told("another validator"))
    assert len(run.watch.of(RoundOpened)) == 1 and len(await store.round_history("a")) == 1
