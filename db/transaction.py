"""A transaction of the executor, as it is remembered: plain values, never rows.

planned -> simulated -> signed -> sent -> mined -> confirmed -> reconciled
planned, simulated -> refused | expired          no nonce was used
signed, sent -> ... -> cancelled                  the nonce went to a transaction that does nothing
mined -> reverted                                 the chain took it and undid it
mined, confirmed -> sent                          the chain took its block back
signed, sent -> diverged                          somebody else used the nonce: the key is used elsewhere

An intent that takes several transactions has one for each step, all written down before the first is begun. A step is
signed once the one before it is reconciled, and refused where that ended otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal[
    "planned",
    "simulated",
    "signed",
    "sent",
    "mined",
    "confirmed",
    "reconciled",
    "refused",
    "expired",
    "cancelled",
    "reverted",
    "diverged",
]
Purpose = Literal["plan", "noop"]

# With a nonce that is not known to be spent: these must be brought to an end before the key signs for anything else.
IN_FLIGHT: tuple[Phase, ...] = ("signed", "sent", "mined")
UNFINISHED: tuple[Phase, ...] = ("planned", "simulated", *IN_FLIGHT, "confirmed")
PARTIAL = "partial"  # the status of an intent of which some steps were carried out and the rest will not be


def step_id(intent_id: str, number: int) -> str:
    """Return the id of an intent's step, counted from 0: the first has the intent's own."""
    return f"{intent_id}#{number}" if number else intent_id


def read_step_id(execution_id: str) -> tuple[str, int]:
    """Return the intent and the number of a step."""
    intent_id, mark, number = execution_id.rpartition("#")
    return (intent_id, int(number)) if mark else (execution_id, 0)


@dataclass(frozen=True, slots=True)
class Call:
    """What an intent asks of the chain. `execution_id` names its step; `deadline` is in seconds of chain time.

    `to` is empty where the data is the code of a contract to be made.
    """

    execution_id: str
    chain_id: int
    sender: str
    to: str
    data: str
    deadline: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """Signed bytes that may reach the chain. All attempts of a transaction have its nonce, so one at most is mined.

    Fees are in wei per gas. `sent_at` (unix seconds) is None until a node has taken it; `refusal` holds a node's words
    where no node will ever take it.
    """

    tx_hash: str
    purpose: Purpose
    signed_bytes: str
    max_fee_wei: int
    tip_wei: int
    sent_at: int | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says became of an attempt. `fee_wei` is all that was paid, the data fee of a rollup included."""

    tx_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    gas_used: int
    fee_wei: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A call on its way. Attempts are in the order in which they were signed."""

    call: Call
    phase: Phase
    reason: str = ""
    nonce: int | None = None
    gas_limit: int | None = None
    simulated_block: int | None = None
    attempts: tuple[Attempt, ...] = ()
    receipt: Receipt | None = None

    @property
    def mined_attempt(self) -> Attempt | None:
        """The attempt that the receipt is for."""
        return next((a for a in self.attempts if self.receipt and a.tx_hash == self.receipt.tx_hash), None)


@dataclass(frozen=True, slots=True)
class Halt:
    """The kill switch: while it is set nothing new is signed."""

    is_set: bool
    reason: str = ""
