"""How well one endpoint serves: a pure state machine from what was seen of it to whether it may be asked.

    UNPROVEN     --its chain id is ours--> ALIVE          its chain id was never seen, or not since it came back
    any          --its chain id is another--> WRONG_CHAIN never asked about anything but its chain id
    ALIVE        --head behind--> OUT_OF_SYNC --head close--> ALIVE
    ALIVE        --says it syncs--> SYNCING --no longer--> ALIVE
    any but WRONG_CHAIN --three failures in a row--> UNREACHABLE --answers--> UNPROVEN
    any          --429--> the same, but not asked before the time it named

Time is an argument. A node that is out of sync is still asked, last: reads are pinned by block hash.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

MAX_LAG_BLOCKS = 5
STRIKES = 3
MIN_PAUSE_S = 0.25
MAX_PAUSE_S = 5.0
WRONG_CHAIN_PAUSE_S = 60.0
_DOUBLINGS = 5  # 0.25 s doubled as often is above any pause
_PPM = 1_000_000
_MEMORY = 16  # the error rate is a moving mean over about this many answers
_ONE_FAILURE_PPM = 50_000  # a single failure already ranks an endpoint behind one without


class State(IntEnum):
    """What an endpoint is good for, the better the lower."""

    ALIVE = 0
    UNPROVEN = 1
    OUT_OF_SYNC = 2
    SYNCING = 3
    UNREACHABLE = 4
    WRONG_CHAIN = 5


@dataclass(frozen=True, slots=True)
class ChainSeen:
    """It told its chain id."""

    is_ours: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """It gave an answer that can be true."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It gave no answer, or one that cannot be true."""


@dataclass(frozen=True, slots=True)
class Limited:
    """It was asked too often; seconds to wait, None where it does not say."""

    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """How many blocks it is behind the head that is believed, and whether it says that it is syncing."""

    lag_blocks: int
    is_syncing: bool = False


Sight: TypeAlias = ChainSeen | Answered | Failed | Limited | HeadSeen


@dataclass(frozen=True, slots=True)
class Health:
    """One endpoint's standing. Its two waits end on the clock of the facts: one for failures, one that it asked for."""

    state: State = State.UNPROVEN
    strikes: int = 0
    limits: int = 0
    error_ppm: int = 0
    lag_blocks: int = 0
    paused_until: float = 0.0
    limited_until: float = 0.0

    @property
    def not_before(self) -> float:
        """When it may be asked again."""
        return max(self.paused_until, self.limited_until)

    @property
    def is_proven(self) -> bool:
        """Whether its chain id is known to be ours."""
        return self.state in (State.ALIVE, State.OUT_OF_SYNC, State.SYNCING)

    def may_be_asked(self, now: float) -> bool:
        """Whether its time has come."""
        return now >= self.not_before

    def rank(self) -> tuple[int, int, int]:
        """Return what sorts the better endpoint first."""
        return self.state, self.error_ppm // _ONE_FAILURE_PPM, self.lag_blocks


def advance(health: Health, fact: Sight, now: float) -> Health:
    """Return the health after a fact.

    Parameters: now  seconds of any clock that never goes back
    Returns:    an answer ends the pause that failures earned, but not a wait that the endpoint asked for: the answer
                may be to a question from before
    Rounding:   the error rate is floored to 1e-6
    Raises:     nothing: every fact is possible in every state
    Source:     the table at the top
    """
    match fact:
        case ChainSeen(is_ours=True):
            state = State.ALIVE if not health.is_proven else health.state
            return replace(health, state=state)  # its strikes stay: a node may know its id and nothing else
        case ChainSeen():
            return replace(health, state=State.WRONG_CHAIN, paused_until=now + WRONG_CHAIN_PAUSE_S)
        case Answered():
            return _answered(health, now)
        case Failed():
            return _failed(health, now)
        case Limited(retry_after_s):
            limits = health.limits + 1
            wait = _pause(limits + 1) if retry_after_s is None else retry_after_s  # told: exactly that
            return replace(health, limits=limits, limited_until=max(health.limited_until, now + wait))
        case HeadSeen(lag_blocks, is_syncing):
            state = health.state
            if health.is_proven:
                behind = State.OUT_OF_SYNC if lag_blocks > MAX_LAG_BLOCKS else State.ALIVE
                state = State.SYNCING if is_syncing else behind
            return replace(health, state=state, lag_blocks=max(lag_blocks, 0))


def _answered(health: Health, now: float) -> Health:
    if health.state is State.WRONG_CHAIN:
        return health
    state = State.UNPROVEN if health.state is State.UNREACHABLE else health.state
    error_ppm = health.error_ppm * (_MEMORY - 1) // _MEMORY
    return replace(health, state=state, strikes=0, limits=0, error_ppm=error_ppm, paused_until=now)


def _failed(health: Health, now: float) -> Health:
    strikes = health.strikes + 1
    state = health.state
    if strikes >= STRIKES and state is not State.WRONG_CHAIN:
        state = State.UNREACHABLE
    error_ppm = (health.error_ppm * (_MEMORY - 1) + _PPM) // _MEMORY
    paused_until = max(health.paused_until, now + _pause(strikes))
    return replace(health, state=state, strikes=strikes, error_ppm=error_ppm, paused_until=paused_until)


def _pause(times: int) -> float:
    """Return how long to leave an endpoint alone after so many failures in a row."""
    return float(min(MIN_PAUSE_S * 2 ** min(times - 1, _DOUBLINGS), MAX_PAUSE_S))
