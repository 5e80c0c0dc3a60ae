"""The pool events database and the one door to it.

It holds one chain, and of that chain blocks that follow each other by hash. Whatever would contradict a stored block is
refused as `Forked`: the caller then finds out which of the two the chain took back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from db import sqlite_file
from db.failures import DRIVER_FAILURES, one_line
from db.pool_events.connection import Connection, connect
from db.pool_events.records import Batch, BlockRange, BlockRow, EventRow, PoolRow, SnapshotRow
from db.pool_events.schema import BLOCKS, COVERAGE, DATABASE, EVENT_TABLES, POOLS, SNAPSHOTS, TABLES, VERSION, Table
from db.url import DatabaseUrl, parse_database_url
from protocol.errors import ConfigError, StoreError

_HAS_TABLE = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
    "postgres": "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1",
}


_KIND = sqlite_file.Kind(DATABASE.name, "a pool events database", "tideline index")


class Forked(StoreError):
    """A block to be written and a stored one are not of one chain."""


@dataclass(frozen=True, slots=True)
class History:
    """A pool over unbroken blocks, as it was read in one view: the blocks, and the events in chain order."""

    blocks: tuple[BlockRow, ...]
    events: tuple[EventRow, ...]


class PoolEventsStore:
    """An open pool events database. Use `create` or `open`; close it when done, or use it as a context manager."""

    def __init__(self, url: DatabaseUrl, connection: Connection, chain_id: int) -> None:
        self.chain_id = chain_id
        self._url = url
        self._connection = connection
        self._turn = asyncio.Lock()

    @classmethod
    async def create(cls, url: str, *, chain_id: int) -> PoolEventsStore:
        """Open a database for writing and make its tables where there are none.

        Raises ConfigError when it holds another chain, is of another version or not ours.
        """
        parsed = parse_database_url(url)
        if parsed.dialect == "sqlite":
            await asyncio.to_thread(sqlite_file.check, Path(parsed.path), create=True, kind=_KIND)
        store = cls(parsed, await connect(parsed, read_only=False), chain_id)
        try:
            await store._make_tables()
        except StoreError as error:
            await store.close()
            raise ConfigError(f"cannot use the database {parsed.shown}: {error.message}") from error
        except BaseException:
            await store.close()
            raise
        return store

    @classmethod
    async def open(cls, url: str) -> PoolEventsStore:
        """Open a database that is there, for reading alone. Raises ConfigError when it is none of ours."""
        parsed = parse_database_url(url)
        if parsed.dialect == "sqlite":
            await asyncio.to_thread(sqlite_file.check, Path(parsed.path), create=False, kind=_KIND)
        store = cls(parsed, await connect(parsed, read_only=True), 0)
        try:
            async with store._transaction(write=False):
                found = await store._stored_chain_id()
            if found is None:
                raise ConfigError(f"the database {parsed.shown} is not {_KIND.name}; make one with: {_KIND.made_by}")
            store.chain_id = found
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Release the database. Idempotent."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Writing

    async def add_pool(self, pool: PoolRow) -> None:
        """Write what never changes about a pool. StoreError when the database knows it otherwise."""
        async with self._transaction(write=True):
            await self._connection.insert(POOLS, [(self.chain_id, *astuple(pool))])
            if await self._pools(pool.pool) != [pool]:
                raise StoreError("the database knows this pool with other tokens or another fee", pool=pool.pool)

    async def add(self, pool: str, batch: Batch) -> None:
        """Write blocks, their events and that they are complete, all or nothing. What is there stays as it is.

        Raises Forked when a stored block is not of the same chain as these.
        """
        first, last = batch.blocks[0].number, batch.blocks[-1].number
        async with self._transaction(write=True):
            rows = [(self.chain_id, *astuple(block)) for block in batch.blocks]
            has_some = await self._connection.insert(BLOCKS, rows) < len(rows)
            if has_some and await self._blocks(BlockRange(first, last)) != list(batch.blocks):
                raise Forked("stored blocks are others", first_block=first, last_block=last)
            await self._check_links(batch)
            for table in EVENT_TABLES.values():
                await self._connection.insert(table, self._event_rows(table, pool, batch.events))
            await self._add_snapshots(pool, batch.snapshots)
            await self._cover(pool, BlockRange(first, last))

    async def add_snapshot(self, pool: str, snapshot: SnapshotRow) -> None:
        """Write a snapshot beside those that are there."""
        async with self._transaction(write=True):
            await self._add_snapshots(pool, (snapshot,))

    async def drop_after(self, number: int) -> int:
        """Remove every block above one, of all pools, with all that was read in it; return how many blocks."""
        async with self._transaction(write=True):
            [[count]] = await self._fetch("SELECT count(*) FROM blocks WHERE chain_id = $1 AND number > $2", number)
            for table in (*EVENT_TABLES.values(), SNAPSHOTS):
                await self._run(f"DELETE FROM {table.name} WHERE chain_id = $1 AND block_number > $2", number)
            await self._run("DELETE FROM blocks WHERE chain_id = $1 AND number > $2", number)
            await self._run("DELETE FROM coverage WHERE chain_id = $1 AND first_block > $2", number)
            await self._run("UPDATE coverage SET last_block = $2 WHERE chain_id = $1 AND last_block > $2", number)
        return int(count)

    # Reading

    async def pools(self) -> list[PoolRow]:
        """Return the pools that are indexed, by address."""
        async with self._transaction(write=False):
            return await self._pools(None)

    async def coverage(self, pool: str) -> list[BlockRange]:
        """Return the ranges of blocks that are complete, ascending and apart from each other."""
        async with self._transaction(write=False):
            return await self._coverage(pool)

    async def blocks(self, within: BlockRange) -> list[BlockRow]:
        """Return the stored blocks of a range, whichever pool they were read for."""
        async with self._transaction(write=False):
            return await self._blocks(within)

    async def highest_block(self, at_most: int | None) -> BlockRow | None:
        """Return the highest stored block, of those up to a number where one is given."""
        limit = 2**63 - 1 if at_most is None else at_most
        async with self._transaction(write=False):
            [[number]] = await self._fetch("SELECT max(number) FROM blocks WHERE chain_id = $1 AND number <= $2", limit)
            return None if number is None else (await self._blocks(BlockRange(number, number)))[0]

    async def snapshots(self, pool: str) -> list[SnapshotRow]:
        """Return a pool's snapshots, oldest first."""
        sql = "SELECT block_number, block_hash, body FROM snapshots WHERE chain_id = $1 AND pool = $2 ORDER BY 1"
        async with self._transaction(write=False):
            return [SnapshotRow(*row) for row in await self._fetch(sql, pool)]

    async def history(self, pool: str, within: BlockRange, tables: Collection[str]) -> History:
        """Return a range of blocks with a pool's events of some tables.

        Raises StoreError when a block of the range is not indexed.
        """
        async with self._transaction(write=False):
            covered = await self._coverage(pool)
            if not any(c.first <= within.first and within.last <= c.last for c in covered):
                where = {"first_block": within.first, "last_block": within.last, "database": self._url.shown}
                raise StoreError("not all of these blocks are indexed; run tideline index", pool=pool, **where)
            blocks = await self._blocks(within)
            events = [event for name in tables for event in await self._events(EVENT_TABLES[name], pool, within)]
        return History(tuple(blocks), tuple(sorted(events, key=lambda e: (e.block_number, e.log_index))))

    # Inside a transaction

    @asynccontextmanager
    async def _transaction(self, *, write: bool) -> AsyncIterator[None]:
        try:
            async with self._turn, self._connection.transaction(write=write):
                yield
        except DRIVER_FAILURES as error:
            raise StoreError(one_line(error), database=self._url.shown) from error

    async def _fetch(self, sql: str, *values: object) -> Sequence[Sequence[Any]]:
        return await self._connection.fetch(sql, self.chain_id, *values)

    async def _run(self, sql: str, *values: object) -> None:
        await self._connection.execute(sql, self.chain_id, *values)

    async def _stored_chain_id(self) -> int | None:
        """Return the chain that the database holds, None where it has none of our tables."""
        if not await self._connection.fetch(_HAS_TABLE[self._url.dialect], DATABASE.name):
            return None
        [[version, chain_id]] = await self._connection.fetch(f"SELECT version, chain_id FROM {DATABASE.name}")
        if version != VERSION:
            raise ConfigError(
                f"the database {self._url.shown} is of version {version}, this Tideline writes {VERSION}; "
                "index into a new one"
            )
        return int(chain_id)

    async def _make_tables(self) -> None:
        async with self._transaction(write=True):
            found = await self._stored_chain_id()
            if found is None:
                for table in TABLES:
                    if await self._connection.fetch(_HAS_TABLE[self._url.dialect], table.name):
                        raise ConfigError(
                            f"the database {self._url.shown} is not {_KIND.name} (it has a table {table.name}); "
                            "choose another"
                        )
                    for statement in table.statements(self._url.dialect):
                        await self._connection.execute(statement)
                await self._connection.insert(DATABASE, [(VERSION, self.chain_id)])
            elif found != self.chain_id:
                raise ConfigError(
                    f"the database {self._url.shown} holds chain {found}, the RPC is on chain {self.chain_id}; "
                    "give each chain a database of its own"
                )

    async def _pools(self, pool: str | None) -> list[PoolRow]:
        rows = await self._fetch("SELECT * FROM pools WHERE chain_id = $1 ORDER BY pool")
        known = [PoolRow(*row[1:]) for row in rows]
        return [row for row in known if pool in (None, row.pool)]

    async def _coverage(self, pool: str) -> list[BlockRange]:
        sql = "SELECT first_block, last_block FROM coverage WHERE chain_id = $1 AND pool = $2 ORDER BY first_block"
        return [BlockRange(*row) for row in await self._fetch(sql, pool)]

    async def _blocks(self, within: BlockRange) -> list[BlockRow]:
        sql = "SELECT number, block_hash, parent_hash, timestamp FROM blocks WHERE chain_id = $1"
        rows = await self._fetch(f"{sql} AND number BETWEEN $2 AND $3 ORDER BY number", within.first, within.last)
        return [BlockRow(*row) for row in rows]

    async def _events(self, table: Table, pool: str, within: BlockRange) -> list[EventRow]:
        own = list(table.columns)[7:]
        names = ["block_number", "block_hash", "log_index", "tx_hash", "tx_index", *own]
        where = "chain_id = $1 AND pool = $2 AND block_number BETWEEN $3 AND $4"
        rows = await self._fetch(
            f"SELECT {', '.join(names)} FROM {table.name} WHERE {where}", pool, within.first, within.last
        )
        is_text = [table.columns[name] == "text" for name in own]
        found = []
        for number, block_hash, log_index, tx_hash, tx_index, *values in rows:
            fields = {n: v if text else int(v) for n, v, text in zip(own, values, is_text, strict=True)}
            found.append(EventRow(table.name, number, block_hash, log_index, tx_hash, tx_index, fields))
        return found

    async def _check_links(self, batch: Batch) -> None:
        """Raise Forked unless the stored neighbours of the blocks are their parent and their child."""
        first, last = batch.blocks[0], batch.blocks[-1]
        for neighbour in await self._blocks(BlockRange(first.number - 1, first.number - 1)):
            if neighbour.block_hash != first.parent_hash:
                raise Forked("the stored parent is another", block=neighbour.number)
        for neighbour in await self._blocks(BlockRange(last.number + 1, last.number + 1)):
            if neighbour.parent_hash != last.block_hash:
                raise Forked("the stored child has another parent", block=neighbour.number)

    def _event_rows(self, table: Table, pool: str, events: Sequence[EventRow]) -> list[tuple[int | str, ...]]:
        own = list(table.columns)[7:]
        return [
            (
                *(self.chain_id, pool, event.block_number, event.block_hash),
                *(event.log_index, event.tx_hash, event.tx_index),
                *(event.fields[name] for name in own),
            )
            for event in events
            if event.table == table.name
        ]

    async def _add_snapshots(self, pool: str, snapshots: Sequence[SnapshotRow]) -> None:
        await self._connection.insert(SNAPSHOTS, [(self.chain_id, pool, *astuple(snapshot)) for snapshot in snapshots])

    async def _cover(self, pool: str, within: BlockRange) -> None:
        """Note that a range is complete, as one with those that it meets."""
        met = [c for c in await self._coverage(pool) if c.first <= within.last + 1 and within.first <= c.last + 1]
        for c in met:
            await self._run(
                "DELETE FROM coverage WHERE chain_id = $1 AND pool = $2 AND first_block = $3", pool, c.first
            )
        first, last = min(c.first for c in (*met, within)), max(c.last for c in (*met, within))
        await self._connection.insert(COVERAGE, [(self.chain_id, pool, first, last)])
