"""Who may play a job, with two processes' leases on one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.services import recorded_job

from db.store import Store
from protocol.units import JobId
from validator.leases import JobLeases

JOB = JobId("a")


@dataclass
class Bench:
    """Two processes with their own clocks."""

    store: Store
    wall: list[int]
    mine_s: float = 0.0
    theirs_s: float = 0.0
    asked: int = 0  # how often the database was asked for a lease

    def __post_init__(self) -> None:
        self.mine = JobLeases(self.store, "mine", seconds=30, monotonic=lambda: self.mine_s)
        self.theirs = JobLeases(self.store, "theirs", seconds=30, monotonic=lambda: self.theirs_s)

    def pass_s(self, seconds: int) -> None:
        self.wall[0] += seconds
        self.mine_s += seconds
        self.theirs_s += seconds


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    wall = [1_700_000_000]
    bench: Bench | None = None

    def clock() -> int:
        if bench is not None:
            bench.asked += 1
        return wall[0]

    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True, clock=clock) as store:
        await store.add_job(recorded_job(JOB))
        bench = Bench(store, wall)
        yield bench


async def test_one_takes_it_and_the_other_asks_again_later(bench: Bench) -> None:
    assert await bench.mine.take(JOB)
    assert not await bench.theirs.take(JOB)
    await bench.mine.give_back(JOB)
    assert not bench.mine.holds(JOB)
    assert not await bench.theirs.take(JOB), "the refusal holds for a third of a lease"
    bench.pass_s(10)
    assert await bench.theirs.take(JOB)


async def test_a_lease_that_is_renewed_lasts(bench: Bench) -> None:
    assert await bench.mine.take(JOB)
    for _ in range(10):
        bench.pass_s(11)
        await bench.mine.renew()
        assert bench.mine.holds(JOB) and not await bench.theirs.take(JOB)


async def test_whoever_does_not_renew_loses_it_and_learns_of_it(bench: Bench) -> None:
    assert await bench.mine.take(JOB)
    bench.pass_s(31)
    assert await bench.theirs.take(JOB)
    assert bench.mine.holds(JOB), "nobody has told it yet"
    await bench.mine.renew()
    assert not bench.mine.holds(JOB)
    assert bench.theirs.holds(JOB)
    await bench.theirs.renew()
    assert bench.theirs.holds(JOB)


async def test_a_late_renewal_that_nobody_has_forestalled_holds(bench: Bench) -> None:
    assert await bench.mine.take(JOB)
    bench.pass_s(300)
    await bench.mine.renew()
    assert bench.mine.holds(JOB) and not await bench.theirs.take(JOB)


async def test_the_last_round_of_a_removed_job_may_end(bench: Bench) -> None:
    assert await bench.mine.take(JOB)
    await bench.store.remove_job(JOB)
    bench.pass_s(11)
    await bench.mine.renew()
    assert bench.mine.holds(JOB)
    await bench.mine.give_back(JOB)
    assert not await bench.mine.take(JOB)


async def test_the_same_name_takes_over_at_once(bench: Bench) -> None:
    assert await bench.mine.take(JOB)
    reborn = JobLeases(bench.store, "mine", seconds=30, monotonic=lambda: 0.0)
    assert await reborn.take(JOB)


async def test_a_lease_is_renewed_when_it_is_due_and_not_at_every_look(bench: Bench) -> None:
    await bench.mine.take(JOB)
    bench.asked = 0
    for seconds, asked in ((0, 0), (9, 0), (1, 1), (0, 1), (9, 1), (1, 2), (0, 2)):
        bench.pass_s(seconds)
        await bench.mine.renew()
        assert bench.asked == asked


async def test_confirming_tells_at_once_what_renewing_would_tell_later(bench: Bench) -> None:
    assert await bench.mine.take(JOB) and await bench.mine.confirm(JOB)
    bench.wall[0] += 31  # our own clock stood still
    bench.theirs_s += 31
    assert await bench.theirs.take(JOB)
    await bench.mine.renew()
    assert bench.mine.holds(JOB)
    assert not await bench.mine.confirm(JOB)
    assert not bench.mine.holds(JOB) and await bench.theirs.confirm(JOB)
