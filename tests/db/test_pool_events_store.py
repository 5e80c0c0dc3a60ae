"""The pool events database itself: what it takes, what it refuses, and that readers cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.indexing import execute, rows

from db.pool_events.records import Batch, BlockRange, BlockRow, EventRow, PoolRow, SnapshotRow
from db.pool_events.schema import EVENT_TABLES
from db.pool_events.store import Forked, PoolEventsStore
from protocol.errors import ConfigError, StoreError

POOL = "0x" + "ab" * 20
WIDEST = 2**256 - 1
PAIR = PoolRow(POOL, "0x" + "01" * 20, "A", 6, "0x" + "02" * 20, "B", 18, 3000, 60)


def block(number: int, *, fork: str = "a") -> BlockRow:
    return BlockRow(number, f"0x{fork}{number}", f"0x{fork}{number - 1}", 1_700_000_000 + 2 * number)


def blocks(first: int, last: int) -> tuple[BlockRow, ...]:
    return tuple(block(number) for number in range(first, last + 1))


def swap(number: int, log_index: int = 0) -> EventRow:
    fields: dict[str, int | str] = {
        "sender": "0x01",
        "recipient": "0x02",
        "amount0": -(2**255),
        "amount1": 2**255 - 1,
        "sqrt_price_x96": 2**160 - 1,
        "liquidity": 2**128 - 1,
        "tick": -887272,
    }
    return EventRow("swaps", number, f"0xa{number}", log_index, "0xaa", 7, fields)


@pytest.fixture
async def events(database_url: str) -> AsyncIterator[PoolEventsStore]:
    async with await PoolEventsStore.create(database_url, chain_id=8453) as store:
        yield store


async def test_every_kind_of_event_comes_back_as_it_went_in(events: PoolEventsStore) -> None:
    kinds = {
        name: {column: "0x03" if kind == "text" else 2**31 for column, kind in list(table.columns.items())[7:]}
        for name, table in EVENT_TABLES.items()
    }
    for table, values in kinds.items():
        wide = [column for column, kind in EVENT_TABLES[table].columns.items() if kind == "wide"]
        values.update(dict.fromkeys(wide, WIDEST))
    written = [EventRow(name, 5, "0xa5", at, "0xaa", 7, values) for at, (name, values) in enumerate(kinds.items())]
    written.append(swap(5, 11))
    await events.add(POOL, Batch(blocks(4, 6), tuple(reversed(written))))
    history = await events.history(POOL, BlockRange(4, 6), tuple(EVENT_TABLES))
    assert history.blocks == blocks(4, 6)
    assert history.events == tuple(written)
    assert (await events.history(POOL, BlockRange(4, 6), ("swaps",))).events == (written[0], written[-1])
    assert (await events.history(POOL, BlockRange(6, 6), ("swaps",))).events == ()


async def test_ranges_that_meet_become_one_and_others_stay_apart(events: PoolEventsStore) -> None:
    for first, last in ((10, 12), (1, 3), (20, 20), (4, 6)):
        await events.add(POOL, Batch(blocks(first, last), ()))
    assert await events.coverage(POOL) == [BlockRange(1, 6), BlockRange(10, 12), BlockRange(20, 20)]
    await events.add(POOL, Batch(blocks(5, 11), ()))
    assert await events.coverage(POOL) == [BlockRange(1, 12), BlockRange(20, 20)]
    assert await events.coverage("0x" + "cd" * 20) == []


async def test_what_is_not_covered_is_refused_although_its_blocks_are_there(events: PoolEventsStore) -> None:
    await events.add(POOL, Batch(blocks(1, 3), ()))
    other = "0x" + "cd" * 20
    with pytest.raises(StoreError, match="not all of these blocks are indexed"):
        await events.history(other, BlockRange(1, 3), ("swaps",))
    with pytest.raises(StoreError, match="run tideline index"):
        await events.history(POOL, BlockRange(1, 4), ("swaps",))


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ((block(2, fork="b"), replace(block(3, fork="b"))), "stored blocks are others"),
        ((replace(block(3), parent_hash="0xb2"),), "stored blocks are others"),
        ((replace(block(4), parent_hash="0xb3"),), "the stored parent is another"),
        ((replace(block(0), block_hash="0xb0"),), "the stored child has another parent"),
    ],
)
async def test_blocks_of_another_chain_are_refused_whole(
    events: PoolEventsStore, database_url: str, batch: tuple[BlockRow, ...], says: str
) -> None:
    await events.add(POOL, Batch(blocks(1, 3), (swap(2),)))
    before = await rows(database_url)
    with pytest.raises(Forked, match=says):
        await events.add(POOL, Batch(batch, (replace(swap(batch[0].number), block_hash=batch[0].block_hash),)))
    assert await rows(database_url) == before


async def test_everything_above_a_block_goes_and_nothing_else(events: PoolEventsStore) -> None:
    other = "0x" + "cd" * 20
    snapshots = tuple(SnapshotRow(number, f"0xa{number}", "{}") for number in (2, 3))
    await events.add(POOL, Batch(blocks(1, 4), (swap(2), swap(3), swap(4)), snapshots))
    await events.add(other, Batch(blocks(3, 4), (swap(3), swap(4, 1))))
    assert await events.drop_after(2) == 2
    assert (await events.coverage(POOL), await events.coverage(other)) == ([BlockRange(1, 2)], [])
    assert [row.block_number for row in await events.snapshots(POOL)] == [2]
    assert (await events.history(POOL, BlockRange(1, 2), ("swaps",))).events == (swap(2),)
    assert await events.blocks(BlockRange(0, 99)) == list(blocks(1, 2))
    assert (await events.highest_block(None), await events.highest_block(0)) == (block(2), None)


async def test_a_pool_never_changes(events: PoolEventsStore) -> None:
    await events.add_pool(PAIR)
    await events.add_pool(PAIR)
    with pytest.raises(StoreError, match="other tokens or another fee"):
        await events.add_pool(replace(PAIR, fee_pips=500))
    assert await events.pools() == [PAIR]


async def test_who_reads_cannot_write(events: PoolEventsStore, database_url: str) -> None:
    await events.add(POOL, Batch(blocks(1, 3), (swap(2),)))
    before = await rows(database_url)
    async with await PoolEventsStore.open(database_url) as reader:
        assert reader.chain_id == 8453
        assert len((await reader.history(POOL, BlockRange(1, 3), ("swaps",))).events) == 1
        for write in (reader.drop_after(0), reader.add_pool(PAIR), reader.add(POOL, Batch(blocks(4, 4), ()))):
            with pytest.raises(StoreError, match=r"read-?only"):
                await write
        with pytest.raises(StoreError, match=r"read-?only"):
            async with reader._transaction(write=False):
                await reader._connection.execute("DELETE FROM swaps")
    assert await rows(database_url) == before


async def test_what_is_not_ours_is_refused_and_left_alone(database_url: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no database|is not a pool events database"):
        await PoolEventsStore.open(database_url)
    async with await PoolEventsStore.create(database_url, chain_id=1):
        pass
    with pytest.raises(ConfigError, match="holds chain 1, the RPC is on chain 8453"):
        await PoolEventsStore.create(database_url, chain_id=8453)
    await execute(database_url, "UPDATE pool_events_database SET version = 99")
    for opening in (PoolEventsStore.open(database_url), PoolEventsStore.create(database_url, chain_id=1)):
        with pytest.raises(ConfigError, match="is of version 99"):
            await opening


async def test_a_database_with_tables_of_others_is_left_alone(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        sqlite3.connect(database_url.removeprefix("sqlite:///")).close()
    await execute(database_url, "CREATE TABLE mints (x TEXT)")
    with pytest.raises(ConfigError, match=r"is not a pool events database \(it has a table mints\)"):
        await PoolEventsStore.create(database_url, chain_id=1)
    with pytest.raises(ConfigError, match="is not a pool events database"):
        await PoolEventsStore.open(database_url)
    await execute(database_url, "DROP TABLE mints")
    async with await PoolEventsStore.create(database_url, chain_id=1) as store:
        assert await store.pools() == []


async def test_a_batch_that_fails_leaves_nothing(events: PoolEventsStore, database_url: str) -> None:
    await events.add(POOL, Batch(blocks(1, 3), (swap(2),)))
    before = await rows(database_url)
    broken = replace(swap(5), fields={**swap(5).fields, "tick": 2**70})
    with pytest.raises(StoreError):
        await events.add(POOL, Batch(blocks(4, 6), (swap(4), broken)))
    assert await rows(database_url) == before
    await events.add(POOL, Batch(blocks(4, 6), (swap(4), swap(5))))
    assert len((await events.history(POOL, BlockRange(1, 6), ("swaps",))).events) == 3
