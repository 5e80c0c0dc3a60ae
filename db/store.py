"""The jobs database: everything a validator remembers, and the one door to it.

A store knows SQLite and PostgreSQL, takes and returns frozen values, and keeps no global state: several may be open
in one process. Every write is one transaction.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from tortoise.context import TortoiseContext
from tortoise.exceptions import BaseORMException
from tortoise.transactions import in_transaction

from db import executions, jobs, postgres_client, results, rounds, schema, sqlite_client, sqlite_file, transactions
from db.failures import DRIVER_FAILURES, one_line
from db.job import Job
from db.models import APP
from db.records import (
    Advance,
    Evidence,
    Execution,
    MinerScore,
    Participation,
    Prediction,
    Round,
    RoundFinish,
    RoundScore,
    RoundStart,
    RoundType,
    ScoreEntry,
    WeightSet,
)
from db.tables import TABLES, Tables
from db.transaction import Attempt, Call, Halt, Phase, Receipt, Transaction
from db.url import DatabaseUrl, parse_database_url
from protocol.errors import ConfigError, StoreError
from protocol.units import JobId, RoundId

_P = ParamSpec("_P")
_T = TypeVar("_T")

BUSY_TIMEOUT_MS = 10_000

_FAILURES = (BaseORMException, *DRIVER_FAILURES)


def _now() -> int:
    return int(time.time())


class Store:
    """An open jobs database. Use `Store.open`; close it when done, or use it as a context manager."""

    def __init__(self, url: DatabaseUrl, context: TortoiseContext, clock: Callable[[], int]) -> None:
        self._url = url
        self._tables = TABLES[url.dialect]
        self._context: TortoiseContext | None = context
        self._clock = clock
        # Tortoise finds its connections through a context variable. Ours is set in a copy of the caller's context, in
        # which every operation runs, so that stores neither see each other nor touch the caller.
        self._scope = contextvars.copy_context()
        self._scope.run(context.__enter__)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        create: bool,
        clock: Callable[[], int] = _now,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> Store:
        """Open a database; with `create`, make it or bring it to this version first."""
        parsed = parse_database_url(url)
        if parsed.dialect == "sqlite":
            await asyncio.to_thread(sqlite_file.check, Path(parsed.path), create=create)
        store = cls(parsed, TortoiseContext(), clock)
        try:
            await store._in_scope(lambda: store._connect(create=create, busy_timeout_ms=busy_timeout_ms))
        except StoreError as error:
            await store.close()
            raise ConfigError(f"cannot open the database {parsed.shown}: {error.message}") from error
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Release the database. Idempotent."""
        context, self._context = self._context, None
        if context is not None:
            await self._in_scope(context.close_connections)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Jobs

    async def add_job(self, job: Job) -> Job:
        """Write a new job and return it as stored. ConfigError if its id is taken."""
        return await self._write(jobs.add, job, now=self._clock())

    async def get_job(self, job_id: JobId | str) -> Job | None:
        """Return a job, or None if there is none or it was removed."""
        return await self._read(jobs.get, JobId(job_id))

    async def is_job_id_taken(self, job_id: JobId | str) -> bool:
        """Return whether there is a job of this id, or was one whose history is kept."""
        return await self._read(jobs.is_taken, JobId(job_id))

    async def list_jobs(self, *, active_only: bool = False) -> list[Job]:
        """Return the jobs by id; `revision` tells whether one has changed."""
        return await self._read(jobs.all_of, active_only=active_only)

    async def update_job(self, job_id: JobId | str, changes: Mapping[str, Any]) -> Job:
        """Change settings of a job. ConfigError if there is none, or the result would be invalid."""
        return await self._write(jobs.update, JobId(job_id), changes, now=self._clock())

    async def set_job_active(self, job_id: JobId | str, *, active: bool) -> Job:
        """Pause or resume a job."""
        return await self._write(jobs.update, JobId(job_id), {"is_active": active}, now=self._clock())

    async def remove_job(self, job_id: JobId | str, *, force: bool = False) -> None:
        """Remove a job. One with rounds only with `force`; its history and its id are kept."""
        await self._write(jobs.remove, JobId(job_id), force=force, now=self._clock())

    async def lease_job(self, job_id: JobId | str, holder: str, *, seconds: int) -> bool:
        """Take or renew the right to run a job; False while another's lease lasts."""
        return await self._write(jobs.lease, JobId(job_id), holder, seconds=seconds, now=self._clock())

    async def release_job(self, job_id: JobId | str, holder: str) -> None:
        """Give a lease back."""
        await self._write(jobs.release, JobId(job_id), holder)

    # Rounds

    async def start_round(self, round_start: RoundStart) -> None:
        """Open a round. StoreError if its id or its number exists."""
        await self._write(rounds.start, round_start, now=self._clock())

    async def add_predictions(self, predictions: Iterable[Prediction]) -> None:
        """Write what was asked and answered; what is there already stays as it is."""
        await self._write(rounds.add_predictions, predictions)

    async def take_back_answers(self, round_id: RoundId | str, *, after_checkpoint: int) -> None:
        """Forget answers and unsigned intents of later checkpoints: the chain took back the blocks they were about."""
        await self._write(rounds.take_back, RoundId(round_id), after_checkpoint=after_checkpoint, now=self._clock())

    async def finish_round(self, result: RoundFinish, advance: Advance) -> bool:
        """Write a result with all that follows from it, in one transaction; False if it was there already.

        `advance(old, score_e18, round_type)` is a pure function that returns the new reputation.
        """
        return await self._write(results.finish, result, advance, now=self._clock())

    async def void_round(self, round_id: RoundId | str, reason: str, *, end_block: int | None = None) -> None:
        """End a round as inconclusive: no score moves."""
        await self._write(rounds.void, RoundId(round_id), reason, end_block=end_block, now=self._clock())

    async def get_round(self, round_id: RoundId | str) -> Round | None:
        """Return a round, or None."""
        return await self._read(rounds.get, RoundId(round_id))

    async def open_rounds(self, job_id: JobId | str | None = None) -> list[Round]:
        """Return the active rounds, oldest first."""
        return await self._read(rounds.open_rounds, None if job_id is None else JobId(job_id))

    async def next_round_number(self, job_id: JobId | str, round_type: RoundType) -> int:
        """Return the number after the highest ever used, from 1."""
        return await self._read(rounds.next_number, JobId(job_id), round_type)

    async def last_round(
        self, job_id: JobId | str, round_type: RoundType, *, completed_only: bool = False
    ) -> Round | None:
        """Return the round with the highest number, or None."""
        return await self._read(rounds.last, JobId(job_id), round_type, completed_only=completed_only)

    async def round_history(self, job_id: JobId | str, *, limit: int = 100) -> list[Round]:
        """Return a job's latest rounds, newest first."""
        return await self._read(rounds.history, JobId(job_id), limit=limit)

    async def last_block(self, job_id: JobId | str) -> int | None:
        """Return where the latest closed evaluation of this job ended (began, if it was cut short), or None."""
        return await self._read(rounds.last_block, JobId(job_id))

    async def scores_of_round(self, round_id: RoundId | str) -> list[RoundScore]:
        """Return a round's scores, by hotkey."""
        return await self._read(rounds.scores, RoundId(round_id))

    async def predictions_of_round(self, round_id: RoundId | str) -> list[Prediction]:
        """Return what was asked in a round, by checkpoint and hotkey."""
        return await self._read(rounds.predictions, RoundId(round_id))

    async def evidence_of_round(self, round_id: RoundId | str) -> Evidence | None:
        """Return the evidence of a completed round, or None."""
        return await self._read(rounds.evidence, RoundId(round_id))

    async def round_score_history(
        self, job_id: JobId | str, round_type: RoundType, *, last_rounds: int | None = None
    ) -> list[ScoreEntry]:
        """Return the scores of a job's completed rounds, by round number and hotkey."""
        return await self._read(rounds.score_history, JobId(job_id), round_type, last_rounds=last_rounds)

    # Reputation

    async def reputations(self, job_id: JobId | str) -> list[MinerScore]:
        """Return every miner's reputation at a job, by hotkey."""
        return await self._read(results.reputations, JobId(job_id))

    async def participation(self, job_id: JobId | str, since_day: date) -> list[Participation]:
        """Return the days from `since_day` on, by day and hotkey."""
        return await self._read(results.participation, JobId(job_id), since_day=since_day)

    # Live

    async def add_execution(self, execution: Execution) -> Execution:
        """Write an intent; the same again returns what is there, another for the same checkpoint is a StoreError."""
        return await self._write(executions.add, execution, now=self._clock())

    async def update_execution(self, execution_id: str, changes: Mapping[str, Any]) -> Execution:
        """Record how an execution goes on: status, guard, mode, tx_hash, gas_used, amounts, effective_block."""
        return await self._write(executions.update, execution_id, changes, now=self._clock())

    async def get_execution(self, execution_id: str) -> Execution | None:
        """Return an intent and what became of it, or None."""
        return await self._read(executions.get, execution_id)

    async def executions(
        self, job_id: JobId | str | None = None, *, status: str | None = None, since: int = 0, limit: int = 1000
    ) -> list[Execution]:
        """Return executions written since then (unix seconds), newest first."""
        only = None if job_id is None else JobId(job_id)
        return await self._read(executions.all_of, only, status=status, since=since, limit=limit)

    async def round_executions(self, round_id: RoundId | str) -> list[Execution]:
        """Return a round's intents and what became of them, by checkpoint."""
        return await self._read(executions.of_round, RoundId(round_id))

    async def withdraw_intents(self, round_id: RoundId | str, reason: str) -> None:
        """Let those of a round's intents expire that are for a chain and have not been signed."""
        await self._write(executions.withdraw, RoundId(round_id), reason=reason, now=self._clock())

    # The executor's transactions

    async def plan_transactions(self, calls: Sequence[Call], *, amounts: str | None = None) -> list[Transaction]:
        """Write an intent's calls, with the amounts predicted of it; the same again returns what is there, others for
        the same intent are a StoreError.
        """
        return await self._write(transactions.plan, calls, amounts=amounts, now=self._clock())

    async def plan_transaction(self, call: Call, *, amounts: str | None = None) -> Transaction:
        """Write an intent's one call, as `plan_transactions` does."""
        [transaction] = await self.plan_transactions([call], amounts=amounts)
        return transaction

    async def get_transaction(self, execution_id: str) -> Transaction | None:
        """Return an intent's transaction, or None."""
        return await self._read(transactions.get, execution_id)

    async def intent_transactions(self, intent_id: str) -> list[Transaction]:
        """Return all transactions of an intent, in their order."""
        return await self._read(transactions.of_intent, intent_id)

    async def forget_unsigned(self, intent_id: str) -> bool:
        """Take back what was written down for an intent, unless a key has signed for it; return whether it was."""
        return await self._write(transactions.forget_unsigned, intent_id, now=self._clock())

    async def unfinished_transactions(self, chain_id: int, sender: str) -> list[Transaction]:
        """Return a key's transactions that have not ended: those with a nonce first, by nonce."""
        return await self._read(transactions.unfinished, chain_id, sender)

    async def note_simulated(self, execution_id: str, *, block: int, gas_limit: int) -> Transaction:
        """Note that a node carried the call out at a block, and the gas to allow it."""
        return await self._write(
            transactions.simulated, execution_id, block=block, gas_limit=gas_limit, now=self._clock()
        )

    async def add_attempt(self, execution_id: str, attempt: Attempt, *, nonce: int, fence: int) -> Transaction:
        """Store signed bytes before they are sent. StoreError where key or nonce are not ours, or all is halted."""
        return await self._write(
            transactions.signed, execution_id, attempt, nonce=nonce, fence=fence, now=self._clock()
        )

    async def note_sent(self, execution_id: str, tx_hash: str) -> Transaction:
        """Note that a node has taken the bytes."""
        return await self._write(transactions.sent, execution_id, tx_hash, now=self._clock())

    async def note_refusal(self, execution_id: str, tx_hash: str, refusal: str) -> Transaction:
        """Note that no node will ever take these bytes, and why."""
        return await self._write(transactions.refused_bytes, execution_id, tx_hash, refusal, now=self._clock())

    async def note_receipt(self, execution_id: str, receipt: Receipt | None) -> Transaction:
        """Write down the receipt, or that it is gone with its block."""
        return await self._write(transactions.settled, execution_id, receipt, now=self._clock())

    async def finish_transaction(
        self, execution_id: str, phase: Phase, reason: str = "", *, amounts: str | None = None
    ) -> Transaction:
        """Write down how a transaction ended; `amounts` (JSON text) go to its intent."""
        now = self._clock()
        return await self._write(transactions.finished, execution_id, phase, reason, amounts=amounts, now=now)

    async def take_key(self, chain_id: int, sender: str, holder: str, *, seconds: int) -> int | None:
        """Take or renew the right to sign with a key; return its fence, None while another's right lasts."""
        return await self._write(transactions.take_key, chain_id, sender, holder, seconds=seconds, now=self._clock())

    async def next_nonce(self, chain_id: int, sender: str) -> int:
        """Return the nonce after the highest ever signed with the key here."""
        return await self._read(transactions.next_nonce, chain_id, sender)

    async def read_halt(self) -> Halt:
        """Return the kill switch."""
        return await self._read(transactions.read_halt)

    async def set_halt(self, halt: Halt) -> None:
        """Set or clear the kill switch."""
        await self._write(transactions.set_halt, halt, now=self._clock())

    async def add_weight_set(self, weight_set: WeightSet) -> None:
        """Record an attempt to set weights."""
        await self._write(executions.add_weight_set, weight_set, now=self._clock())

    async def last_weight_set(self, netuid: int, *, included_only: bool = False) -> WeightSet | None:
        """Return the latest attempt to set weights, or the latest that the chain took."""
        return await self._read(executions.last_weight_set, netuid, included_only=included_only)

    # Running

    async def _connect(self, *, create: bool, busy_timeout_ms: int) -> None:
        context = self._require_context()
        name = self._url.dialect
        client = sqlite_client if name == "sqlite" else postgres_client
        apps = {APP: {"models": [f"db.tables_{name}"], "default_connection": name, "migrations": "db.migrations"}}
        connections = {name: client.settings(self._url, busy_timeout_ms=busy_timeout_ms)}
        await context.init(config={"connections": connections, "apps": apps})
        if create:
            await schema.migrate(context.db(name), self._url, apps)
        else:
            await schema.check(context.db(name), self._url)

    async def _read(
        self, operation: Callable[Concatenate[Tables, _P], Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        self._require_context()
        return await self._in_scope(lambda: operation(self._tables, *args, **kwargs))

    async def _write(
        self, operation: Callable[Concatenate[Tables, _P], Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        async def in_one_transaction() -> _T:
            async with in_transaction(self._url.dialect):
                return await operation(self._tables, *args, **kwargs)

        self._require_context()
        return await self._in_scope(in_one_transaction)

    async def _in_scope(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            return await operation()

        try:
            return await asyncio.create_task(run(), context=self._scope.copy())
        except _FAILURES as error:
            raise StoreError(one_line(error), database=self._url.shown) from error

    def _require_context(self) -> TortoiseContext:
        if self._context is None:
            raise StoreError("the database is closed", database=self._url.shown)
        return self._context
