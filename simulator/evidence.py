"""Everything needed to recompute a round's scores, in one canonical document.

The document is canonical JSON (sorted keys, no spaces, ASCII). Its sha256 is the evidence digest, which the
validator's hotkey signs. A reader
accepts only bytes that are exactly the canonical form of what they say, so that no flipped bit can hide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.errors import RemoteError, SimulationError
from protocol.signing import Signature, verify_request_evidence, verify_response
from protocol.units import Hotkey
from protocol.wire import REBALANCE_PATH
from simulator.answers import Answer, read_answer, request_bytes
from simulator.engine import Engine
from simulator.events import (
    Block,
    FeeProtocolEvent,
    FlashEvent,
    LiquidityEvent,
    PoolEvent,
    StakeEvent,
    StakingEvent,
    SwapEvent,
)
from simulator.opening import RoundOpening
from simulator.participant import AnswerNote
from simulator.query import build_query
from simulator.round import Round, RoundResult
from simulator.settlement import Settlement

FORMAT = 1


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One ask to one participant and what came of it, as it went over the wire.

    Signatures are None where nothing was sent or nothing that counts came back. `response_body` holds the raw bytes as
    Latin-1, so that any
    byte string has exactly one spelling here. `noted` and `detail` are the verdict.
    """

    hotkey: Hotkey
    nonce_ns: int
    request_digest: str  # sha256 of the request, which is itself recomputed
    request_signature: Signature | None
    response_body: str | None
    response_signature: Signature | None
    noted: str
    detail: str
    elapsed_ms: int

    def to_json(self) -> list[Any]:
        """Return the record as a JSON array, in the order of the fields."""
        signatures = [
            None if s is None else [s.signature, s.crypto_type]
            for s in (self.request_signature, self.response_signature)
        ]
        return [
            self.hotkey,
            str(self.nonce_ns),
            self.request_digest,
            signatures[0],
            self.response_body,
            signatures[1],
            self.noted,
            self.detail,
            self.elapsed_ms,
        ]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> AnswerRecord:
        """Read what `to_json` wrote."""
        hotkey, nonce_ns, digest, request, body, response, noted, detail, elapsed_ms = value
        signatures = [None if s is None else Signature(*s) for s in (request, response)]
        return cls(Hotkey(hotkey), int(nonce_ns), digest, signatures[0], body, signatures[1], noted, detail, elapsed_ms)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The inputs of a round and the results claimed for it. `answers` holds one tuple per ask, in the order of the
    asks.
    """

    code_version: str
    opening: RoundOpening
    blocks: tuple[Block, ...]
    answers: tuple[tuple[AnswerRecord, ...], ...]
    results: Mapping[str, Any]
    settlement: Settlement | None = None  # of a live round on chain

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical(
            {
                "format": FORMAT,
                "code_version": self.code_version,
                "opening": self.opening.to_json(),
                "blocks": [block_to_json(block) for block in self.blocks],
                "answers": [[record.to_json() for record in ask] for ask in self.answers],
                "results": self.results,
                **({} if self.settlement is None else {"settlement": self.settlement.to_json()}),
            }
        )

    def digest(self) -> str:
        """Return the lowercase hex sha256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def decode(cls, data: bytes) -> Evidence:
        """Read canonical bytes. Raises SimulationError when they are anything else."""
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise SimulationError(f"evidence format {value['format']} is not {FORMAT}; use the matching version")
            evidence = cls(
                code_version=value["code_version"],
                opening=RoundOpening.from_json(value["opening"]),
                blocks=tuple(block_from_json(block) for block in value["blocks"]),
                answers=tuple(tuple(AnswerRecord.from_json(r) for r in ask) for ask in value["answers"]),
                results=value["results"],
                settlement=Settlement.from_json(value["settlement"]) if "settlement" in value else None,
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SimulationError(f"evidence cannot be read: {error!r}") from error
        if evidence.encode() != data:
            raise SimulationError("evidence is not in its canonical form: it has been altered")
        return evidence


def canonical(value: Any) -> bytes:
    """Return canonical JSON bytes: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def block_to_json(block: Block) -> list[Any]:
    """Return a block as a JSON array: number, hash, parent hash, timestamp, events, and which are the vault's own where
    some are.
    """
    own = [list(block.own)] if block.own else []
    events = [_event_to_json(e) for e in block.events]
    return [block.number, block.block_hash, block.parent_hash, block.timestamp, events, *own]


def block_from_json(value: Sequence[Any]) -> Block:
    """Read what `block_to_json` wrote."""
    number, block_hash, parent_hash, timestamp, events, *own = value
    read = tuple(_event_from_json(e) for e in events)
    return Block(number, block_hash, parent_hash, timestamp, read, *(tuple(indices) for indices in own))


def _event_to_json(event: PoolEvent) -> list[Any]:
    if isinstance(event, SwapEvent):
        numbers = (event.amount0, event.amount1, event.sqrt_price_x96, event.liquidity)
        return ["S", event.log_index, *(str(n) for n in numbers), event.tick]
    if isinstance(event, FlashEvent):
        return ["F", event.log_index, str(event.paid0), str(event.paid1)]
    if isinstance(event, FeeProtocolEvent):
        return ["P", event.log_index, event.fee_protocol0, event.fee_protocol1]
    if isinstance(event, StakeEvent):
        return ["K", event.log_index, event.tick_lower, event.tick_upper, str(event.liquidity_delta)]
    if isinstance(event, StakingEvent):
        return ["G", event.log_index, str(event.staked_liquidity), event.unstaked_fee_pips]
    amounts = [None if a is None else str(a) for a in (event.amount0, event.amount1)]
    return ["L", event.log_index, event.tick_lower, event.tick_upper, str(event.liquidity_delta), *amounts]


def _event_from_json(value: Sequence[Any]) -> PoolEvent:
    kind, log_index, *rest = value
    if kind == "S":
        amount0, amount1, sqrt_price_x96, liquidity, tick = rest
        return SwapEvent(log_index, int(amount0), int(amount1), int(sqrt_price_x96), int(liquidity), tick)
    if kind == "F":
        paid0, paid1 = rest
        return FlashEvent(log_index, int(paid0), int(paid1))
    if kind == "P":
        fee_protocol0, fee_protocol1 = rest
        return FeeProtocolEvent(log_index, fee_protocol0, fee_protocol1)
    if kind == "K":
        tick_lower, tick_upper, delta = rest
        return StakeEvent(log_index, tick_lower, tick_upper, int(delta))
    if kind == "G":
        staked_liquidity, unstaked_fee_pips = rest
        return StakingEvent(log_index, int(staked_liquidity), unstaked_fee_pips)
    if kind != "L":
        raise ValueError(f"unknown event kind {kind!r}")
    tick_lower, tick_upper, delta, *amounts = rest
    amount0, amount1 = (None if a is None else int(a) for a in amounts)
    return LiquidityEvent(log_index, tick_lower, tick_upper, int(delta), amount0, amount1)


def results_to_json(
    result: RoundResult, winner: Hotkey | None, combined_before: Mapping[Hotkey, int]
) -> dict[str, Any]:
    """Return the claimed results of a round: every score with its whole ledger, the winner and what ties were broken
    by.
    """
    return {
        "participants": [
            {
                "hotkey": p.hotkey,
                "outcome": str(p.outcome),
                "score_e18": None if p.score_e18 is None else str(p.score_e18),
                "ledger": None if p.ledger is None else p.ledger.to_json(),
                "can_win": p.can_win,
                "is_over_share": p.is_over_share,
            }
            for p in result.participants
        ],
        "benchmark": result.benchmark.to_json(),
        "end_block": result.end_block,
        "end_timestamp": result.end_timestamp,
        "swaps": result.swaps,
        "liquidity_changes": result.liquidity_changes,
        "winner": winner,
        "combined_before": {hotkey: str(value) for hotkey, value in combined_before.items()},
    }


class WinnerRule(Protocol):
    """How a round's winner is chosen."""

    def __call__(
        self, opening: RoundOpening, result: RoundResult, combined_before: Mapping[Hotkey, int]
    ) -> Hotkey | None: ...


def verify(evidence: Evidence, pick_winner: WinnerRule, *, engine: Engine = "python") -> RoundResult:
    """Recompute a round from its evidence and compare everything claimed.

    Parameters: engine  what computes the pools; both come to the same
    Returns:    the recomputed result, equal bit for bit to the one claimed
    Raises:     SimulationError naming the first thing that differs: a signature, a verdict, a block, a score, a ledger
                entry
    Source:     design §4.12
    """
    again, asks = Round(evidence.opening, engine=engine), iter(evidence.answers)
    _answer_pending(again, evidence.opening, asks)
    for block in evidence.blocks:
        again.advance(block)
        _answer_pending(again, evidence.opening, asks)
    if next(asks, None) is not None:
        raise SimulationError("evidence holds answers to a checkpoint that was never asked")
    if evidence.settlement is not None:
        again.settle(evidence.settlement)
    result = again.result()
    combined = {Hotkey(h): int(v) for h, v in evidence.results["combined_before"].items()}
    recomputed = results_to_json(result, pick_winner(evidence.opening, result, combined), combined)
    difference = first_difference(recomputed, evidence.results, "results")
    if difference is not None:
        raise SimulationError(
            f"claimed and recomputed results differ at {difference}", round_id=evidence.opening.round_id
        )
    return result


def _answer_pending(again: Round, opening: RoundOpening, asks: Iterator[tuple[AnswerRecord, ...]]) -> None:
    ask = again.pending_ask()
    if ask is None:
        return
    records = next(asks, None)
    if records is None or [r.hotkey for r in records] != list(ask.shown):
        raise SimulationError("evidence does not hold the answers of everyone asked", checkpoint=ask.index)
    answers: dict[Hotkey, Answer] = {}
    for record in records:
        query = build_query(opening, ask, record.hotkey)
        response = None if record.response_body is None else record.response_body.encode("latin-1")
        try:
            _check_signatures(record, request_bytes(query), response, opening.validator_hotkey)
        except RemoteError as error:
            raise SimulationError(f"a signature does not verify: {error}", hotkey=record.hotkey) from error
        answers[record.hotkey] = read_answer(query, response, record.detail)
    for hotkey, note in again.answer(answers).items():
        _compare_note(note, next(r for r in records if r.hotkey == hotkey), ask.index)


def _check_signatures(record: AnswerRecord, request: bytes, response: bytes | None, validator: Hotkey) -> None:
    """Raise RemoteError unless the validator signed this request and the miner this response to it."""
    if hashlib.sha256(request).hexdigest() != record.request_digest:
        raise RemoteError("the request that was sent is not the one recomputed")
    if record.request_signature is not None:
        verify_request_evidence(
            record.request_signature,
            request,
            path=REBALANCE_PATH,
            sender=validator,
            receiver=record.hotkey,
            nonce_ns=record.nonce_ns,
        )
    if (response is None) != (record.response_signature is None):
        raise RemoteError("a response and its signature go together")
    if response is not None and record.response_signature is not None:
        if record.request_signature is None:
            raise RemoteError("a response to a request that was never signed")
        verify_response(
            record.response_signature,
            response,
            path=REBALANCE_PATH,
            request_body=request,
            nonce_ns=record.nonce_ns,
            miner=record.hotkey,
            receiver=validator,
        )


def _compare_note(note: AnswerNote, record: AnswerRecord, index: int) -> None:
    if (str(note.noted), note.detail) != (record.noted, record.detail):
        raise SimulationError(
            f"verdict recomputed as {note.noted} ({note.detail}), claimed {record.noted} ({record.detail})",
            hotkey=record.hotkey,
            checkpoint=index,
        )


def first_difference(expected: Any, got: Any, path: str) -> str | None:
    """Return the path and both values where two JSON values first differ, or None."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if expected.keys() != got.keys():
            return f"{path}: keys {sorted(expected.keys() ^ got.keys())}"
        found = (first_difference(expected[key], got[key], f"{path}.{key}") for key in expected)
        return next((d for d in found if d is not None), None)
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{path}: {len(expected)} entries, claimed {len(got)}"
        found = (first_difference(e, g, f"{path}[{i}]") for i, (e, g) in enumerate(zip(expected, got, strict=True)))
        return next((d for d in found if d is not None), None)
    if type(expected) is type(got) and expected == got:
        return None
    return f"{path}: recomputed {expected!r}, claimed {got!r}"
