"""Pool events in an SQLite file: batches in one transaction each, readers never in the way of the writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import quote

import aiosqlite

from db import sqlite_file
from db.pool_events.schema import Table
from db.url import DatabaseUrl

_BUSY_TIMEOUT_S = 30


class SqliteConnection:
    """The `Connection` over a file, opened for reading alone where asked."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: DatabaseUrl, *, read_only: bool) -> SqliteConnection:
        """Open a file; only a writer makes one."""
        mode = "ro" if read_only else "rwc"
        address = f"file:{quote(url.path)}?mode={mode}"
        # First without aiosqlite: a connection of its that fails to open answers later, to a loop that may be gone.
        await asyncio.to_thread(_look, address)
        connection = await aiosqlite.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            if read_only:
                await connection.execute("PRAGMA query_only = ON")
            else:
                # A process that is killed loses nothing; a machine that is may lose the last batches, never a part of
                # one, and what is lost is indexed again.
                await sqlite_file.switch_to_wal(
                    lambda: connection.execute("PRAGMA journal_mode = WAL"), within_s=_BUSY_TIMEOUT_S
                )
                await connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            await connection.close()
            raise
        return cls(connection)

    @asynccontextmanager
    async def transaction(self, *, write: bool) -> AsyncIterator[None]:
        """Hold one view of the data; a writer takes the only write lock at once."""
        try:
            await self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield
            await self._connection.execute("COMMIT")
        except BaseException:
            # Also where we were cancelled as it began: the connection's thread begins all the same, and this waits
            # behind it.
            await self._connection.rollback()
            raise

    async def fetch(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Return the rows of a query."""
        async with self._connection.execute(sql, _named(values)) as cursor:
            return list(await cursor.fetchall())

    async def execute(self, sql: str, *values: Any) -> None:
        """Run a statement."""
        await self._connection.execute(sql, _named(values))

    async def insert(self, table: Table, rows: Sequence[Sequence[Any]]) -> int:
        """Add the rows whose key is not there yet."""
        places = ", ".join("?" for _ in table.columns)
        wide = [kind == "wide" for kind in table.columns.values()]
        texts = [[str(v) if is_wide else v for v, is_wide in zip(row, wide, strict=True)] for row in rows]
        before = self._connection.total_changes
        await self._connection.executemany(f"INSERT INTO {table.name} VALUES ({places}) ON CONFLICT DO NOTHING", texts)
        return self._connection.total_changes - before

    async def close(self) -> None:
        """Close the file."""
        await self._connection.close()


def _look(address: str) -> None:
    """Raise sqlite3.Error unless the file can be opened and is one of SQLite's."""
    with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
        connection.execute("SELECT 1 FROM sqlite_master")


def _named(values: Sequence[Any]) -> dict[str, Any]:
    """Return values under the names $1, $2 …, which SQLite takes for names where PostgreSQL counts."""
    return {str(number): value for number, value in enumerate(values, start=1)}
