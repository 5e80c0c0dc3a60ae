"""One running round: the engine, and everything that must be kept to prove what it did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.records import Prediction, RoundFinish, RoundScore, RoundStart
from protocol.errors import SimulationError
from protocol.messages import RebalanceQuery
from protocol.signing import Signer, sign_digest
from protocol.units import Hotkey, JobId, RoundId, Uid
from simulator.answers import read_answer
from simulator.engine import Engine
from simulator.events import Block
from simulator.evidence import AnswerRecord, Evidence, WinnerRule, results_to_json
from simulator.opening import RoundOpening
from simulator.participant import AnswerNote
from simulator.query import build_query
from simulator.round import Ask, ParticipantResult, Round, RoundResult
from simulator.settlement import Settlement
from validator.stored_evidence import pack
from validator.transport import Exchange, ExchangeStatus, MinerEndpoint

MANY_HOSTS = 3  # so many hosts do not vanish at once by themselves


@dataclass(frozen=True, slots=True)
class FinishedRound:
    """A scored round, ready to be stored."""

    result: RoundResult
    winner: Hotkey | None
    record: RoundFinish


class RoundRun:
    """Drives one `Round` and records its inputs. Does no input or output itself."""

    def __init__(
        self,
        opening: RoundOpening,
        endpoints: Mapping[Hotkey, MinerEndpoint],
        code_version: str,
        *,
        pool_engine: Engine = "python",
    ) -> None:
        self.opening = opening
        self.engine = Round(opening, engine=pool_engine)
        self._pool_engine = pool_engine
        self._endpoints = endpoints
        self._code_version = code_version
        self._uids = {entrant.hotkey: Uid(entrant.uid) for entrant in opening.entrants}
        self._blocks: list[Block] = []
        self._answers: list[tuple[AnswerRecord, ...]] = []

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks applied."""
        return tuple(self._blocks)

    @property
    def answers(self) -> tuple[tuple[AnswerRecord, ...], ...]:
        """The answers taken, ask by ask."""
        return tuple(self._answers)

    def at_opening(self) -> RoundRun:
        """Return this round anew, before its first block and its first answer."""
        return RoundRun(self.opening, self._endpoints, self._code_version, pool_engine=self._pool_engine)

    def start_record(self, mode: str) -> RoundStart:
        """Return the row that says the round has begun."""
        snapshot = self.opening.snapshot
        return RoundStart(
            round_id=RoundId(self.opening.round_id),
            job_id=JobId(self.opening.job_id),
            round_number=self.opening.round_number,
            round_type="live" if self.opening.round_type == "live" else "evaluation",
            mode=mode,
            start_block=snapshot.block_number,
            start_timestamp=snapshot.timestamp,
            block_hash=snapshot.block_hash,
            snapshot_digest=self.opening.snapshot_digest,
            code_version=self._code_version,
        )

    def questions(self, ask: Ask) -> list[tuple[MinerEndpoint, RebalanceQuery]]:
        """Return whom to ask what, in the order of the participants."""
        return [(self._endpoints[hotkey], build_query(self.opening, ask, hotkey)) for hotkey in ask.shown]

    def take(
        self, ask: Ask, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], exchanges: Sequence[Exchange]
    ) -> tuple[dict[Hotkey, AnswerNote], list[Prediction]]:
        """Take what came of the questions. Raises SimulationError when the fault was ours, which voids the round."""
        fault = _own_fault(exchanges)
        if fault is not None:
            raise SimulationError(f"could not ask: {fault}", round_id=self.opening.round_id)
        answers = {
            exchange.hotkey: read_answer(query, exchange.response_body, exchange.detail or str(exchange.status))
            for (_, query), exchange in zip(questions, exchanges, strict=True)
        }
        notes = self.engine.answer(answers)
        self._answers.append(tuple(_record(e, notes[e.hotkey]) for e in exchanges))
        return notes, [self._prediction(ask, e, notes[e.hotkey]) for e in exchanges]

    def take_again(self, ask: Ask, records: tuple[AnswerRecord, ...]) -> None:
        """Take answers taken before. Raises SimulationError when they now come to something else."""
        answers = {
            r.hotkey: read_answer(
                build_query(self.opening, ask, r.hotkey),
                None if r.response_body is None else r.response_body.encode("latin-1"),
                r.detail,
            )
            for r in records
        }
        notes = self.engine.answer(answers)
        before = {r.hotkey: (r.noted, r.detail) for r in records}
        if {hotkey: (str(note.noted), note.detail) for hotkey, note in notes.items()} != before:
            raise SimulationError("answers taken again came to something else", round_id=self.opening.round_id)
        self._answers.append(records)

    def advance(self, block: Block) -> None:
        """Apply a block."""
        self._blocks.append(block)
        self.engine.advance(block)

    def finish(
        self,
        signer: Signer,
        pick_winner: WinnerRule,
        combined_before: Mapping[Hotkey, int],
        settlement: Settlement | None = None,
    ) -> FinishedRound:
        """Score the finished round, sign its evidence, and return both."""
        if settlement is not None:
            self.engine.settle(settlement)
        result = self.engine.result()
        winner = pick_winner(self.opening, result, combined_before)
        evidence = Evidence(
            code_version=self._code_version,
            opening=self.opening,
            blocks=tuple(self._blocks),
            answers=tuple(self._answers),
            results=results_to_json(result, winner, combined_before),
            settlement=settlement,
        )
        digest = evidence.digest()
        record = RoundFinish(
            round_id=RoundId(self.opening.round_id),
            end_block=result.end_block,
            end_timestamp=result.end_timestamp,
            scores=tuple(self._score(p) for p in result.participants),
            winner_hotkey=winner,
            evidence=pack(evidence),
            evidence_digest=digest,
            evidence_signature=sign_digest(signer, digest).to_text(),
        )
        return FinishedRound(result, winner, record)

    def _score(self, participant: ParticipantResult) -> RoundScore:
        entrant = next(e for e in self.opening.entrants if e.hotkey == participant.hotkey)
        return RoundScore(
            hotkey=participant.hotkey,
            uid=Uid(entrant.uid),
            outcome=str(participant.outcome),
            scored=participant.is_scored,
            can_win=participant.can_win,
            score_e18=participant.score_e18 or 0,
            registered_at_block=entrant.registered_at_block,
            ledger="null" if participant.ledger is None else json.dumps(participant.ledger.to_json(), sort_keys=True),
            flags=json.dumps(["over_share"] if participant.is_over_share else []),
        )

    def _prediction(self, ask: Ask, exchange: Exchange, note: AnswerNote) -> Prediction:
        request, response = exchange.request_signature, exchange.response_signature
        return Prediction(
            round_id=RoundId(self.opening.round_id),
            checkpoint_index=ask.index,
            hotkey=exchange.hotkey,
            uid=self._uids[exchange.hotkey],
            outcome=str(note.noted),
            detail=note.detail,
            request_body=exchange.request_body,
            response_body=exchange.response_body,
            request_headers="{}" if request is None else json.dumps({"crypto_type": request.crypto_type}),
            nonce_ns=exchange.nonce_ns,
            request_signature=None if request is None else request.signature,
            response_signature=None if response is None else response.signature,
            crypto_type=1 if response is None else response.crypto_type,
            elapsed_ms=exchange.elapsed_ms,
        )


def _own_fault(exchanges: Sequence[Exchange]) -> str | None:
    """Return why these exchanges say more about us than about the miners, or None.

    When not one of several hosts can even be reached, it is our own network that is gone.
    """
    ours = next((e for e in exchanges if e.status is ExchangeStatus.LOCAL_FAULT), None)
    if ours is not None:
        return ours.detail
    unreachable = sum(e.status is ExchangeStatus.UNREACHABLE for e in exchanges)
    if unreachable == len(exchanges) >= MANY_HOSTS:
        return f"none of {unreachable} miners could be reached"
    return None


def _record(exchange: Exchange, note: AnswerNote) -> AnswerRecord:
    return AnswerRecord(
        hotkey=exchange.hotkey,
        nonce_ns=exchange.nonce_ns,
        request_digest=hashlib.sha256(exchange.request_body).hexdigest(),
        request_signature=exchange.request_signature,
        response_body=None if exchange.response_body is None else exchange.response_body.decode("latin-1"),
        response_signature=exchange.response_signature,
        noted=str(note.noted),
        detail=note.detail,
        elapsed_ms=exchange.elapsed_ms,
    )
