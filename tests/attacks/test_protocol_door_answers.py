"""What a miner may say: signed answers that are nonsense.

Every attack is made twice: with the one defence that stops it taken away, where it must succeed (else the test would
prove nothing), and with everything in place, where it must hurt only its sender.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from support.doors import (
    answering,
    duel,
    hostile_miner,
)
from support.queries import make_query

import protocol.messages
from miner.strategy import Positions, check_decision
from protocol.errors import RemoteError
from protocol.messages import RebalanceResponse, parse_response
from simulator.plan import Desired, check_desired
from simulator.portfolio import Range
from validator.transport import ExchangeStatus

QUERY = make_query()

POSITION: dict[str, Any] = {"tick_lower": -10, "tick_upper": 10, "allocation0": "1", "allocation1": "1"}


def saying(**changes: Any) -> bytes:
    return json.dumps(
        {
            "protocol_version": 1,
            "request_id": QUERY.request_id,
            "accepted": True,
            "desired_positions": [POSITION | changes],
        }
    ).encode()


def saying_positions(positions: list[dict[str, Any]]) -> bytes:
    return json.dumps(json.loads(saying()) | {"desired_positions": positions}).encode()


def undefended(body: bytes) -> list[dict[str, Any]]:
    """Read an answer as trusting code does: the standard library's parser, `int()` where a number is due."""
    positions = json.loads(body)["desired_positions"]
    return [p | {"allocation0": int(p["allocation0"]), "allocation1": int(p["allocation1"])} for p in positions]


def first(body: bytes) -> dict[str, Any]:
    return undefended(body)[0]


def is_slow(body: bytes) -> bool:
    """Whether a literal's digits alone cost more than the whole answer of an honest miner ever should."""
    return len(body) > 4000 and json.loads(body, parse_int=len) is not None


SAYINGS: dict[str, tuple[bytes, Callable[[bytes], bool]]] = {
    "nan": (saying(confidence=math.nan), lambda b: math.isnan(first(b)["confidence"])),
    "infinity": (saying(confidence=math.inf), lambda b: first(b)["confidence"] > 1),
    "overflowing float": (saying().replace(b"-10,", b"-1e999,"), lambda b: math.isinf(first(b)["tick_lower"])),
    "256-bit overflow": (saying(allocation0=str(2**256)), lambda b: first(b)["allocation0"] >= 2**256),
    "endless digits": (saying().replace(b"-10,", b"-" + b"9" * 5000 + b","), is_slow),
    "negative amount": (saying(allocation0="-5"), lambda b: first(b)["allocation0"] < 0),
    "amount of another script": (saying(allocation0="٣"), lambda b: first(b)["allocation0"] == 3),
    "amount with underscores": (saying(allocation0="1_0"), lambda b: first(b)["allocation0"] == 10),
    "amount as a number": (saying(allocation0=5), lambda b: first(b)["allocation0"] == 5),
    "amount as a float": (saying(allocation0=1e30), lambda b: first(b)["allocation0"] != 10**30),
    "inverted": (saying(tick_lower=20), lambda b: first(b)["tick_lower"] > first(b)["tick_upper"]),
    "empty range": (saying(tick_lower=10), lambda b: first(b)["tick_lower"] == first(b)["tick_upper"]),
    "tick out of range": (saying(tick_upper=887_280), lambda b: first(b)["tick_upper"] > 887_272),
    "boolean as tick": (saying(tick_lower=False), lambda b: first(b)["tick_lower"] == 0),
    "float as tick": (saying(tick_lower=-10.0), lambda b: first(b)["tick_lower"] == -10),
    "string as tick": (saying(tick_lower="-10"), lambda b: int(first(b)["tick_lower"]) == -10),
    "duplicate range": (saying_positions([POSITION, POSITION]), lambda b: len(undefended(b)) == 2),
    "51 positions": (
        saying_positions([POSITION | {"tick_upper": 10 * n} for n in range(1, 52)]),
        lambda b: len(undefended(b)) == 51,
    ),
    "repeated key": (
        saying().replace(b'"tick_upper": 10', b'"tick_upper": 10, "tick_upper": 20'),
        lambda b: first(b)["tick_upper"] == 20,
    ),
    "unknown key": (saying(owner="Mallory"), lambda b: first(b)["owner"] == "Mallory"),
    "other protocol": (saying().replace(b'sion": 1', b'sion": true'), lambda b: json.loads(b)["protocol_version"] == 1),
}


@pytest.mark.parametrize(("body", "succeeds"), SAYINGS.values(), ids=SAYINGS)
async def test_an_answer_that_says_nonsense(body: bytes, succeeds: Callable[[bytes], bool]) -> None:
    assert succeeds(body)
    async with hostile_miner(answering(body)) as mallory:
        exchange = await duel(mallory, QUERY)
    assert exchange.status is ExchangeStatus.ANSWERED  # it is signed: what it says is the sender's to answer for
    assert exchange.response_body == body
    with pytest.raises(RemoteError):
        parse_response(body, request_id=QUERY.request_id)


@pytest.mark.parametrize(
    ("body", "defence"),
    [
        (saying(tick_lower=20), "_check_order"),
        (saying_positions([POSITION, POSITION]), "_check_distinct"),
        (saying().replace(b'"tick_upper": 10', b'"tick_upper": 10, "tick_upper": 20'), "check_json"),
    ],
    ids=["inverted", "duplicate range", "repeated key"],
)
def test_each_of_these_has_exactly_one_defence(body: bytes, defence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteError):
        parse_response(body)
    monkeypatch.setattr(protocol.messages, defence, lambda *_: None)
    assert isinstance(parse_response(body), RebalanceResponse)


async def test_an_unaligned_range_passes_the_door_and_is_stopped_behind_it() -> None:
    async with hostile_miner(answering(saying(tick_lower=-5))) as mallory:
        exchange = await duel(mallory, QUERY)
    answer = parse_response(exchange.response_body or b"")  # a message alone does not show the spacing
    assert answer.desired_positions is not None
    desired = tuple(
        Desired(Range(p.tick_lower, p.tick_upper), p.allocation0, p.allocation1) for p in answer.desired_positions
    )
    reason = "position 0: ticks -5..10 are off the spacing 10"
    assert check_desired(desired, QUERY.context.tick_spacing) == reason
    assert check_decision(QUERY, Positions(desired)) == reason


async def test_nesting_bomb() -> None:
    body = b"[" * 60_000
    with pytest.raises(RecursionError):
        json.loads(body)
    async with hostile_miner(answering(body)) as mallory:
        exchange = await duel(mallory, QUERY)
    with pytest.raises(RemoteError, match="more than 1024"):
        parse_response(exchange.response_body or b"")
