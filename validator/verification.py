"""Recomputing a stored round: from the database, or from an exported file."""

from __future__ import annotations

import json
from dataclasses import dataclass

from db.store import Store
from protocol.errors import ConfigError, RemoteError, SimulationError
from protocol.signing import Signature, verify_digest
from simulator.engine import Engine
from simulator.evidence import Evidence, canonical, verify
from simulator.round import RoundResult
from validator.stored_evidence import unpack
from validator.winner import pick_round_winner

ENVELOPE = 1


@dataclass(frozen=True, slots=True)
class SignedEvidence:
    """A round's evidence with the validator's signature over its digest."""

    evidence: Evidence
    digest: str
    signature: Signature

    def encode(self) -> bytes:
        """Return the canonical bytes of the exported file."""
        return canonical(
            {
                "envelope": ENVELOPE,
                "digest": self.digest,
                "signature": [self.signature.signature, self.signature.crypto_type],
                "evidence": json.loads(self.evidence.encode()),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> SignedEvidence:
        """Read an exported file. Raises SimulationError unless it is exactly the canonical form of what it says."""
        try:
            value = json.loads(data)
            if value["envelope"] != ENVELOPE:
                raise SimulationError(f"evidence envelope {value['envelope']} is not {ENVELOPE}")
            signed = cls(
                evidence=Evidence.decode(canonical(value["evidence"])),
                digest=value["digest"],
                signature=Signature(*value["signature"]),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SimulationError(f"this is not an evidence file: {error!r}") from error
        if signed.encode() != data:
            raise SimulationError("the evidence file is not in its canonical form: it has been altered")
        return signed


async def load(store: Store, round_id: str) -> SignedEvidence:
    """Read a round's evidence from the database. Raises ConfigError if there is none, SimulationError if altered."""
    row = await store.get_round(round_id)
    if row is None:
        raise ConfigError(f"there is no round {round_id}; `tideline evidence list` shows the rounds")
    stored = await store.evidence_of_round(round_id)
    if row.status != "completed" or stored is None:
        raise ConfigError(f"round {round_id} is {row.status} and has no scores to verify: {row.reason or 'still open'}")
    if row.evidence_digest is None or row.evidence_signature is None:
        raise SimulationError("the round has lost its digest or its signature", round_id=round_id)
    predictions, scores = await store.predictions_of_round(round_id), await store.scores_of_round(round_id)
    return SignedEvidence(
        evidence=unpack(stored, row, predictions, scores),
        digest=row.evidence_digest,
        signature=_signature(row.evidence_signature),
    )


def check(signed: SignedEvidence, *, engine: Engine = "python") -> RoundResult:
    """Recompute everything and compare it. Returns the result; raises SimulationError naming what differs first."""
    computed = signed.evidence.digest()
    if computed != signed.digest:
        raise SimulationError(f"the evidence's digest is {computed}, signed was {signed.digest}")
    try:
        verify_digest(signed.signature, signed.digest, signer=signed.evidence.opening.validator_hotkey)
    except RemoteError as error:
        raise SimulationError(f"the validator's signature does not verify: {error}") from error
    return verify(signed.evidence, pick_round_winner, engine=engine)


def _signature(text: str) -> Signature:
    try:
        return Signature.from_text(text)
    except RemoteError as error:
        raise SimulationError(f"the stored signature cannot be read: {error}") from error
