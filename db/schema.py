"""Bringing a database to the schema of this code, and refusing one that is not ours to touch."""

from __future__ import annotations

import pkgutil
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.schema_editor import AsyncpgSchemaEditor, SqliteSchemaEditor
from tortoise.transactions import in_transaction

from db import migrations
from db.models import APP
from db.url import DatabaseUrl, Dialect
from protocol.errors import ConfigError

_MIGRATION_LOCK = 0x7469_6465  # any fixed number, the same in every process of ours
RECORDS = "tortoise_migrations"


def known_migrations() -> list[str]:
    """Return the migrations of this code, oldest first."""
    return sorted(module.name for module in pkgutil.iter_modules(migrations.__path__))


async def migrate(client: BaseDBAsyncClient, url: DatabaseUrl, apps: dict[str, dict[str, Any]]) -> None:
    """Apply what is missing, in one transaction: a killed or a second migrating process leaves all of it or nothing."""
    if await _applied(client, url.dialect) == known_migrations():
        return  # without waiting for anybody
    async with in_transaction(client.connection_name) as client:
        if url.dialect == "postgres":
            await client.execute_query(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        applied = await _applied(client, url.dialect)
        _refuse_newer(applied, url)
        if applied == known_migrations():
            return
        if not applied and await _has_table(client, url.dialect, "jobs"):
            raise ConfigError(f"the database {url.shown} has a table jobs that is not Tideline's; choose another")
        executor = MigrationExecutor(client, apps)
        editor = AsyncpgSchemaEditor(client) if url.dialect == "postgres" else SqliteSchemaEditor(client)
        # Before anything else: on PostgreSQL a look at a missing table of records would end the transaction.
        await executor.recorder.ensure_schema(editor)
        await executor.migrate(direction="forward")


async def check(client: BaseDBAsyncClient, url: DatabaseUrl) -> None:
    """Raise ConfigError unless the database has exactly the schema of this code."""
    applied = await _applied(client, url.dialect)
    if not applied:
        raise ConfigError(f"{url.shown} is not a Tideline database; create one with: tideline jobs migrate")
    _refuse_newer(applied, url)
    if applied != known_migrations():
        raise ConfigError(f"the database {url.shown} is older than this Tideline; run: tideline jobs migrate")


def _refuse_newer(applied: list[str], url: DatabaseUrl) -> None:
    unknown = [name for name in applied if name not in known_migrations()]
    if unknown:
        raise ConfigError(
            f"the database {url.shown} is newer than this Tideline (it has {unknown[-1]}); upgrade Tideline"
        )


async def _applied(client: BaseDBAsyncClient, dialect: Dialect) -> list[str]:
    if not await _has_table(client, dialect, RECORDS):
        return []
    _, rows = await client.execute_query(f"SELECT name FROM {RECORDS} WHERE app = '{APP}'")
    return sorted(row["name"] for row in rows)


async def _has_table(client: BaseDBAsyncClient, dialect: Dialect, table: str) -> bool:
    if dialect == "sqlite":
        query = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{table}'"
    else:
        # Not to_regclass: inside a transaction it may remember that a table did not exist before.
        query = f"SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = '{table}'"
    _, rows = await client.execute_query(query)
    return bool(rows)
