"""What goes into the database and comes out of it: plain values, never rows.

Times are unix seconds, blocks are block numbers, scores are integers in units of 1e-18, days are UTC dates of chain
time, and JSON is text that the store does not interpret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from protocol.intent import Intent
from protocol.units import Hotkey, JobId, RoundId, Uid

REJECTED = "rejected"  # the status of an intent whose plan is itself at fault: its sender's, and no failure of ours
RoundType = Literal["evaluation", "live"]
RoundStatus = Literal["active", "completed", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Reputation:
    """Two moving averages of round scores, 1e-18 units. A new miner starts at 0, the benchmark's own."""

    evaluation_e18: int = 0
    live_e18: int = 0

    @property
    def combined_e18(self) -> int:
        """0.6·evaluation + 0.4·live, truncated toward zero, so that negated averages give the negated number."""
        total = 6 * self.evaluation_e18 + 4 * self.live_e18
        return total // 10 if total >= 0 else -(-total // 10)


Advance: TypeAlias = Callable[[Reputation, int, RoundType], Reputation]


@dataclass(frozen=True, slots=True)
class RoundStart:
    """What is known when a round opens."""

    round_id: RoundId
    job_id: JobId
    round_number: int
    round_type: RoundType
    mode: str
    start_block: int
    start_timestamp: int
    block_hash: str
    snapshot_digest: str
    code_version: str


@dataclass(frozen=True, slots=True)
class Round:
    """A round as stored. What is not known yet is None."""

    round_id: RoundId
    job_id: JobId
    round_number: int
    round_type: RoundType
    mode: str
    status: RoundStatus
    reason: str
    start_block: int
    end_block: int | None
    start_timestamp: int
    end_timestamp: int | None
    block_hash: str
    snapshot_digest: str
    winner_hotkey: Hotkey | None
    evidence_digest: str | None
    evidence_signature: str | None
    code_version: str
    opened_at: int
    closed_at: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The opening and the events of a round, compressed by its writer."""

    opening: bytes
    blocks: bytes


@dataclass(frozen=True, slots=True)
class Prediction:
    """One question to one miner and what came back. `request_headers` is JSON text; signatures are as on the wire."""

    round_id: RoundId
    checkpoint_index: int
    hotkey: Hotkey
    uid: Uid
    outcome: str
    detail: str
    request_body: bytes
    response_body: bytes | None
    request_headers: str
    nonce_ns: int
    request_signature: str | None
    response_signature: str | None
    crypto_type: int
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class RoundScore:
    """What a miner earned in a round. An unscored miner has score 0. `ledger` and `flags` are JSON text."""

    hotkey: Hotkey
    uid: Uid
    outcome: str
    scored: bool
    can_win: bool
    score_e18: int
    registered_at_block: int
    ledger: str = "{}"
    flags: str = "[]"
    is_winner: bool = False  # set by the store from the round's winner


@dataclass(frozen=True, slots=True)
class RoundFinish:
    """The result of a conclusive round, to be written whole or not at all."""

    round_id: RoundId
    end_block: int
    end_timestamp: int
    scores: tuple[RoundScore, ...]
    winner_hotkey: Hotkey | None
    evidence: Evidence
    evidence_digest: str
    evidence_signature: str | None


@dataclass(frozen=True, slots=True)
class MinerScore:
    """A miner's reputation at a job."""

    job_id: JobId
    hotkey: Hotkey
    uid: Uid
    evaluation_e18: int
    live_e18: int
    combined_e18: int
    evaluation_rounds: int
    live_rounds: int
    wins: int
    last_round_id: RoundId
    registered_at_block: int


@dataclass(frozen=True, slots=True)
class Participation:
    """A miner's rounds of one UTC day: those that counted for it, and those of them in which it was scored."""

    job_id: JobId
    hotkey: Hotkey
    day: date
    scored_rounds: int
    conclusive_rounds: int


@dataclass(frozen=True, slots=True)
class ScoreEntry:
    """A score in the history of a job, with the round that it belongs to."""

    round_id: RoundId
    round_number: int
    hotkey: Hotkey
    uid: Uid
    scored: bool
    score_e18: int
    is_winner: bool
    registered_at_block: int


@dataclass(frozen=True, slots=True)
class Execution:
    """An intent and, later, its execution. `guard` is "allowed" or why not; plan and amounts are JSON text.

    `signature` is that of the validator, over `signed_intent`: only what is to reach a chain has one.
    """

    execution_id: str
    chain_id: int
    vault: str
    job_id: JobId
    round_id: RoundId
    checkpoint_index: int
    hotkey: Hotkey
    mode: str
    status: str
    guard: str
    plan: str
    payload_digest: str
    effective_block: int
    decided_block: int | None = None  # at which the plan was made
    decided_hash: str | None = None
    validator_hotkey: Hotkey | None = None
    signature: str | None = None
    tx_hash: str | None = None
    gas_used: int | None = None
    amounts: str | None = None
    created_at: int = 0  # kept by the store
    updated_at: int = 0

    def signed_intent(self, pool: str) -> Intent | None:
        """Return what a validator signs, of a vault on this pool; None where a part of it is missing."""
        if self.decided_block is None or self.decided_hash is None or self.validator_hotkey is None:
            return None
        return Intent(
            execution_id=self.execution_id,
            chain_id=self.chain_id,
            vault=self.vault,
            job_id=self.job_id,
            round_id=self.round_id,
            checkpoint_index=self.checkpoint_index,
            pool=pool,
            validator=self.validator_hotkey,
            miner=self.hotkey,
            plan=self.plan,
            decided_block=self.decided_block,
            decided_hash=self.decided_hash,
            effective_block=self.effective_block,
        )


@dataclass(frozen=True, slots=True)
class WeightSet:
    """One attempt to set weights and what the chain said. `weights` is JSON text."""

    netuid: int
    block: int
    epoch_index: int
    weights: str
    included: bool
    read_back_ok: bool
    message: str
    created_at: int = 0  # kept by the store
