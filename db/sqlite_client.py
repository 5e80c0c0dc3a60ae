"""Tortoise's SQLite client with transactions that hold under contention.

A transaction takes the write lock when it begins: one that starts by reading and writes later would fail as soon as
another process wrote in between. Where beginning or committing fails, the lock is given back, so that one failure does
not block every later call.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.connection import get_connections

from db import sqlite_file
from db.url import DatabaseUrl


class SqliteDatabase(SqliteClient):
    """One connection in WAL mode; a commit is on the disk when it returns."""

    async def create_connection(self, with_db: bool) -> None:  # noqa: FBT001  # Tortoise's signature
        create = super().create_connection

        async def switch() -> None:
            try:
                await create(with_db)
            except sqlite3.OperationalError:
                await self.close()
                raise

        await sqlite_file.switch_to_wal(switch, within_s=self.pragmas["busy_timeout"] / 1000)

    def _in_transaction(self) -> TransactionContext:
        return _ImmediateTransaction(_TransactionClient(self), self._lock)


class _TransactionClient(SqliteTransactionWrapper):
    @translate_exceptions
    async def execute_script(self, query: str) -> None:
        # sqlite3.executescript would commit the transaction first.
        statement = ""
        async with self.acquire_connection() as connection:
            for part in query.split(";"):
                statement += part + ";"
                if sqlite3.complete_statement(statement):
                    await connection.execute(statement)
                    statement = ""


class _ImmediateTransaction(SqliteTransactionContext):
    __slots__ = ()

    async def __aenter__(self) -> TransactionalDBClient:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            await self._begin()
        except BaseException:
            self._trxlock.release()
            raise
        self.token = get_connections().set(self.connection_name, self.connection)
        client: TransactionalDBClient = self.connection
        return client

    async def _begin(self) -> None:
        connection = self.connection._connection
        try:
            await connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            # If we were cancelled, the connection's thread begins all the same; the rollback queues up behind it.
            await connection.rollback()
            raise

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        connection = self.connection._connection
        try:
            if exc_type is not None:
                await connection.rollback()
                return
            try:
                await connection.commit()
            except BaseException:
                await connection.rollback()  # a full disk leaves the transaction open
                raise
        finally:
            get_connections().reset(self.token)
            self._trxlock.release()


client_class = SqliteDatabase


def settings(url: DatabaseUrl, *, busy_timeout_ms: int) -> dict[str, Any]:
    """Return what Tortoise needs to open this file."""
    credentials = {
        "file_path": url.path,
        "busy_timeout": busy_timeout_ms,  # first: the switch to WAL must already wait for its turn
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "foreign_keys": "ON",
    }
    return {"engine": __name__, "credentials": credentials}
