"""One job, round after round: an evaluation of all miners, and beside it a live round of the last winner."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from db.job import Job
from db.records import MinerScore
from db.store import Store
from protocol.errors import ChainError, ConfigError, SimulationError
from protocol.signing import Signer
from protocol.units import Hotkey, JobId, RoundId
from simulator.engine import Engine, default_engine
from simulator.market import Market, Reorg
from simulator.opening import Entrant, RoundOpening, Schedule
from simulator.participant import AnswerNote
from simulator.round import Ask
from validator import job_settings
from validator.eligibility import live_candidate
from validator.intents import CHAIN, PAPER, intent_id, make_intent, signed
from validator.live_round import Patience, settle
from validator.ports import Gate, Guard, Miners, Roster
from validator.progress import (
    Asked,
    IntentStored,
    Observer,
    RoundClosed,
    RoundOpened,
    RoundRewound,
    RoundVoided,
    Trouble,
    VaultScored,
)
from validator.reputation import advance
from validator.rewind import rewind
from validator.round_run import FinishedRound, RoundRun
from validator.transport import MinerEndpoint
from validator.winner import pick_round_winner

_log = logging.getLogger(__name__)

MOST_REWINDS = 16  # a round: each asks the miners again, and a chain that changes so often settles nothing


@dataclass(frozen=True, slots=True)
class RunnerContext:
    """Everything a runner shares with the rest of the validator."""

    store: Store
    miners: Miners
    roster: Roster
    guard: Guard
    gate: Gate
    signer: Signer
    observe: Observer
    code_version: str
    retry_s: float = 5.0
    patience: Patience = field(default_factory=Patience)
    pool_engine: Engine = field(default_factory=default_engine)  # rounds come to the same on either


@dataclass(frozen=True, slots=True)
class _Period:
    """The rounds that run through the same blocks: one evaluation, and at most one live round."""

    runs: tuple[RoundRun, ...]
    combined_before: Mapping[Hotkey, int]


class JobRunner:
    """Runs a job's rounds until it is paused, removed, or has played as many as it was told to."""

    def __init__(self, job_id: JobId, market: Market, context: RunnerContext, *, max_rounds: int | None = None) -> None:
        self._job_id = job_id
        self._market = market
        self._context = context
        self._max_rounds = max_rounds
        self._played = 0
        self._told: set[str] = set()  # why no round could be opened, since the last one that was
        self._is_gated = False

    async def run(self) -> bool:
        """Play rounds; return True once as many are played as wanted, False when the job was paused or removed.

        A round that fails through no miner's fault is voided and the next one begins. Raises ConfigError when the
        job's settings cannot be played at all, StoreError when the database fails, SimulationError when no round can
        open on what the market is.
        """
        while self._max_rounds is None or self._played < self._max_rounds:
            job = await self._context.store.get_job(self._job_id)
            if job is None or not job.is_active:
                return False
            await self._play(job)
        return True

    async def _play(self, job: Job) -> None:
        period: _Period | None = None
        try:
            period = await self._open(job)
            self._told.clear()
            rewound = 0
            while True:
                try:
                    await self._stream(job, period)
                    break
                except Reorg as reorg:
                    rewound += 1
                    if rewound > MOST_REWINDS:
                        raise
                    period = await self._rewind(period, reorg)
            for run in period.runs:
                await self._close(run, period)
                period = replace(period, runs=period.runs[1:])  # what is closed is not voided with the next one
            self._played += 1
        except (SimulationError, ChainError) as error:
            await self._void(job, period, error)

    async def _stream(self, job: Job, period: _Period) -> None:
        """Play the period's blocks to the last, until that one stands. Raises Reorg when the chain took some back."""
        while not all(run.engine.is_finished for run in period.runs):
            await self._answer_asks(job, period)
            block = await self._market.next_block()
            for run in period.runs:
                run.advance(block)
            await asyncio.sleep(0)  # a market at full speed must not starve the other jobs
        await self._market.settle()

    async def _rewind(self, period: _Period, reorg: Reorg) -> _Period:
        """Return the period as it stood at the common ancestor; what was stored about blocks that are gone goes too."""
        rewound = [
            await asyncio.to_thread(rewind, run, reorg.ancestor_number, reorg.ancestor_hash) for run in period.runs
        ]
        for run, last_checkpoint in ((r.run, r.last_checkpoint) for r in rewound):
            opening = run.opening
            await self._context.store.take_back_answers(opening.round_id, after_checkpoint=last_checkpoint)
            self._context.observe(RoundRewound(opening.job_id, opening.round_id, reorg.ancestor_number, reorg.depth))
        return replace(period, runs=tuple(r.run for r in rewound))

    async def _open(self, job: Job) -> _Period:
        context = self._context
        schedule = job_settings.schedule(job, self._market.info)
        snapshot = await self._market.open_round(schedule.length_blocks)
        seats = await context.roster.entrants()
        reputations = {r.hotkey: r for r in await context.store.reputations(JobId(job.job_id))}
        combined = {e.hotkey: _combined(reputations.get(e.hotkey), e) for e, _ in seats}
        today = datetime.fromtimestamp(snapshot.timestamp, UTC).date()
        candidate = await live_candidate(context.store, job, combined, today)
        live = next((e for e, _ in seats if e.hotkey == candidate), None)
        if live is not None and job.live_mode == CHAIN and await self._is_shut(job):
            live = None
        vault = job_settings.vault(job, snapshot, self._market.vault)

        async def opening(round_type: str, entrants: tuple[Entrant, ...]) -> RoundOpening:
            number = await context.store.next_round_number(
                JobId(job.job_id), "live" if round_type == "live" else "evaluation"
            )
            return job_settings.round_opening(
                job,
                self._market.info,
                snapshot,
                vault,
                entrants,
                round_type=round_type,
                number=number,
                validator_hotkey=Hotkey(context.signer.ss58_address),
                is_on_chain=round_type == "live" and job.live_mode == CHAIN,
            )

        openings = [await opening("evaluation", tuple(e for e, _ in seats))]
        if live is not None:
            openings.append(await opening("live", (live,)))
        endpoints = {endpoint.hotkey: endpoint for _, endpoint in seats}
        return await self._start(openings, endpoints, schedule, combined)

    async def _is_shut(self, job: Job) -> bool:
        """Return whether earlier rounds have used too much of the vault's day for a round of its own; told once."""
        context = self._context
        why = await context.gate(context.store, self._market.info.chain_id, job.sn_liquidity_manager_address)
        if why is not None and not self._is_gated:
            context.observe(Trouble(f"job {job.job_id} plays evaluations alone for now: {why}"))
        self._is_gated = why is not None
        return self._is_gated

    async def _start(
        self,
        openings: list[RoundOpening],
        endpoints: Mapping[Hotkey, MinerEndpoint],
        schedule: Schedule,
        combined: Mapping[Hotkey, int],
    ) -> _Period:
        version, engine = self._context.code_version, self._context.pool_engine
        runs = tuple(RoundRun(opening, endpoints, version, pool_engine=engine) for opening in openings)
        for run in runs:
            await self._context.store.start_round(run.start_record(CHAIN if run.opening.is_on_chain else PAPER))
            snapshot = run.opening.snapshot
            self._context.observe(
                RoundOpened(
                    job_id=run.opening.job_id,
                    round_id=run.opening.round_id,
                    round_type=run.opening.round_type,
                    start_block=snapshot.block_number,
                    end_block=schedule.end_block(snapshot.block_number),
                    timestamp=snapshot.timestamp,
                    participants=len(run.opening.entrants),
                )
            )
        return _Period(runs, combined)

    async def _answer_asks(self, job: Job, period: _Period) -> None:
        """Put every pending ask of the period to the miners at once and take the answers."""
        asking = [(run, ask) for run in period.runs if (ask := run.engine.pending_ask()) is not None]
        if not asking:
            return
        batches = [run.questions(ask) for run, ask in asking]
        exchanges = await self._context.miners.ask_all(
            [question for batch in batches for question in batch], deadline_s=float(job.miner_deadline_seconds)
        )
        for (run, ask), batch in zip(asking, batches, strict=True):
            mine, exchanges = exchanges[: len(batch)], exchanges[len(batch) :]
            notes, predictions = run.take(ask, batch, mine)
            await self._context.store.add_predictions(predictions)
            if run.opening.round_type == "live":
                await self._store_intents(run.opening, ask, notes)
            self._report_ask(run, ask, notes)

    def _report_ask(self, run: RoundRun, ask: Ask, notes: Mapping[Hotkey, AnswerNote]) -> None:
        opening = run.opening
        self._context.observe(
            Asked(
                job_id=opening.job_id,
                round_id=opening.round_id,
                checkpoint=ask.index,
                block=ask.block_number,
                end_block=opening.schedule.end_block(opening.snapshot.block_number),
                timestamp=ask.timestamp,
                sqrt_price_x96=ask.pool.sqrt_price_x96,
                verdicts=Counter(str(note.noted) for note in notes.values()),
                standings=run.engine.values_against_benchmark(),
            )
        )

    async def _store_intents(self, opening: RoundOpening, ask: Ask, notes: Mapping[Hotkey, AnswerNote]) -> None:
        """Guard the live winner's plan and store it as an intent; on paper nothing else is done with it.

        Where the checkpoint is asked again after a reorg and its first plan was signed already, that one stands.
        """
        for hotkey, note in notes.items():
            if note.plan is None or await self._context.store.get_execution(intent_id(opening, ask)):
                continue
            refusal = self._context.guard(opening, ask, hotkey, note.plan)
            intent = make_intent(opening, ask, hotkey, note.plan, refusal)
            execution = signed(intent, opening.market.pair_address, self._context.signer)
            await self._context.store.add_execution(execution)
            self._context.observe(
                IntentStored(
                    job_id=opening.job_id,
                    round_id=opening.round_id,
                    hotkey=hotkey,
                    effective_block=ask.effective_block,
                    is_allowed=refusal is None,
                    reason=execution.guard,
                    is_on_chain=opening.is_on_chain,
                )
            )

    async def _close(self, run: RoundRun, period: _Period) -> None:
        context, opening = self._context, run.opening
        combined = {hotkey: period.combined_before[hotkey] for hotkey in opening.participants}
        settlement = None
        try:
            if opening.is_on_chain:
                observe, patience = context.observe, context.patience
                settlement = await settle(context.store, self._market, opening.round_id, run.blocks, observe, patience)
            finished = await asyncio.to_thread(run.finish, context.signer, pick_round_winner, combined, settlement)
        except (SimulationError, ChainError) as error:
            if not opening.is_on_chain:
                raise
            await self._void_run(run, error)  # the evaluation beside it is closed already, and the job goes on
            return
        await context.store.finish_round(finished.record, advance=advance)
        self._report_close(run, finished)

    def _report_close(self, run: RoundRun, finished: FinishedRound) -> None:
        self._context.observe(
            RoundClosed(
                job_id=run.opening.job_id,
                round_id=run.opening.round_id,
                round_type=run.opening.round_type,
                timestamp=finished.result.end_timestamp,
                sqrt_price_x96=run.engine.pool.sqrt_price_x96,
                winner=finished.winner,
                scores={p.hotkey: p.score_e18 for p in finished.result.participants if p.score_e18 is not None},
                swaps=finished.result.swaps,
            )
        )
        for p in finished.result.participants if run.opening.is_on_chain else ():
            if p.ledger is not None and p.score_e18 is not None:
                names = (run.opening.job_id, run.opening.round_id, p.hotkey)
                self._context.observe(VaultScored(*names, p.score_e18, p.ledger, finished.result.benchmark))

    async def _void_run(self, run: RoundRun, error: SimulationError | ChainError) -> None:
        round_id = RoundId(run.opening.round_id)
        await self._context.store.void_round(round_id, str(error), end_block=run.engine.block_number)
        self._context.observe(RoundVoided(run.opening.job_id, round_id, str(error)))

    async def _void(self, job: Job, period: _Period | None, error: SimulationError | ChainError) -> None:
        """Close the period's rounds as inconclusive: nobody is touched. Then wait a little.

        Raises the error itself where no round could be opened on what the market is and holds.
        """
        is_known = period is None and str(error) in self._told
        if not is_known:
            _log.error("job %s: %s", job.job_id, error)
        if period is None and isinstance(error, SimulationError):
            raise error  # what was learnt when the market was opened may be wrong: the supervisor opens it anew
        if period is None and not is_known:
            self._told.add(str(error))
            self._context.observe(Trouble(f"job {job.job_id} can open no round and tries again: {error}"))
        for run in period.runs if period is not None else ():
            await self._void_run(run, error)
        if isinstance(error, ChainError) and not error.retryable:
            raise ConfigError(f"job {job.job_id} cannot be played: {error}") from error
        await asyncio.sleep(self._context.retry_s)  # the fault may be passing; a tight loop would hide it


def _combined(stored: MinerScore | None, entrant: Entrant) -> int:
    """Return the reputation of this registration; a hotkey that registered anew starts at 0."""
    if stored is None or stored.registered_at_block != entrant.registered_at_block:
        return 0
    return stored.combined_e18
