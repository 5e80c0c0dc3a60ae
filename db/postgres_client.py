"""Tortoise's asyncpg client with transactions that give their connection back when they cannot begin."""

from __future__ import annotations

from typing import Any

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections

from db.url import DatabaseUrl


class PostgresDatabase(AsyncpgDBClient):
    """A pool of connections."""

    def _in_transaction(self) -> TransactionContext:
        return _PooledTransaction(TransactionWrapper(self), self._pool_init_lock)


class _PooledTransaction(TransactionContextPooled):
    __slots__ = ()

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        pool = self.client._parent._pool
        self.client._connection = await pool.acquire()
        try:
            await self.client.begin()
        except BaseException:
            await pool.release(self.client._connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client


client_class = PostgresDatabase


def settings(url: DatabaseUrl, *, busy_timeout_ms: int) -> dict[str, Any]:
    """Return what Tortoise needs to connect to this server."""
    credentials = {
        "host": url.host,
        "port": url.port,
        "user": url.user,
        "password": url.password,
        "database": url.database,
        "ssl": url.sslmode,
        "minsize": 1,
        "maxsize": url.pool_size,
        "timeout": 10,
        "command_timeout": 60,
        "application_name": "tideline",
        "server_settings": {"lock_timeout": str(busy_timeout_ms), "synchronous_commit": "on"},
    }
    return {"engine": __name__, "credentials": credentials}
