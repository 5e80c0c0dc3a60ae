"""Pool events in PostgreSQL: rows arrive by COPY, through a staging table where some of them are there already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no py.typed

from db.pool_events.schema import Table
from db.url import DatabaseUrl

_WRITER_LOCK = 0x7469_6466  # any fixed number, the same in every process of ours
_CONNECT_TIMEOUT_S = 10


class PostgresConnection:
    """The `Connection` over a server, every transaction read-only where asked."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: DatabaseUrl, *, read_only: bool) -> PostgresConnection:
        """Connect."""
        settings = {"application_name": "tideline index"}
        if read_only:
            settings["default_transaction_read_only"] = "on"
        return cls(
            await asyncpg.connect(
                host=url.host,
                port=url.port,
                user=url.user,
                password=url.password,
                database=url.database,
                ssl=url.sslmode,
                timeout=_CONNECT_TIMEOUT_S,
                server_settings=settings,
            )
        )

    @asynccontextmanager
    async def transaction(self, *, write: bool) -> AsyncIterator[None]:
        """Hold one view of the data; writers take turns."""
        # A writer must see what was committed while it waited for its turn; a reader must see one state throughout.
        level = "READ COMMITTED" if write else "REPEATABLE READ"
        # A writer does not say READ WRITE: on a connection for reading alone that would lift the ban.
        begin = f"BEGIN ISOLATION LEVEL {level}" + ("" if write else " READ ONLY")
        try:
            await self._connection.execute(begin)
            if write:
                await self._connection.execute(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
            yield
            await self._connection.execute("COMMIT")
        except BaseException:
            # Also where we were cancelled as it began. A broken connection has taken everything back itself.
            if self._connection.is_in_transaction() and not self._connection.is_closed():
                await self._connection.execute("ROLLBACK")
            raise

    async def fetch(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Return the rows of a query."""
        rows: list[Sequence[Any]] = await self._connection.fetch(sql, *values)
        return rows

    async def execute(self, sql: str, *values: Any) -> None:
        """Run a statement."""
        await self._connection.execute(sql, *values)

    async def insert(self, table: Table, rows: Sequence[Sequence[Any]]) -> int:
        """Add the rows whose key is not there yet.

        COPY knows no conflict. Rows are mostly new, so it is tried on the table itself; where a key is there already,
        they are staged first and go on from there.
        """
        if not rows:
            return 0
        await self._connection.execute("SAVEPOINT before_copy")
        try:
            await self._connection.copy_records_to_table(table.name, records=rows)
        except asyncpg.UniqueViolationError:
            await self._connection.execute("ROLLBACK TO SAVEPOINT before_copy")
            return await self._insert_staged(table, rows)
        return len(rows)

    async def _insert_staged(self, table: Table, rows: Sequence[Sequence[Any]]) -> int:
        staging = f"staging_{table.name}"
        await self._connection.execute(f"CREATE TEMPORARY TABLE {staging} (LIKE {table.name}) ON COMMIT DROP")
        await self._connection.copy_records_to_table(staging, records=rows)
        insert = f"INSERT INTO {table.name} SELECT * FROM {staging} ON CONFLICT DO NOTHING"
        status = await self._connection.execute(insert)
        await self._connection.execute(f"DROP TABLE {staging}")
        return int(status.split()[-1])

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
