"""The executor's transactions, on both databases: what is written, in which order, and by whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.rows import make_execution, open_round

from db.store import Store
from db.transaction import Attempt, Call, Halt, Receipt, Transaction
from protocol.errors import StoreError

CALL = Call("e1", 8453, "0x" + "aa" * 20, "0x" + "bb" * 20, "0x1234", deadline=2_000_000_000)
FIRST = Attempt("0x" + "01" * 32, "plan", "0x02f8", 2**100, 1)
SECOND = Attempt("0x" + "02" * 32, "plan", "0x02f9", 2**101, 2)
RECEIPT = Receipt(FIRST.tx_hash, 2**40, "0x" + "0b" * 32, succeeded=True, gas_used=300_000, fee_wei=2**100)
NOW = 1_700_000_000


async def planned(store: Store, execution_id: str = "e1") -> Transaction:
    return await store.plan_transaction(replace(CALL, execution_id=execution_id))


async def key(store: Store, holder: str = "me") -> int:
    fence = await store.take_key(CALL.chain_id, CALL.sender, holder, seconds=60)
    assert fence is not None
    return fence


async def signed(store: Store, attempt: Attempt = FIRST, *, nonce: int = 5) -> Transaction:
    await planned(store)
    await store.note_simulated("e1", block=10, gas_limit=400_000)
    return await store.add_attempt("e1", attempt, nonce=nonce, fence=await key(store))


async def test_everything_is_kept_on_the_way_and_told_to_the_intent(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    await store.add_execution(make_execution(start, execution_id="e1"))
    assert await planned(store) == Transaction(CALL, "planned") == await planned(store)
    fence = await key(store)
    simulated = await store.note_simulated("e1", block=10, gas_limit=400_000)
    assert simulated == Transaction(CALL, "simulated", gas_limit=400_000, simulated_block=10)
    stored = await store.add_attempt("e1", FIRST, nonce=5, fence=fence)
    assert stored == replace(simulated, phase="signed", nonce=5, attempts=(FIRST,))
    assert await store.next_nonce(CALL.chain_id, CALL.sender) == 6
    sent = await store.note_sent("e1", FIRST.tx_hash)
    assert sent == replace(stored, phase="sent", attempts=(replace(FIRST, sent_at=NOW),))
    bumped = await store.add_attempt("e1", SECOND, nonce=5, fence=fence)
    assert bumped == replace(sent, attempts=(*sent.attempts, SECOND))
    mined = await store.note_receipt("e1", RECEIPT)
    assert mined == replace(bumped, phase="mined", receipt=RECEIPT)
    assert await store.note_receipt("e1", None) == bumped
    await store.note_receipt("e1", RECEIPT)
    assert (await store.finish_transaction("e1", "confirmed")).phase == "confirmed"
    assert await store.unfinished_transactions(CALL.chain_id, CALL.sender) == [replace(mined, phase="confirmed")]
    await store.finish_transaction("e1", "reconciled", amounts="{}")
    assert await store.unfinished_transactions(CALL.chain_id, CALL.sender) == []
    assert await store.get_transaction("e1") == replace(mined, phase="reconciled")
    [execution] = await store.executions()
    assert (execution.status, execution.tx_hash, execution.gas_used) == ("reconciled", FIRST.tx_hash, 300_000)
    assert execution.amounts == "{}"


async def test_a_call_comes_with_its_prediction_and_another_call_changes_neither(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    await store.add_execution(make_execution(start, execution_id="e1"))
    await store.plan_transaction(CALL, amounts="predicted")
    with pytest.raises(StoreError, match="another transaction already"):
        await store.plan_transaction(replace(CALL, deadline=CALL.deadline + 1), amounts="of another")
    assert [e.amounts for e in await store.executions()] == ["predicted"]
    await store.note_simulated("e1", block=10, gas_limit=400_000)
    await store.plan_transaction(CALL, amounts="too late")
    assert [e.amounts for e in await store.executions()] == ["predicted"]


async def test_one_intent_has_one_call(store: Store) -> None:
    results = await asyncio.gather(*(planned(store) for _ in range(10)))
    assert set(results) == {Transaction(CALL, "planned")}
    with pytest.raises(StoreError, match="another transaction already"):
        await store.plan_transaction(replace(CALL, data="0x"))


@pytest.mark.parametrize(
    ("phase", "reason"), [("refused", "it would revert"), ("expired", "too late"), ("diverged", "not ours")]
)
async def test_ends_are_reached_from_where_they_can_be(store: Store, phase: str, reason: str) -> None:
    if phase == "diverged":
        await signed(store)
    else:
        await planned(store)
    done = await store.finish_transaction("e1", phase, reason)  # type: ignore[arg-type]  # a table of phases
    assert (done.phase, done.reason) == (phase, reason)
    for again in ("refused", "confirmed", "reconciled", "diverged"):
        with pytest.raises(StoreError, match=f"the transaction is {phase}"):
            await store.finish_transaction("e1", again)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=f"the transaction is {phase}"):
        await store.note_receipt("e1", RECEIPT)


async def test_a_key_goes_from_hand_to_hand_and_the_former_signs_no_more(store: Store) -> None:
    await planned(store)
    await store.note_simulated("e1", block=10, gas_limit=1)
    former = await key(store)
    assert await key(store) == former, "renewed"
    assert await store.take_key(CALL.chain_id, CALL.sender, "you", seconds=60) is None
    await store.take_key(CALL.chain_id, CALL.sender, "me", seconds=0)
    assert await key(store, "you") == former + 1
    with pytest.raises(StoreError, match="taken the key over"):
        await store.add_attempt("e1", FIRST, nonce=0, fence=former)
    assert await store.next_nonce(CALL.chain_id, CALL.sender) == 0
    assert await store.take_key(1, CALL.sender, "me", seconds=60) is not None, "another chain, another right"


async def test_nobody_signs_without_having_taken_the_key(store: Store) -> None:
    await planned(store)
    await store.note_simulated("e1", block=10, gas_limit=1)
    with pytest.raises(StoreError, match="nobody has taken the key"):
        await store.add_attempt("e1", FIRST, nonce=0, fence=1)


async def test_nonces_go_up_and_one_is_in_flight(store: Store) -> None:
    await signed(store)
    fence = await key(store)
    await planned(store, "e2")
    await store.note_simulated("e2", block=10, gas_limit=1)
    with pytest.raises(StoreError, match="in flight"):
        await store.add_attempt("e2", SECOND, nonce=6, fence=fence)
    with pytest.raises(StoreError, match="nonce of its transaction"):
        await store.add_attempt("e1", SECOND, nonce=6, fence=fence)
    await store.note_receipt("e1", RECEIPT)
    await store.finish_transaction("e1", "confirmed")
    with pytest.raises(StoreError, match="behind it"):
        await store.add_attempt("e2", SECOND, nonce=5, fence=fence)
    assert (await store.add_attempt("e2", SECOND, nonce=6, fence=fence)).nonce == 6


async def test_the_same_bytes_are_stored_once(store: Store) -> None:
    await signed(store)
    with pytest.raises(StoreError):
        await store.add_attempt("e1", FIRST, nonce=5, fence=await key(store))
    transaction = await store.get_transaction("e1")
    assert transaction is not None and transaction.attempts == (FIRST,)


async def test_halted_only_what_does_nothing_is_signed(store: Store) -> None:
    assert await store.read_halt() == Halt(is_set=False)
    await signed(store)
    await store.set_halt(Halt(is_set=True, reason="stop"))
    assert await store.read_halt() == Halt(is_set=True, reason="stop")
    with pytest.raises(StoreError, match="halted: stop"):
        await store.add_attempt("e1", SECOND, nonce=5, fence=await key(store))
    noop = replace(SECOND, purpose="noop")
    assert (await store.add_attempt("e1", noop, nonce=5, fence=await key(store))).attempts == (FIRST, noop)
    await store.set_halt(Halt(is_set=False))
    assert not (await store.read_halt()).is_set


async def test_a_refusal_is_kept_with_the_bytes(store: Store) -> None:
    await signed(store)
    refused = await store.note_refusal("e1", FIRST.tx_hash, "intrinsic gas too low\x00")
    assert refused.attempts[0].refusal.startswith("intrinsic gas too low")
    assert (await store.note_sent("e1", FIRST.tx_hash)).attempts[0].refusal == ""


async def test_what_is_not_there(store: Store) -> None:
    assert await store.get_transaction("nowhere") is None
    with pytest.raises(StoreError, match="no such transaction"):
        await store.note_sent("nowhere", FIRST.tx_hash)


async def test_unfinished_ones_come_with_the_lowest_nonce_first(store: Store) -> None:
    await signed(store)
    await planned(store, "a")
    found = await store.unfinished_transactions(CALL.chain_id, CALL.sender)
    assert [t.call.execution_id for t in found] == ["e1", "a"]
