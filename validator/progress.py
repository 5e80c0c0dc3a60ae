"""What a validator tells whoever watches: facts, not text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from protocol.units import Hotkey
from simulator.ledger import Ledger


@dataclass(frozen=True, slots=True)
class RoundOpened:
    """A round has begun."""

    job_id: str
    round_id: str
    round_type: str
    start_block: int
    end_block: int
    timestamp: int
    participants: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A checkpoint has been answered: how many answers of each kind, and where everyone stands (1e-18 of the
    benchmark's value).
    """

    job_id: str
    round_id: str
    checkpoint: int
    block: int
    end_block: int
    timestamp: int
    sqrt_price_x96: int
    verdicts: Mapping[str, int]
    standings: Mapping[Hotkey, int]


@dataclass(frozen=True, slots=True)
class RoundClosed:
    """A round has been scored and stored."""

    job_id: str
    round_id: str
    round_type: str
    timestamp: int
    sqrt_price_x96: int
    winner: Hotkey | None
    scores: Mapping[Hotkey, int]
    swaps: int


@dataclass(frozen=True, slots=True)
class RoundVoided:
    """A round ended without scores, through no miner's fault."""

    job_id: str
    round_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoundRewound:
    """The chain took blocks back: a round stands again where the old and the new chain part."""

    job_id: str
    round_id: str
    block: int
    depth: int


@dataclass(frozen=True, slots=True)
class IntentStored:
    """A live round's plan passed or failed the guards and was stored."""

    job_id: str
    round_id: str
    hotkey: Hotkey
    effective_block: int
    is_allowed: bool
    reason: str
    is_on_chain: bool = False


@dataclass(frozen=True, slots=True)
class PlanExecuted:
    """A live plan was carried out on the vault: in which transaction, at what cost, and what the vault then held.

    `loss_ppm` is what the plan cost of the vault's worth; `error_in_token1` by how much realised amounts differ from
    those predicted (None where the vault could not be read any more); positions are (lower, upper, liquidity).
    """

    job_id: str
    round_id: str
    hotkey: Hotkey
    tx_hash: str
    block: int
    gas_used: int
    fee_wei: int
    loss_ppm: int
    error_in_token1: int | None
    positions: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class VaultScored:
    """A live round on chain was scored: the vault's ledger beside that of the untouched portfolio."""

    job_id: str
    round_id: str
    hotkey: Hotkey
    score_e18: int
    ledger: Ledger
    benchmark: Ledger


@dataclass(frozen=True, slots=True)
class WeightsWritten:
    """Weights went to the chain and were read back, or could not be."""

    block: int
    epoch_index: int
    weights: Mapping[int, float]
    is_confirmed: bool
    message: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something is wrong that the operator should know; the validator goes on."""

    message: str


ProgressEvent: TypeAlias = (
    RoundOpened
    | Asked
    | RoundClosed
    | RoundVoided
    | RoundRewound
    | IntentStored
    | PlanExecuted
    | VaultScored
    | WeightsWritten
    | Trouble
)


class Observer(Protocol):
    """Whoever watches. Must return quickly and never raise."""

    def __call__(self, event: ProgressEvent, /) -> None: ...
