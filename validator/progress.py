"""What a validator tells whoever watches: facts, not text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from protocol.units import Hotkey


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
    RoundOpened | Asked | RoundClosed | RoundVoided | RoundRewound | IntentStored | WeightsWritten | Trouble
)


class Observer(Protocol):
    """Whoever watches. Must return quickly and never raise."""

    def __call__(self, event: ProgressEvent, /) -> None: ...
