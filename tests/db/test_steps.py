"""An intent that takes several transactions: written down together, signed in their order, told as one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rows import make_execution, open_round

from db.store import Store
from db.transaction import PARTIAL, Attempt, Call, Phase, Receipt, read_step_id, step_id
from protocol.errors import StoreError

CALL = Call("e1", 8453, "0x" + "aa" * 20, "0x" + "bb" * 20, "0x1234", deadline=2_000_000_000)
CALLS = [CALL, replace(CALL, execution_id="e1#1", data="0x02"), replace(CALL, execution_id="e1#2", data="0x03")]


async def begun(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    await store.add_execution(make_execution(start, execution_id="e1", status="planned", mode="chain"))
    await store.plan_transactions(CALLS, amounts="predicted")


async def sign(store: Store, number: int) -> None:
    name = step_id("e1", number)
    await store.note_simulated(name, block=10, gas_limit=400_000)
    fence = await store.take_key(CALL.chain_id, CALL.sender, "me", seconds=60)
    assert fence is not None
    attempt = Attempt(f"0x{number + 1:064x}", "plan", "0x02f8", 2, 1)
    await store.add_attempt(name, attempt, nonce=5 + number, fence=fence)


async def mine(store: Store, number: int, *ends: Phase) -> None:
    name, tx_hash = step_id("e1", number), f"0x{number + 1:064x}"
    await store.note_sent(name, tx_hash)
    await store.note_receipt(name, Receipt(tx_hash, 10 + number, "0x0b", succeeded=True, gas_used=100, fee_wei=1))
    for phase in ends:
        await store.finish_transaction(name, phase, amounts=f"after {number}" if phase == "reconciled" else None)


async def told(store: Store) -> tuple[str, str | None, int | None]:
    [execution] = await store.executions()
    return execution.status, execution.tx_hash, execution.gas_used


async def test_steps_are_written_together_and_signed_in_their_order(store: Store) -> None:
    await begun(store)
    found = await store.unfinished_transactions(CALL.chain_id, CALL.sender)
    assert [transaction.call for transaction in found] == CALLS
    await sign(store, 0)
    with pytest.raises(StoreError, match="the step before this one is not done"):
        await sign(store, 1)
    await mine(store, 0, "confirmed")
    with pytest.raises(StoreError, match="the step before this one is not done"):
        await sign(store, 1)
    assert (await told(store))[0] == "confirmed"
    await store.finish_transaction("e1", "reconciled", amounts="after 0")
    assert await told(store) == ("sent", f"0x{1:064x}", 100)
    await sign(store, 1)
    await mine(store, 1, "confirmed", "reconciled")
    await sign(store, 2)
    await mine(store, 2, "confirmed", "reconciled")
    assert await told(store) == ("reconciled", f"0x{3:064x}", 300)
    assert [e.amounts for e in await store.executions()] == ["after 2"]


async def test_what_is_not_finished_is_told_as_partial(store: Store) -> None:
    await begun(store)
    await sign(store, 0)
    await mine(store, 0, "confirmed", "reconciled")
    await store.finish_transaction("e1#1", "refused", "it would revert")
    assert await told(store) == (PARTIAL, f"0x{1:064x}", 100)
    await store.finish_transaction("e1#2", "refused", "the step before it is refused")
    assert await told(store) == (PARTIAL, f"0x{1:064x}", 100)
    assert await store.unfinished_transactions(CALL.chain_id, CALL.sender) == []


async def test_an_intent_keeps_its_list_of_steps(store: Store) -> None:
    await begun(store)
    assert [t.call for t in await store.plan_transactions(CALLS)] == CALLS
    for other in (CALLS[:2], [*CALLS, replace(CALL, execution_id="e1#3")], [CALLS[0], replace(CALLS[1], data="0x")]):
        with pytest.raises(StoreError, match="another transaction already"):
            await store.plan_transactions(other)
    assert await store.get_transaction("e1#3") is None, "all or nothing"


async def test_a_foreign_hand_on_the_key_halts_all(store: Store) -> None:
    await begun(store)
    await sign(store, 0)
    await store.finish_transaction("e1", "diverged", "nonce 5 was used by a transaction that is not ours")
    halt = await store.read_halt()
    assert (halt.is_set, halt.reason) == (True, "e1: nonce 5 was used by a transaction that is not ours")


async def test_bytes_wait_from_when_a_node_first_took_them(store: Store) -> None:
    await begun(store)
    await sign(store, 0)
    first = await store.note_sent("e1", f"0x{1:064x}")
    store._clock = lambda: 10**10
    assert (await store.note_sent("e1", f"0x{1:064x}")).attempts == first.attempts


def test_ids_of_steps() -> None:
    assert [step_id("a-1", n) for n in (0, 1, 12)] == ["a-1", "a-1#1", "a-1#12"]
    assert [read_step_id(text) for text in ("a-1", "a-1#1", "a-1#12")] == [("a-1", 0), ("a-1", 1), ("a-1", 12)]


async def test_what_no_key_has_signed_for_is_forgotten_whole_and_what_one_has_never(store: Store) -> None:
    assert not await store.forget_unsigned("e1"), "nothing is there"
    await begun(store)
    await store.note_simulated("e1", block=10, gas_limit=400_000)
    assert await store.forget_unsigned("e1")
    [execution] = await store.executions()
    assert (execution.status, execution.amounts, await store.intent_transactions("e1")) == ("planned", None, [])
    await store.plan_transactions(CALLS, amounts="predicted")
    await sign(store, 0)
    assert not await store.forget_unsigned("e1")
    await mine(store, 0, "confirmed", "reconciled")
    assert not await store.forget_unsigned("e1"), "steps are left that are not signed"
    assert [t.call for t in await store.intent_transactions("e1")] == CALLS
