"""Intents that are taken back, on both databases: those that no key has signed for, and no others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.rows import make_execution, open_round

from db.records import RoundStart
from db.store import Store
from db.transaction import Attempt, Call
from protocol.errors import StoreError

CALL = Call("", 8453, "0x" + "aa" * 20, "0x" + "bb" * 20, "0x1234", deadline=2_000_000_000)
ATTEMPT = Attempt("0x" + "01" * 32, "plan", "0x02f8", 100, 1)
STAGES = ("planned", "written", "simulated", "signed")


async def intend(store: Store, start: RoundStart, index: int, stage: str) -> None:
    """Write an intent for a chain, and bring its call so far."""
    name = f"{start.round_id}-{index}"
    execution = make_execution(start, index, execution_id=name, mode="chain", status="planned")
    await store.add_execution(execution)
    if stage != "planned":
        await store.plan_transaction(replace(CALL, execution_id=name), amounts="{}")
    if stage in ("simulated", "signed"):
        await store.note_simulated(name, block=10, gas_limit=400_000)
    if stage == "signed":
        fence = await store.take_key(CALL.chain_id, CALL.sender, "me", seconds=60)
        assert fence is not None
        await store.add_attempt(name, ATTEMPT, nonce=5, fence=fence)


@pytest.fixture
async def start(store: Store) -> RoundStart:
    opened = await open_round(store, 1, round_type="live")
    for index, stage in enumerate(STAGES):
        await intend(store, opened, index, stage)
    return opened


async def statuses(store: Store, start: RoundStart) -> list[str]:
    return [e.status for e in await store.round_executions(start.round_id)]


async def test_what_is_withdrawn_expires_unless_it_is_signed(store: Store, start: RoundStart) -> None:
    await store.withdraw_intents(start.round_id, "over")
    assert await statuses(store, start) == ["expired", "expired", "expired", "signed"]
    assert {e.guard for e in await store.round_executions(start.round_id)} == {"over", "allowed"}
    left = await store.unfinished_transactions(CALL.chain_id, CALL.sender)
    assert [t.call.execution_id for t in left] == [f"{start.round_id}-3"]
    with pytest.raises(StoreError, match="was withdrawn"):
        await store.plan_transaction(replace(CALL, execution_id=f"{start.round_id}-0"), amounts="{}")
    assert await store.get_transaction(f"{start.round_id}-0") is None
    with pytest.raises(StoreError, match="expired, not"):
        await store.note_simulated(f"{start.round_id}-2", block=11, gas_limit=1)


async def test_a_round_that_is_void_has_nothing_left_to_send(store: Store, start: RoundStart) -> None:
    await store.void_round(start.round_id, "why")
    assert await statuses(store, start) == ["expired", "expired", "expired", "signed"]
    assert (await store.round_executions(start.round_id))[0].guard == "its round is inconclusive: why"


async def test_a_checkpoint_that_is_asked_again_begins_anew_unless_its_plan_is_signed(
    store: Store, start: RoundStart
) -> None:
    await store.take_back_answers(start.round_id, after_checkpoint=0)
    assert await statuses(store, start) == ["planned", "signed"]
    await intend(store, start, 1, "simulated")  # the same checkpoint, the same name, nothing of the old one in the way
    other = make_execution(start, 3, execution_id="x", mode="chain", payload_digest="22" * 32)
    with pytest.raises(StoreError, match="another intent already"):
        await store.add_execution(other)


async def test_of_a_plan_written_down_and_an_intent_withdrawn_at_once_one_comes_first(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    for index in range(20):
        await intend(store, start, index, "planned")

    async def write_down(index: int) -> bool:
        call = replace(CALL, execution_id=f"{start.round_id}-{index}")
        try:
            await store.plan_transaction(call, amounts="{}")
        except StoreError:
            return False
        return True

    written = await asyncio.gather(
        *(write_down(n) for n in range(10)),
        store.withdraw_intents(start.round_id, "over"),
        *(write_down(n) for n in range(10, 20)),
    )
    for index, execution in enumerate(await store.round_executions(start.round_id)):
        transaction = await store.get_transaction(execution.execution_id)
        was_written = written[index + (index >= 10)]
        assert (transaction is not None) == was_written
        assert (execution.status == "expired") == (transaction is None or transaction.phase == "expired")
