"""What a miner answered, as one value, from the bytes it signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from protocol.errors import RemoteError
from protocol.messages import RebalanceQuery, encode, parse_response
from simulator.plan import Desired
from simulator.portfolio import Range


@dataclass(frozen=True, slots=True)
class Positions:
    """The complete list of positions that the miner wants to hold from the effective block on; empty = withdraw all."""

    desired: tuple[Desired, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The miner does not want this job."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing that counts arrived in time: silence, an unreachable host, an unsigned or wrongly signed answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A correctly signed answer that breaks the protocol."""

    reason: str


Answer: TypeAlias = Positions | Refusal | NoAnswer | Malformed


def read_answer(query: RebalanceQuery, body: bytes | None, reason: str = "no answer") -> Answer:
    """Return what a response body says.

    Parameters: query  as it was sent   ·   body  raw bytes whose signature has been verified, or None   ·   reason
    why there is no body
    Returns:    NoAnswer for None and for an accepted answer without positions; Malformed for anything outside the
                protocol
    Source:     design §4.6, §4.9; network reference §5
    """
    if body is None:
        return NoAnswer(reason)
    try:
        response = parse_response(body)
    except RemoteError as error:
        return Malformed(str(error))
    if response.request_id != query.request_id:
        return Malformed("the answer repeats another request_id")
    if not response.accepted:
        return Refusal(response.refusal_reason or "no reason given")
    if response.desired_positions is None:
        return NoAnswer("accepted without positions")
    return Positions(
        tuple(
            Desired(Range(p.tick_lower, p.tick_upper), int(p.allocation0), int(p.allocation1))
            for p in response.desired_positions
        )
    )


def request_bytes(query: RebalanceQuery) -> bytes:
    """Return the exact bytes of a request, which its signature and the answer's signature cover."""
    return encode(query)
