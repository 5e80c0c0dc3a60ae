from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.rows import make_execution, make_weight_set, open_round

from db.store import Store
from protocol.errors import StoreError

NOW = 1_700_000_000


async def test_an_intent_becomes_an_execution(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    planned = make_execution(start, status="planned", mode="chain")
    stored = await store.add_execution(planned)
    assert stored == replace(planned, created_at=NOW, updated_at=NOW)
    changes = {"status": "confirmed", "tx_hash": "0x" + "22" * 32, "gas_used": 2**200, "amounts": '{"amount0":"1"}'}
    done = await store.update_execution(planned.execution_id, changes)
    assert done == replace(stored, **changes)
    assert await store.executions("weth-usdc") == [done]
    assert await store.get_execution(planned.execution_id) == done
    assert await store.get_execution("another") is None
    assert await store.executions(status="planned") == []
    assert (await store.executions(since=NOW), await store.executions(since=NOW + 1)) == ([done], [])


async def test_the_same_intent_is_one(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    results = await asyncio.gather(
        *(store.add_execution(make_execution(start, execution_id=f"e{n}")) for n in range(20))
    )
    assert len(set(results)) == 1
    assert await store.executions() == [results[0]]


async def test_another_intent_for_the_same_checkpoint_is_refused(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    first = await store.add_execution(make_execution(start))
    with pytest.raises(StoreError, match="another intent already"):
        await store.add_execution(make_execution(start, execution_id="e2", payload_digest="22" * 32))
    with pytest.raises(StoreError, match="belongs to another intent"):
        await store.add_execution(make_execution(start, 1, execution_id=first.execution_id))
    assert await store.executions() == [first]
    await store.add_execution(make_execution(start, 1))


async def test_what_an_intent_says_never_changes(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    stored = await store.add_execution(make_execution(start))
    with pytest.raises(StoreError, match="plan never changes"):
        await store.update_execution(stored.execution_id, {"plan": "{}"})
    with pytest.raises(StoreError, match="no such execution"):
        await store.update_execution("nowhere", {"status": "lost"})
    assert await store.executions() == [stored]


async def test_weight_sets(store: Store) -> None:
    assert await store.last_weight_set(98) is None
    taken = make_weight_set(1)
    lost = make_weight_set(2, included=False, read_back_ok=False, message="too soon\x00")
    for weight_set in (taken, lost, make_weight_set(3, netuid=374)):
        await store.add_weight_set(weight_set)
    assert await store.last_weight_set(98) == replace(lost, created_at=NOW, message="too soon\N{REPLACEMENT CHARACTER}")
    assert await store.last_weight_set(98, included_only=True) == replace(taken, created_at=NOW)
