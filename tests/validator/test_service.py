"""The service with a real database and real recorded markets: jobs come, change, fail and go."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.local_miners import LocalMiners, roster
from support.services import (
    SOON,
    Running,
    SeenMarket,
    Watch,
    at_full_speed,
    closed,
    left_open,
    opened,
    recorded_job,
    running,
    soon,
    told,
)
from support.signed_rounds import VALIDATOR_KEY

from db.job import Job
from db.store import Store
from protocol.errors import ConfigError
from protocol.signing import keypair_from_uri
from protocol.units import JobId
from simulator.market import Market
from tideline.embedded import NETUID, ClockedMarket, EmbeddedClock, make_chain, validator_endpoint
from tideline.guard import gate, guard
from validator.job_runner import RunnerContext
from validator.progress import Asked, ProgressEvent, RoundClosed, RoundOpened, Trouble
from validator.service import ValidatorService
from validator.subtensor import ValidatorChain
from validator.verification import check, load
from validator.weight_setter import WeightSetter, WeightSettings
from validator.weights_service import SCORING_VERSION, WeightsService


@dataclass
class Looks:
    """A clock that is asked whenever the service looks at its jobs; it tells when that was often enough."""

    wanted: int
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> float:
        self.wanted -= 1
        if self.wanted == 0:
            self.enough.set()
        return 0.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True, busy_timeout_ms=50) as opened:
        yield opened


async def is_let_go(store: Store, job_id: str, run: Running, other: str) -> None:
    """Return once the service has given the job back, looked at after every round of another job."""
    seen = len(run.watch.events)
    while not await store.lease_job(job_id, "somebody else", seconds=1):
        seen = await run.watch.until(closed(other), after=seen)
    await store.release_job(job_id, "somebody else")


async def test_it_ends_by_itself_once_every_job_has_played_its_rounds(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
    async with running(store, settings=soon(max_rounds=2)) as run:
        await asyncio.wait_for(run.task, 30)
    for name in ("a", "b"):
        assert [e.round_id for e in run.watch.of(RoundClosed, name)] == [
            f"{name}-evaluation-1",
            f"{name}-evaluation-2",
        ]
    assert await store.lease_job("a", "somebody else", seconds=1), "the leases were given back"


async def test_an_added_job_is_noticed_and_played(store: Store) -> None:
    await store.add_job(recorded_job("a"))
    async with running(store) as run:
        await run.watch.until(closed("a"))
        await store.add_job(recorded_job("b"))
        await run.watch.until(closed("b"))


async def test_it_says_once_that_no_job_is_active_and_waits_for_one(store: Store) -> None:
    looks = Looks(5)
    async with running(store, monotonic=looks) as run:
        await run.watch.until(told("no job is active"))
        await looks.enough.wait()
        await store.add_job(recorded_job("a"))
        await run.watch.until(closed("a"))
    assert len(run.watch.of(Trouble)) == 1


async def test_a_paused_job_ends_its_round_and_goes_on_when_resumed(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
    async with running(store) as run:
        await run.watch.until(opened("a"))
        await store.set_job_active("a", active=False)
        await is_let_go(store, "a", run, other="b")
        last = await store.last_round("a", "evaluation")
        assert last is not None and last.status == "completed", "the round under way was played to its end"
        here = len(run.watch.events)
        await run.watch.until(closed("b"), after=await run.watch.until(closed("b"), after=here))
        assert not [e for e in run.watch.events[here:] if isinstance(e, RoundOpened) and e.job_id == "a"]
        await store.set_job_active("a", active=True)
        await run.watch.until(closed("a"), after=here)


async def test_a_removed_job_ends_its_round_and_no_other_begins(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
    async with running(store) as run:
        await run.watch.until(opened("a"))
        await store.remove_job("a", force=True)
        here = await run.watch.until(closed("a"))
        await run.watch.until(closed("b"), after=await run.watch.until(closed("b"), after=here))
        assert not [e for e in run.watch.events[here:] if isinstance(e, RoundOpened) and e.job_id == "a"]
    assert await store.open_rounds() == []


async def test_a_change_takes_effect_at_the_next_round(store: Store) -> None:
    await store.add_job(recorded_job("a", round_duration_seconds=1200))
    async with running(store) as run:
        await run.watch.until(lambda e: isinstance(e, Asked))
        await store.update_job("a", {"round_duration_seconds": 2400})
        here = await run.watch.until(lambda e: isinstance(e, RoundOpened) and e.end_block - e.start_block == 200)
        await run.watch.until(closed("a"), after=here)
    assert run.watch.of(RoundOpened)[0].end_block - run.watch.of(RoundOpened)[0].start_block == 100
    completed = [row for row in await store.round_history("a") if row.status == "completed"]
    assert {row.end_block - row.start_block for row in completed if row.end_block} == {100, 200}
    assert not run.watch.of(Trouble)


async def test_a_job_that_names_another_market_is_played_there(store: Store) -> None:
    await store.add_job(recorded_job("a"))
    other = recorded_job("a", like="usdc-weth")
    async with running(store) as run:
        await run.watch.until(closed("a"))
        fields = ("record", "pair_address", "chain_id", "opening")
        await store.update_job("a", {name: other.to_mapping()[name] for name in fields})
        here = await run.watch.until(lambda e: isinstance(e, RoundOpened) and e.start_block >= 18_000_000)
        await run.watch.until(closed("a"), after=here)
    assert not run.watch.of(Trouble)
    newest = next(row for row in await store.round_history("a") if row.status == "completed")
    assert check(await load(store, newest.round_id)).participants


async def test_a_failing_job_is_told_voided_and_tried_again_and_touches_no_other(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
    failures = iter([1, 2])

    def fail_twice(blocks: list[int]) -> None:
        blocks.append(1)
        if len(blocks) == 60 and next(failures, None):
            raise ZeroDivisionError("a bug of ours")

    async def markets(job: Job, resume_after: int | None) -> Market:
        inner, blocks = await at_full_speed(job, resume_after), list[int]()
        if job.job_id == "b":
            return inner
        return SeenMarket(inner, lambda: fail_twice(blocks), lambda: None)

    async with running(store, markets=markets) as run:
        await run.watch.until(closed("a"))
    troubles = [e.message for e in run.watch.of(Trouble)]
    assert troubles == ["job a stopped and is tried again: ZeroDivisionError('a bug of ours')"] * 2
    history = {row.round_number: row for row in await store.round_history("a")}
    assert [history[n].status for n in (1, 2, 3)] == ["inconclusive", "inconclusive", "completed"]
    assert history[1].reason == "ZeroDivisionError('a bug of ours')"
    assert history[3].start_block == history[1].start_block, "it went on from where the voided round had begun"
    assert await store.scores_of_round("a-evaluation-1") == []
    assert {row.status for row in await store.round_history("b")} <= {"completed", "inconclusive"}
    voided = [row for row in await store.round_history("b") if row.status == "inconclusive"]
    assert all("stopped" in row.reason for row in voided), "at most the one that our own stop cut off"


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (recorded_job("a", record="no-such"), "there is no record named 'no-such'"),
        (recorded_job("a", round_duration_seconds=604_800), "does not fit record"),
        (recorded_job("a", checkpoint_interval_blocks=3), "is shorter than the 6 blocks in which a plan takes effect"),
        (recorded_job("a", chain_id=8453), "correct the job's chain_id"),
        (
            recorded_job("a", feed="chain", record=None, opening=None, sn_liquidity_manager_address="0x" + "1" * 40),
            "of which no node is known",
        ),
    ],
)
async def test_a_job_that_cannot_be_played_is_told_once_and_tried_when_it_is_changed(
    store: Store, job: Job, reason: str
) -> None:
    await store.add_job(job)
    await store.add_job(recorded_job("b"))
    async with running(store) as run:
        here = await run.watch.until(told(reason))
        for _ in range(3):
            here = await run.watch.until(closed("b"), after=here)
        assert len(run.watch.of(Trouble)) == 1
        good = recorded_job("a").to_mapping()
        kept = ("job_id", "revision", "created_at", "updated_at")
        await store.update_job("a", {name: value for name, value in good.items() if name not in kept})
        await run.watch.until(closed("a"))
    assert len(run.watch.of(Trouble)) == 1
    assert run.watch.of(Trouble)[0].message.startswith("job a is not played until it is changed: ")


async def test_a_change_into_what_cannot_be_played_is_told_once(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
    async with running(store) as run:
        await run.watch.until(closed("a"))
        await store.update_job("a", {"checkpoint_interval_blocks": 3})
        here = await run.watch.until(told("is shorter than the 6 blocks"))
        await run.watch.until(closed("b"), after=await run.watch.until(closed("b"), after=here))
    assert len(run.watch.of(Trouble)) == 1


async def test_a_failed_round_is_voided_before_the_pause(store: Store) -> None:
    await store.add_job(recorded_job("a"))

    def fail() -> None:
        raise ZeroDivisionError

    async def markets(job: Job, resume_after: int | None) -> Market:
        return SeenMarket(await at_full_speed(job, resume_after), fail, lambda: None)

    async with running(store, markets=markets, settings=soon(restart_s=3600)) as run:
        await run.watch.until(told("stopped and is tried again"))
        assert await store.open_rounds() == []


async def test_with_rounds_a_job_that_cannot_be_played_does_not_keep_it_running(store: Store) -> None:
    await store.add_job(recorded_job("a", record="no-such"))
    await store.add_job(recorded_job("b"))
    async with running(store, settings=soon(max_rounds=1)) as run:
        await asyncio.wait_for(run.task, 30)
    assert [e.job_id for e in run.watch.of(RoundClosed)] == ["b"]


async def test_stopping_voids_the_open_round_and_scores_nobody_for_it(store: Store) -> None:
    await store.add_job(recorded_job("a"))
    async with running(store) as run:
        await run.watch.until(lambda e: isinstance(e, Asked) and e.checkpoint == 1)
        await run.end()
    assert await store.open_rounds() == []
    newest = (await store.round_history("a"))[0]
    if newest.status == "inconclusive":
        assert newest.reason == "the validator was stopped while the round was running"
        assert await store.scores_of_round(newest.round_id) == []
    assert await store.lease_job("a", "somebody else", seconds=1)


async def test_a_round_that_a_crash_left_open_is_voided_even_where_the_job_is_paused(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
        await store.start_round(left_open(name))
    await store.set_job_active("b", active=False)
    async with running(store) as run:
        await run.watch.until(closed("a"))
    for name in ("a", "b"):
        row = await store.get_round(f"{name}-evaluation-1")
        assert row is not None and row.status == "inconclusive"
        assert row.reason == "the validator was restarted while the round was running"
    assert await store.open_rounds() == []


async def test_a_job_that_something_else_plays_under_our_lease_is_neither_played_nor_voided(store: Store) -> None:
    for name in ("a", "b"):
        await store.add_job(recorded_job(name))
    await store.start_round(left_open("b"))
    assert await store.lease_job("b", "holder", seconds=600)
    async with running(store, settings=soon(not_ours=frozenset({JobId("b")}))) as run:
        await run.watch.until(closed("a"))
    assert [row.job_id for row in await store.open_rounds()] == ["b"] and run.watch.of(Trouble) == []
    assert not await store.lease_job("b", "somebody else", seconds=1), "the lease was left alone"


async def test_a_database_that_is_locked_for_a_while_is_survived(store: Store, tmp_path: Path) -> None:
    await store.add_job(recorded_job("a"))
    async with running(store) as run:
        await run.watch.until(closed("a"))
        holder = sqlite3.connect(tmp_path / "jobs.sqlite3", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        here = await run.watch.until(told("locked by another process"))
        holder.execute("ROLLBACK")
        holder.close()
        await run.watch.until(closed("a"), after=here)
    assert await store.open_rounds() == []
    for row in await store.round_history("a"):
        if row.status == "completed":
            check(await load(store, row.round_id))


def rename_table(folder: Path, name: str, to: str) -> None:
    """Rename a table as another process would."""
    with closing(sqlite3.connect(folder / "jobs.sqlite3", timeout=30, isolation_level=None)) as other:
        other.execute("pragma legacy_alter_table = on")  # the other tables go on naming this one
        other.execute("begin immediate")  # a statement that must become a writer first is refused at once
        other.execute(f"alter table {name} rename to {to}")
        other.execute("commit")


async def test_a_database_that_cannot_even_be_read_is_told_once_and_survived(store: Store, tmp_path: Path) -> None:
    await store.add_job(recorded_job("a"))
    looks = Looks(10**9)
    async with running(store, monotonic=looks) as run:
        here = await run.watch.until(closed("a"))
        await asyncio.to_thread(rename_table, tmp_path, "jobs", "away")  # the service must go on to give the lock back
        for trouble in ("the database fails and is tried again", "job a stopped and is tried again"):  # in any order
            await run.watch.until(told(trouble), after=here)
        here = len(run.watch.events)
        await asyncio.to_thread(rename_table, tmp_path, "away", "jobs")
        await run.watch.until(closed("a"), after=here)
    assert len([e for e in run.watch.of(Trouble) if "the database fails" in e.message]) == 1
    assert await store.open_rounds() == []


async def test_an_observer_that_cannot_write_ends_the_service_in_order(store: Store) -> None:
    await store.add_job(recorded_job("a"))

    class Broken(Watch):
        def __call__(self, event: ProgressEvent) -> None:
            if isinstance(event, Asked | Trouble):
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        async with running(store, watch=Broken()) as run:
            await asyncio.wait_for(asyncio.shield(run.task), 30)
    assert await store.open_rounds() == []


async def test_a_hotkey_that_loses_its_seat_ends_the_validator_with_its_rounds_voided(store: Store) -> None:
    """As `tideline validator` wires it: rounds, and beside them the weights, whose clock is the market's."""
    await store.add_job(recorded_job("a"))
    own, other = VALIDATOR_KEY.ss58_address, keypair_from_uri("//tideline//other").ss58_address
    chain = make_chain(own, [])
    clock = EmbeddedClock(chain)
    view = await ValidatorChain.connect(validator_endpoint(chain), VALIDATOR_KEY, version_key=SCORING_VERSION)
    watch, stop = Watch(), asyncio.Event()

    async def markets(job: Job, resume_after: int | None) -> Market:
        return ClockedMarket(job.job_id, await at_full_speed(job, resume_after), clock)

    context = RunnerContext(store, LocalMiners(), roster(), guard, gate, VALIDATOR_KEY, watch, "test")
    service = ValidatorService(context, markets, SOON, holder="holder")
    weights = WeightsService(WeightSetter(view, WeightSettings()), store, clock, watch, netuid=NETUID)
    running_both = asyncio.create_task(weights.run_beside(service.run(stop), stop))
    await watch.until(closed("a"))
    uid = await view.uid()
    chain.register(other, other, uid=uid)
    with pytest.raises(ConfigError, match=f"hotkey {own} is not registered on subnet {NETUID}"):
        await asyncio.wait_for(running_both, 30)
    await view.close()
    assert await store.open_rounds() == []
    assert {row.status for row in await store.round_history("a")} <= {"completed", "inconclusive"}
