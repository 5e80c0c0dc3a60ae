"""A job's rounds, from the market to the database, with real signatures and a real database."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.local_miners import LocalMiners, roster
from support.signed_rounds import MINER_KEYS, VALIDATOR_KEY, Decide, answer, keep

from db.job import Job, validate_job
from db.store import Store
from executor.guards import Limits
from protocol.errors import ChainError, SimulationError, TidelineError
from protocol.messages import Position, RebalanceQuery
from protocol.units import Hotkey, JobId
from simulator import records
from simulator.engine import Engine, default_engine
from simulator.events import Block, SwapEvent
from simulator.market import Market, MarketInfo
from simulator.opening import RoundOpening
from simulator.recorded import RecordedMarket
from simulator.round import Round
from simulator.snapshot import PoolSnapshot
from tideline.demo import demo_jobs
from tideline.guard import gate, guard
from validator import job_runner, round_run
from validator.job_runner import JobRunner, RunnerContext
from validator.progress import IntentStored, ProgressEvent, RoundClosed, RoundVoided
from validator.reputation import Reputation, advance
from validator.verification import check, load

FIRST, SECOND = MINER_KEYS
JOB = JobId("wbtc-weth")


def job_for_test(**changes: Any) -> Job:
    """Return the demo's slow job, opened idle, so that whoever deploys stands out."""
    base = next(j for j in demo_jobs() if j.job_id == JOB).to_mapping()
    settings = {k: v for k, v in base.items() if k not in ("revision", "created_at", "updated_at")}
    settings["opening"] = {"amount0": "100000000", "amount1": "14300000000000000000"}
    return validate_job({**settings, **changes})


def band(query: RebalanceQuery) -> bytes:
    """Deploy everything in a band once, then keep."""
    if query.current_positions:
        return keep(query)
    center = query.context.tick // 60 * 60
    idle = query.inventory_remaining
    wide = Position(
        tick_lower=center - 1200, tick_upper=center + 1200, allocation0=idle.amount0, allocation1=idle.amount1
    )
    return answer(query, (wide,))


@dataclass
class Bench:
    """A runner's surroundings: real store, real record, local miners."""

    store: Store
    path: Path
    events: list[ProgressEvent] = field(default_factory=list)
    miners: LocalMiners = field(default_factory=LocalMiners)

    def runner(
        self, market: Market | None = None, *, rounds: int | None = 1, engine: Engine | None = None
    ) -> JobRunner:
        context = RunnerContext(
            self.store, self.miners, roster(), guard, gate, VALIDATOR_KEY, self.events.append, "test", retry_s=0.0
        )
        if engine is not None:
            context = replace(context, pool_engine=engine)
        return JobRunner(JOB, market or RecordedMarket(records.load("wbtc-weth-03")), context, max_rounds=rounds)

    def answers(self, **decides: Decide) -> None:
        self.miners = LocalMiners({FIRST: decides.get("first", keep), SECOND: decides.get("second", keep)})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    path = tmp_path / "jobs.sqlite3"
    async with await Store.open(f"sqlite:///{path}", create=True) as store:
        await store.add_job(job_for_test())
        yield Bench(store, path)


async def test_a_round_is_scored_stored_and_recomputed_from_the_database_alone(bench: Bench) -> None:
    bench.answers(first=band)
    assert await bench.runner(rounds=4).run()
    closed = [e for e in bench.events if isinstance(e, RoundClosed)]
    assert [e.round_id for e in closed] == [f"{JOB}-evaluation-{n}" for n in (1, 2, 3, 4)]
    for event in closed:
        result = check(await load(bench.store, event.round_id))
        assert {p.hotkey: p.score_e18 for p in result.participants} == event.scores
    assert any(event.scores[FIRST] != 0 for event in closed)
    assert all(event.scores[SECOND] == 0 for event in closed)
    assert await bench.store.open_rounds() == []


@pytest.mark.parametrize("chosen", [None, "python"])
async def test_rounds_are_played_on_the_engine_chosen_by_default_the_fastest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, chosen: Engine | None
) -> None:
    used = []

    def spy(opening: RoundOpening, *, engine: Engine) -> Round:
        used.append(engine)
        return Round(opening, engine=engine)

    monkeypatch.setattr(round_run, "Round", spy)
    await bench.runner(engine=chosen).run()
    assert used == [chosen or default_engine()]


async def test_reputation_and_participation_follow_the_stored_scores(bench: Bench) -> None:
    bench.answers(first=band)
    await bench.runner(rounds=5).run()
    expected = Reputation()
    for entry in await bench.store.round_score_history(JOB, "evaluation"):
        if entry.hotkey == FIRST:
            expected = advance(expected, entry.score_e18, "evaluation")
    stored = {r.hotkey: r for r in await bench.store.reputations(JOB)}
    assert (stored[FIRST].evaluation_e18, stored[FIRST].evaluation_rounds) == (expected.evaluation_e18, 5)
    days = await bench.store.participation(JOB, since_day=date(2023, 1, 1))
    assert {(d.hotkey, d.scored_rounds, d.conclusive_rounds) for d in days} == {(FIRST, 5, 5), (SECOND, 5, 5)}


async def test_a_miner_that_is_silent_at_first_is_left_alone(bench: Bench) -> None:
    bench.answers(first=lambda _query: None)
    await bench.runner(rounds=2).run()
    assert [r.hotkey for r in await bench.store.reputations(JOB)] == [SECOND]
    days = {d.hotkey: d.scored_rounds for d in await bench.store.participation(JOB, since_day=date(2023, 1, 1))}
    assert days == {FIRST: 0, SECOND: 2}


@dataclass
class Tampered:
    """A market whose n-th block with a swap is altered on its way."""

    inner: RecordedMarket
    spoil_at: int
    seen: int = 0

    @property
    def info(self) -> MarketInfo:
        return self.inner.info

    @property
    def vault(self) -> None:
        return None

    async def settle(self) -> None:
        await self.inner.settle()

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        return await self.inner.open_round(length_blocks)

    async def next_block(self) -> Block:
        block = await self.inner.next_block()
        if any(isinstance(e, SwapEvent) for e in block.events):
            self.seen += 1
            if self.seen == self.spoil_at:
                events = tuple(
                    replace(e, amount0=e.amount0 + 1) if isinstance(e, SwapEvent) else e for e in block.events
                )
                return replace(block, events=events)
        return block

    async def close(self) -> None:
        await self.inner.close()


async def test_a_market_that_lies_makes_the_round_inconclusive_and_touches_nobody(bench: Bench) -> None:
    bench.answers(first=band)
    market = Tampered(RecordedMarket(records.load("wbtc-weth-03")), spoil_at=5)
    await bench.runner(market, rounds=2).run()
    voided = [e for e in bench.events if isinstance(e, RoundVoided)]
    assert len(voided) == 1 and "diverged" in voided[0].reason and "log_index" in voided[0].reason
    row = await bench.store.get_round(voided[0].round_id)
    assert row is not None and row.status == "inconclusive" and "diverged" in row.reason
    assert await bench.store.scores_of_round(voided[0].round_id) == []
    rounds = {r.hotkey: r.evaluation_rounds for r in await bench.store.reputations(JOB)}
    assert rounds == {FIRST: 2, SECOND: 2}, "the two conclusive rounds count, the void one does not"
    days = await bench.store.participation(JOB, since_day=date(2023, 1, 1))
    assert {d.conclusive_rounds for d in days} == {2}


async def test_a_fault_of_our_own_host_voids_the_round(bench: Bench) -> None:
    bench.miners.local_faults = 1
    await bench.runner(rounds=1).run()
    assert [type(e).__name__ for e in bench.events if isinstance(e, RoundVoided | RoundClosed)] == [
        "RoundVoided",
        "RoundClosed",
    ]


class Unreachable:
    """A market whose chain cannot be reached at first."""

    def __init__(self, inner: RecordedMarket) -> None:
        self._inner = inner
        self._failures = 2

    @property
    def info(self) -> MarketInfo:
        return self._inner.info

    @property
    def vault(self) -> None:
        return None

    async def settle(self) -> None:
        await self._inner.settle()

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        if self._failures:
            self._failures -= 1
            raise ChainError("nobody answers", retryable=True)
        return await self._inner.open_round(length_blocks)

    async def next_block(self) -> Block:
        return await self._inner.next_block()

    async def close(self) -> None:
        await self._inner.close()


async def test_a_chain_that_cannot_be_reached_is_tried_again(bench: Bench) -> None:
    assert await bench.runner(Unreachable(RecordedMarket(records.load("wbtc-weth-03")))).run()
    assert len([e for e in bench.events if isinstance(e, RoundClosed)]) == 1


async def test_a_paused_job_stops_at_the_next_round(bench: Bench) -> None:
    await bench.store.set_job_active(JOB, active=False)
    assert await bench.runner(rounds=3).run() is False
    assert bench.events == []


async def test_a_change_of_the_job_takes_effect_at_the_next_round(bench: Bench) -> None:
    await bench.runner(rounds=1).run()
    before = len(bench.miners.asked)
    await bench.store.update_job(JOB, {"checkpoint_interval_blocks": 100})
    await bench.runner(rounds=1).run()
    assert (before, len(bench.miners.asked) - before) == (2 * 4, 2 * 3)


async def test_seven_days_of_playing_lead_to_a_live_round_on_paper(bench: Bench) -> None:
    """Nothing is lowered: eight days of the record are played, and only then the winner goes live."""
    long_rounds = {"round_duration_seconds": 4 * 3600, "checkpoint_interval_blocks": 300}
    await bench.store.update_job(JOB, long_rounds)
    bench.answers(first=band)
    days_at_first_live: list[int] = []
    market = RecordedMarket(records.load("wbtc-weth-03"))
    for _ in range(60):
        await bench.runner(market, rounds=1).run()
        live = await bench.store.last_round(JOB, "live")
        if live is not None and not days_at_first_live:
            days_at_first_live.append((live.start_timestamp - market._record.opening.timestamp) // 86400)
            break
    assert days_at_first_live == [7], "on the eighth day, after seven complete ones"
    live = await bench.store.last_round(JOB, "live", completed_only=True)
    assert live is not None and live.mode == "paper"
    check(await load(bench.store, live.round_id))
    [score] = await bench.store.scores_of_round(live.round_id)
    executions = await bench.store.executions()
    assert score.hotkey == FIRST and score.scored
    assert [(e.mode, e.status, e.guard, e.hotkey) for e in executions] == [("paper", "paper", "allowed", FIRST)]
    [intent] = [e for e in bench.events if isinstance(e, IntentStored)]
    assert intent.is_allowed and intent.effective_block == executions[0].effective_block
    reputation = {r.hotkey: r for r in await bench.store.reputations(JOB)}[FIRST]
    assert reputation.live_rounds == 1
    assert Limits().max_positions >= 1


async def test_a_live_round_that_cannot_be_closed_is_voided_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = ["the sums differ"]

    async def anybody(store: Store, job: Job, combined_e18: dict[Hotkey, int], today: date) -> Hotkey:
        return next(iter(combined_e18))

    def finish(run: round_run.RoundRun, *arguments: Any) -> Any:
        if run.opening.round_type == "live" and failures:
            raise SimulationError(failures.pop())
        return really_finish(run, *arguments)

    really_finish = round_run.RoundRun.finish
    monkeypatch.setattr(job_runner, "live_candidate", anybody)
    monkeypatch.setattr(round_run.RoundRun, "finish", finish)
    assert await bench.runner(rounds=1).run()
    ended = [(type(e), e.round_id) for e in bench.events if isinstance(e, RoundClosed | RoundVoided)]
    assert ended == [
        (RoundClosed, f"{JOB}-evaluation-1"),
        (RoundVoided, f"{JOB}-live-1"),
        (RoundClosed, f"{JOB}-evaluation-2"),
        (RoundClosed, f"{JOB}-live-2"),
    ]


def other_digit(column: str, place: int) -> str:
    """Return SQL for the text with another hex digit in one place, whatever digit stands there."""
    digit = f"case substr({column}, {place}, 1) when 'a' then 'b' else 'a' end"
    return f"substr({column}, 1, {place - 1}) || {digit} || substr({column}, {place + 1})"


def other_byte(column: str) -> str:
    """Return SQL for the blob with another byte in its 91st place, whatever byte stands there."""
    byte = f"case substr({column}, 91, 1) when x'00' then x'01' else x'00' end"
    return f"cast(substr({column}, 1, 90) || {byte} || substr({column}, 92) as blob)"


TAMPERINGS = [
    ("rounds", "winner_hotkey", "'5' || winner_hotkey"),
    ("rounds", "snapshot_digest", other_digit("snapshot_digest", 1)),
    ("rounds", "evidence_digest", other_digit("evidence_digest", 1)),
    ("rounds", "evidence_signature", "replace(evidence_signature, '0x', '0x0')"),
    ("rounds", "start_block", "start_block + 1"),
    ("rounds", "end_block", "end_block + 1"),
    ("rounds", "end_timestamp", "end_timestamp + 1"),
    ("rounds", "code_version", "code_version || 'x'"),
    ("round_evidence", "opening", other_byte("opening")),
    ("round_evidence", "blocks", other_byte("blocks")),
    ("predictions", "response_body", "x'7b7d'"),
    ("predictions", "response_signature", "null"),
    ("predictions", "request_signature", other_digit("request_signature", 10)),
    ("predictions", "request_body", "x'7b7d'"),
    ("predictions", "nonce_ns", "nonce_ns + 1"),
    ("predictions", "outcome", "'invalid'"),
    ("predictions", "detail", "'because'"),
    ("predictions", "elapsed_ms", "elapsed_ms + 1"),
    ("predictions", "uid", "uid + 9"),
    ("round_scores", "score_e18", "'1'"),
    ("round_scores", "outcome", "'refused'"),
    ("round_scores", "can_win", "not can_win"),
    ("round_scores", "is_winner", "not is_winner"),
    ("round_scores", "ledger", 'replace(ledger, \'"gas": "\', \'"gas": "9\')'),
    ("round_scores", "uid", "uid + 9"),
    ("round_scores", "registered_at_block", "registered_at_block + 1"),
]


async def test_a_change_of_any_stored_column_is_found(bench: Bench) -> None:
    bench.answers(first=band)
    await bench.runner(rounds=1).run()
    round_id = f"{JOB}-evaluation-1"
    survivors: dict[str, list[str]] = defaultdict(list)
    for table, column, expression in TAMPERINGS:
        with sqlite3.connect(bench.path) as raw:
            raw.execute("pragma foreign_keys = off")
            key, value = raw.execute(f"select rowid, {column} from {table} order by rowid limit 1").fetchone()
            raw.execute(f"update {table} set {column} = {expression} where rowid = ?", (key,))
        changed = raw.execute(f"select {column} from {table} where rowid = ?", (key,)).fetchone()[0]
        if changed == value:
            survivors[table].append(f"{column}: the tampering changed nothing")
        try:
            check(await load(bench.store, round_id))
            survivors[table].append(column)
        except SimulationError:
            pass
        except TidelineError as error:
            survivors[table].append(f"{column}: {error!r}")
        with raw:
            raw.execute(f"update {table} set {column} = ? where rowid = ?", (value, key))
        raw.close()
    assert survivors == {}
    check(await load(bench.store, round_id))
