"""Evidence as it lies in the jobs database: two blobs, the answers and the scores; put together again it is the same,
byte for byte.

Each blob is sha256(compressed) followed by the compressed canonical JSON, so that no bit of it can flip unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from db.records import Evidence as StoredEvidence
from db.records import Prediction, Round, RoundScore
from protocol.errors import SimulationError
from protocol.signing import Signature
from protocol.units import Hotkey
from simulator.evidence import AnswerRecord, Evidence, block_from_json, block_to_json, canonical
from simulator.opening import RoundOpening
from simulator.settlement import Settlement

_DIGEST_BYTES = 32


def pack(evidence: Evidence) -> StoredEvidence:
    """Return the blobs: the opening with its code version, and the blocks with those results that have no row of their
    own.
    """
    rest = {key: value for key, value in evidence.results.items() if key not in ("participants", "winner")}
    settled = {} if evidence.settlement is None else {"settlement": evidence.settlement.to_json()}
    return StoredEvidence(
        opening=_seal({"code_version": evidence.code_version, "opening": evidence.opening.to_json()}),
        blocks=_seal({"blocks": [block_to_json(block) for block in evidence.blocks], "results": rest, **settled}),
    )


def unpack(
    stored: StoredEvidence, row: Round, predictions: Sequence[Prediction], scores: Iterable[RoundScore]
) -> Evidence:
    """Put a round's evidence together again from its rows.

    Raises SimulationError when the rows contradict each other or cannot be read: something was altered.
    """
    head, body = _unseal(stored.opening, "opening"), _unseal(stored.blocks, "blocks")
    opening = RoundOpening.from_json(head["opening"])
    by_hotkey = {score.hotkey: score for score in scores}
    seats = {entrant.hotkey: (entrant.uid, entrant.registered_at_block) for entrant in opening.entrants}
    if {s.hotkey: (s.uid, s.registered_at_block) for s in by_hotkey.values()} != seats:
        raise SimulationError("the stored scores are not those of the participants", round_id=row.round_id)
    if any(seats.get(p.hotkey, (None, None))[0] != p.uid for p in predictions):
        raise SimulationError("the stored answers are not those of the participants", round_id=row.round_id)
    results = {
        **body["results"],
        "winner": row.winner_hotkey,
        "participants": [_participant(by_hotkey[hotkey], row.winner_hotkey) for hotkey in opening.participants],
    }
    _compare_row(row, opening, head["code_version"], results)
    return Evidence(
        code_version=head["code_version"],
        opening=opening,
        blocks=tuple(block_from_json(block) for block in body["blocks"]),
        answers=_answers(predictions, opening.participants),
        results=results,
        settlement=Settlement.from_json(body["settlement"]) if "settlement" in body else None,
    )


def _compare_row(row: Round, opening: RoundOpening, code_version: str, results: dict[str, Any]) -> None:
    """Raise SimulationError unless the round's row says what the sealed opening and results say."""
    stored = (
        *(row.round_id, row.job_id, row.round_number, row.round_type, row.start_block, row.start_timestamp),
        *(row.block_hash, row.snapshot_digest, row.code_version, row.end_block, row.end_timestamp),
    )
    snapshot = opening.snapshot
    sealed = (
        *(opening.round_id, opening.job_id, opening.round_number, opening.round_type, snapshot.block_number),
        *(snapshot.timestamp, snapshot.block_hash, opening.snapshot_digest, code_version),
        *(results["end_block"], results["end_timestamp"]),
    )
    if stored != sealed:
        raise SimulationError("the round's row and its evidence differ", row=stored, evidence=sealed)


def _participant(score: RoundScore, winner: Hotkey | None) -> dict[str, Any]:
    """Return one participant's results as the evidence spells them; a row that contradicts itself is altered."""
    ledger = json.loads(score.ledger)
    flags = json.loads(score.flags)
    if score.is_winner != (score.hotkey == winner) or flags not in ([], ["over_share"]):
        raise SimulationError("a stored score contradicts its round", hotkey=score.hotkey)
    if score.scored != (ledger is not None) or (not score.scored and score.score_e18):
        raise SimulationError("a stored score contradicts its ledger", hotkey=score.hotkey)
    return {
        "hotkey": score.hotkey,
        "outcome": score.outcome,
        "score_e18": str(score.score_e18) if score.scored else None,
        "ledger": ledger,
        "can_win": score.can_win,
        "is_over_share": bool(flags),
    }


def _answers(predictions: Sequence[Prediction], participants: Sequence[Hotkey]) -> tuple[tuple[AnswerRecord, ...], ...]:
    order = {hotkey: index for index, hotkey in enumerate(participants)}
    ordered = sorted(predictions, key=lambda p: (p.checkpoint_index, order.get(p.hotkey, -1)))
    return tuple(tuple(_answer(p) for p in asked) for _, asked in groupby(ordered, lambda p: p.checkpoint_index))


def _answer(row: Prediction) -> AnswerRecord:
    headers = json.loads(row.request_headers)
    request = None if row.request_signature is None else Signature(row.request_signature, headers["crypto_type"])
    response = None if row.response_signature is None else Signature(row.response_signature, row.crypto_type)
    return AnswerRecord(
        hotkey=row.hotkey,
        nonce_ns=row.nonce_ns,
        request_digest=hashlib.sha256(row.request_body).hexdigest(),
        request_signature=request,
        response_body=None if row.response_body is None else row.response_body.decode("latin-1"),
        response_signature=response,
        noted=row.outcome,
        detail=row.detail,
        elapsed_ms=row.elapsed_ms,
    )


def _seal(value: Any) -> bytes:
    compressed = zlib.compress(canonical(value), 9)
    return hashlib.sha256(compressed).digest() + compressed


def _unseal(blob: bytes, name: str) -> Any:
    digest, compressed = blob[:_DIGEST_BYTES], blob[_DIGEST_BYTES:]
    if hashlib.sha256(compressed).digest() != digest:
        raise SimulationError(f"the stored {name} has been altered")
    try:
        return json.loads(zlib.decompress(compressed))
    except (zlib.error, ValueError) as error:
        raise SimulationError(f"the stored {name} cannot be read: {error}") from error
