"""The live demonstration: its job is played by one process at a time and left in order, and its blocks wait for its
executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
from support.local_miners import LocalMiners, roster
from support.rows import make_execution, make_start
from support.signed_rounds import VALIDATOR_KEY

from db.store import Store
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery
from tideline.console import Console
from tideline.demo import LIVE_JOB_ID, live_demo_job
from tideline.guard import gate, guard
from tideline.live_demo import LiveDemo, is_waited_for
from validator.job_runner import RunnerContext
from validator.transport import Exchange, MinerEndpoint


@pytest.mark.parametrize(
    ("status", "head", "expected"),
    [
        ("planned", 98, False),  # its block is not the next one
        ("planned", 99, True),
        ("signed", 99, True),
        ("sent", 99, False),  # only blocks bring it further
        ("mined", 107, False),
        (
            "mined",
            108,
            True,
        ),  # confirmed by then: the executor reads the vault where it was mined before that is pruned
        ("sent", 108, True),
        ("confirmed", 103, True),
        ("reconciled", 200, False),
        ("expired", 200, False),
    ],
)
def test_the_next_block_waits_for_what_the_executor_can_do_without_it(
    status: str, head: int, *, expected: bool
) -> None:
    assert (
        is_waited_for(make_execution(make_start(1), mode="chain", status=status, effective_block=100), head) is expected
    )


class InterruptedMiners(LocalMiners):
    """Miners before whose first answer something happens."""

    def __init__(self, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._happens: Callable[[], Awaitable[object]] | None = happens

    async def ask_all(
        self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
    ) -> list[Exchange]:
        if self._happens is not None:
            happens, self._happens = self._happens, None
            await happens()
        return await super().ask_all(questions, deadline_s=deadline_s)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        yield opened


def demonstration(store: Store, miners: LocalMiners) -> LiveDemo:
    console = Console({}, {}, detail=False, out=StringIO())
    context = RunnerContext(store, miners, roster(), guard, gate, VALIDATOR_KEY, console, "test")
    return LiveDemo(context, console, "sqlite:///unused", holder="holder")


async def rounds(store: Store) -> list[str]:
    return [row.status for row in await store.round_history(LIVE_JOB_ID, limit=10)]


async def test_what_another_process_plays_is_left_as_it_is(store: Store) -> None:
    await store.add_job(live_demo_job())
    assert await store.lease_job(LIVE_JOB_ID, "another", seconds=600)
    with pytest.raises(ConfigError, match="another process plays wbtc-weth-live"):
        await demonstration(store, LocalMiners()).play()
    job = await store.get_job(LIVE_JOB_ID)
    assert job is not None and job.is_active and job.revision == 1 and await rounds(store) == []


async def test_once_another_process_has_taken_it_over_nothing_more_is_done_to_it(store: Store) -> None:
    async def taken_over() -> None:
        await store.release_job(LIVE_JOB_ID, "holder")
        assert await store.lease_job(LIVE_JOB_ID, "another", seconds=600)

    with pytest.raises(ConfigError, match="another process has taken wbtc-weth-live over"):
        await demonstration(store, InterruptedMiners(taken_over)).play()
    job = await store.get_job(LIVE_JOB_ID)
    assert job is not None and job.is_active and await rounds(store) == ["completed"]
    assert not await store.lease_job(LIVE_JOB_ID, "holder", seconds=1)


async def test_a_job_that_its_operator_pauses_ends_it(store: Store) -> None:
    miners = InterruptedMiners(lambda: store.set_job_active(LIVE_JOB_ID, active=False))
    with pytest.raises(ConfigError, match="job wbtc-weth-live was paused or removed"):
        await demonstration(store, miners).play()
    assert await rounds(store) == ["completed"] and await store.lease_job(LIVE_JOB_ID, "another", seconds=1)


async def test_stopped_in_the_middle_it_leaves_no_round_open_and_the_job_paused(store: Store) -> None:
    is_asked = asyncio.Event()

    async def ask_and_wait() -> None:
        is_asked.set()
        await asyncio.Event().wait()

    playing = asyncio.create_task(demonstration(store, InterruptedMiners(ask_and_wait)).play())
    await is_asked.wait()
    job = await store.get_job(LIVE_JOB_ID)
    assert job is not None and job.is_active and job.weight == 0, "its days must earn no miner anything"
    playing.cancel()
    await asyncio.wait({playing})
    job = await store.get_job(LIVE_JOB_ID)
    assert job is not None and not job.is_active and await rounds(store) == ["inconclusive"]
    assert playing.cancelled() and await store.lease_job(LIVE_JOB_ID, "another", seconds=1)
