"""What to do next about a transaction. Pure: what is remembered and what is seen in, one step out.

Every step is written down before it is taken, so a process that was killed at any point looks, asks here, and goes on.
A nonce that was used in a signature is always brought to its end: by the call, or by a transaction that does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from db.transaction import Attempt, Phase, Purpose, Receipt, Transaction
from protocol.errors import SimulationError

Tag = Literal["latest", "safe", "finalized"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait. A block is settled once it is `confirmations` deep, its own counted, and not above the block
    that the chain calls by the `settled` tag. A nonce of ours in strange hands is believed at the `doubts`th look.
    """

    confirmations: int = 3
    resubmit_s: int = 8
    max_simulation_age_blocks: int = 2
    settled: Tag = "latest"
    doubts: int = 3


@dataclass(frozen=True, slots=True)
class Sight:
    """The chain as it is now, as far as one transaction is concerned.

    `settled_block` is the highest that a reorg is not expected to undo, `settled_nonce` how many transactions of the
    key are as deep as that asks, whatever the block is called by; `receipts` holds those of canonical blocks; `pending`
    the hashes of attempts that a node has not forgotten.
    """

    block_number: int
    timestamp: int
    settled_block: int
    settled_nonce: int
    receipts: Mapping[str, Receipt]
    pending: frozenset[str]


@dataclass(frozen=True, slots=True)
class Simulate:
    """Ask a node what the call would do at the head."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign an attempt, dearer than those before, and store it."""

    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Send:
    """Give stored bytes to the nodes, for the first time or again."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down the receipt, or (None) that it is gone with its block."""

    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Write down how it ended."""

    phase: Phase
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Hold what the chain now says against what was expected."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again later."""


Step: TypeAlias = Simulate | Sign | Send | Settle | Finish | Reconcile | Wait


def next_step(transaction: Transaction, sight: Sight, patience: Patience, *, now: int) -> Step:
    """Return what to do now.

    Parameters: transaction  as stored   ·   sight  of one head   ·   now  unix seconds, for what was sent when
    Returns:    one step; Wait where nothing can be done. A transaction that has ended waits for ever
    Rounding:   none
    Raises:     SimulationError when the record contradicts itself
    Source:     execution facts §2
    """
    match transaction.phase:
        case "planned" | "simulated":
            return _before_signing(transaction, sight, patience)
        case "signed" | "sent":
            return _in_flight(transaction, sight, patience, now=now)
        case "mined":
            return _mined(transaction, sight)
        case "confirmed":
            found = _receipt(transaction, sight)
            return Reconcile() if found == transaction.receipt else Settle(found)
        case _:
            return Wait()


def _before_signing(transaction: Transaction, sight: Sight, patience: Patience) -> Step:
    if sight.timestamp > transaction.call.deadline:
        return Finish("expired", f"not signed by {transaction.call.deadline}, chain time {sight.timestamp}")
    simulated = transaction.simulated_block
    if simulated is None or sight.block_number > simulated + patience.max_simulation_age_blocks:
        return Simulate()
    return Sign("plan")


def _in_flight(transaction: Transaction, sight: Sight, patience: Patience, *, now: int) -> Step:
    receipt = _receipt(transaction, sight)
    if receipt is not None:
        return Settle(receipt)
    if transaction.nonce is None or not transaction.attempts:
        raise SimulationError("a transaction was signed and has no attempt", execution=transaction.call.execution_id)
    if sight.settled_nonce > transaction.nonce:
        return Finish("diverged", f"nonce {transaction.nonce} was used by a transaction that is not ours")
    last = transaction.attempts[-1]  # the dearest; once there is a no-op, a no-op
    if last.purpose == "plan" and (last.refusal or sight.timestamp > transaction.call.deadline):
        return Sign("noop")
    if last.refusal:
        return Wait()  # not even nothing can be sent: for a person to look at
    if last.sent_at is None:
        return Send(last)
    if now - last.sent_at >= patience.resubmit_s:
        return Sign(last.purpose)  # whether nodes show it or not: some show nothing that is in no block yet
    return Wait() if last.tx_hash in sight.pending else Send(last)


def _mined(transaction: Transaction, sight: Sight) -> Step:
    found, stored = _receipt(transaction, sight), transaction.receipt
    if found is None or found != stored:
        return Settle(found)
    if stored.block_number > sight.settled_block:
        return Wait()
    attempt = transaction.mined_attempt
    if attempt is None:
        raise SimulationError("a receipt is of no attempt", execution=transaction.call.execution_id)
    if attempt.purpose == "noop":
        return Finish("cancelled", "its deadline had passed; the nonce was spent on nothing")
    return Finish("confirmed") if stored.succeeded else Finish("reverted", "the chain undid it")


def _receipt(transaction: Transaction, sight: Sight) -> Receipt | None:
    return next((sight.receipts[a.tx_hash] for a in transaction.attempts if a.tx_hash in sight.receipts), None)
