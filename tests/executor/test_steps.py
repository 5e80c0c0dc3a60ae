"""What is done next: every situation of a transaction, and that none leaves a nonce hanging."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db.transaction import Attempt, Call, Receipt, Transaction
from executor.steps import Finish, Patience, Reconcile, Send, Settle, Sight, Sign, Simulate, Step, Wait, next_step
from protocol.errors import SimulationError

CALL = Call("e1", 1, "0x" + "aa" * 20, "0x" + "bb" * 20, "0x", deadline=1000)
FIRST = Attempt("0x01", "plan", "0x", 10, 1)
SECOND = Attempt("0x02", "plan", "0x", 20, 2, sent_at=50)
NOOP = Attempt("0x03", "noop", "0x", 30, 3)
PATIENCE = Patience(confirmations=3, resubmit_s=8, max_simulation_age_blocks=2)
PLANNED = Transaction(CALL, "planned")
SIMULATED = replace(PLANNED, phase="simulated", gas_limit=1, simulated_block=10)
SIGNED = replace(SIMULATED, phase="signed", nonce=7, attempts=(FIRST,))
SENT = replace(SIGNED, phase="sent", attempts=(replace(FIRST, sent_at=50),))
BUMPED = replace(SENT, attempts=(*SENT.attempts, SECOND))
CANCELLING = replace(BUMPED, attempts=(*BUMPED.attempts, NOOP))


def sight(
    block: int = 10, time: int = 900, *, settled: int = 7, receipts: tuple[Receipt, ...] = (), pending: str = ""
) -> Sight:
    return Sight(block, time, block - 2, settled, {r.tx_hash: r for r in receipts}, frozenset(pending.split()))


def receipt(tx_hash: str, block: int = 10, *, succeeded: bool = True, block_hash: str = "0xb") -> Receipt:
    return Receipt(tx_hash, block, block_hash, succeeded, 21_000, 1)


def mined(found: Receipt, of: Transaction = BUMPED) -> Transaction:
    return replace(of, phase="mined", receipt=found)


def confirmed(found: Receipt) -> Transaction:
    return replace(mined(found), phase="confirmed")


@pytest.mark.parametrize(
    ("transaction", "seen", "step"),
    [
        (PLANNED, sight(), Simulate()),
        (PLANNED, sight(time=1000), Simulate()),
        (PLANNED, sight(time=1001), Finish("expired", "not signed by 1000, chain time 1001")),
        (SIMULATED, sight(12), Sign("plan")),
        (SIMULATED, sight(13), Simulate()),
        (SIMULATED, sight(time=1001), Finish("expired", "not signed by 1000, chain time 1001")),
        (SIGNED, sight(), Send(FIRST)),
        (SIGNED, sight(pending="0x01"), Send(FIRST)),
        (SIGNED, sight(time=1001), Sign("noop")),
        (SIGNED, sight(receipts=(receipt("0x01"),)), Settle(receipt("0x01"))),
        (SIGNED, sight(time=1001, receipts=(receipt("0x01"),)), Settle(receipt("0x01"))),
        (SIGNED, sight(settled=8), Finish("diverged", "nonce 7 was used by a transaction that is not ours")),
        (SIGNED, sight(settled=8, receipts=(receipt("0x01"),)), Settle(receipt("0x01"))),
        (replace(SIGNED, attempts=(replace(FIRST, refusal="bad"),)), sight(), Sign("noop")),
        (SENT, sight(), Send(SENT.attempts[0])),
        (SENT, sight(pending="0x01"), Wait()),
        (BUMPED, sight(pending="0x01 0x02"), Wait()),
        (BUMPED, sight(pending="0x01"), Send(SECOND)),
        (BUMPED, sight(receipts=(receipt("0x01"),), pending="0x02"), Settle(receipt("0x01"))),
        (CANCELLING, sight(time=1001), Send(NOOP)),
        (replace(CANCELLING, attempts=(*BUMPED.attempts, replace(NOOP, refusal="bad"))), sight(time=1001), Wait()),
        (mined(receipt("0x01")), sight(11, receipts=(receipt("0x01"),)), Wait()),
        (mined(receipt("0x01")), sight(12, receipts=(receipt("0x01"),)), Finish("confirmed")),
        (mined(receipt("0x01")), sight(12, pending="0x01"), Settle(None)),
        (mined(receipt("0x01")), sight(12), Settle(None)),
        (
            mined(receipt("0x01")),
            sight(12, receipts=(receipt("0x01", block_hash="0xc"),)),
            Settle(receipt("0x01", block_hash="0xc")),
        ),
        (mined(receipt("0x01")), sight(12, receipts=(receipt("0x02"),)), Settle(receipt("0x02"))),
        (
            mined(receipt("0x01", succeeded=False)),
            sight(12, receipts=(receipt("0x01", succeeded=False),)),
            Finish("reverted", "the chain undid it"),
        ),
        (
            mined(receipt("0x03"), CANCELLING),
            sight(12, receipts=(receipt("0x03"),)),
            Finish("cancelled", "its deadline had passed; the nonce was spent on nothing"),
        ),
        (confirmed(receipt("0x01")), sight(12, receipts=(receipt("0x01"),)), Reconcile()),
        (confirmed(receipt("0x01")), sight(12), Settle(None)),
        (confirmed(receipt("0x01")), sight(12, receipts=(receipt("0x02"),)), Settle(receipt("0x02"))),
        *(
            (replace(SENT, phase=phase), sight(), Wait())
            for phase in ("reconciled", "reverted", "cancelled", "diverged")
        ),
    ],
)
def test_the_next_step(transaction: Transaction, seen: Sight, step: Step) -> None:
    assert next_step(transaction, seen, PATIENCE, now=57) == step


@pytest.mark.parametrize(("now", "step"), [(57, Wait()), (58, Sign("plan"))])
def test_what_stays_in_the_pool_too_long_is_replaced(now: int, step: Step) -> None:
    assert next_step(BUMPED, sight(pending="0x01 0x02"), PATIENCE, now=now) == step
    hidden = Send(SECOND) if step == Wait() else step  # some nodes show nothing that is in no block
    assert next_step(BUMPED, sight(), PATIENCE, now=now) == hidden
    late = replace(CANCELLING, attempts=(*BUMPED.attempts, replace(NOOP, sent_at=50)))
    expected = Sign("noop") if step == Sign("plan") else Wait()
    assert next_step(late, sight(time=1001, pending="0x03"), PATIENCE, now=now) == expected


@pytest.mark.parametrize("transaction", [replace(SIGNED, attempts=()), replace(SIGNED, nonce=None)])
def test_a_record_that_contradicts_itself_is_no_base_for_a_step(transaction: Transaction) -> None:
    with pytest.raises(SimulationError, match="no attempt"):
        next_step(transaction, sight(), PATIENCE, now=57)
