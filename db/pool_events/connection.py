"""The port to a database that holds pool events, and how one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from db.failures import DRIVER_FAILURES, one_line
from db.pool_events.postgres import PostgresConnection
from db.pool_events.schema import Table
from db.pool_events.sqlite import SqliteConnection
from db.url import DatabaseUrl
from protocol.errors import ConfigError

Row = Sequence[Any]


class Connection(Protocol):
    """One connection, used by one task at a time. SQL names its values $1, $2 … on both databases."""

    def transaction(self, *, write: bool) -> AbstractAsyncContextManager[None]:
        """Hold one view of the data; with `write`, nobody else writes meanwhile, and an error takes everything back."""

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        """Return the rows of a query."""

    async def execute(self, sql: str, *values: Any) -> None:
        """Run a statement."""

    async def insert(self, table: Table, rows: Sequence[Row]) -> int:
        """Add those of the rows whose key is not there yet, in the order of the table's columns; return how many."""

    async def close(self) -> None:
        """Release the connection. Idempotent."""


async def connect(url: DatabaseUrl, *, read_only: bool) -> Connection:
    """Open a database; a writer makes a file that is not there. Raises ConfigError where it does not let us in."""
    try:
        if url.dialect == "sqlite":
            return await SqliteConnection.open(url, read_only=read_only)
        return await PostgresConnection.open(url, read_only=read_only)
    except DRIVER_FAILURES as error:
        raise ConfigError(f"cannot open the database {url.shown}: {one_line(error)}") from error
