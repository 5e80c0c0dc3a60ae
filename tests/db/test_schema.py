from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest
from support.rows import PAIR, make_execution, make_job, open_round
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from db.schema import known_migrations
from db.store import Store
from db.tables import TABLES, TORTOISE_ORM
from db.url import parse_database_url
from protocol.errors import ConfigError


async def execute(url: str, statement: str) -> None:
    """Run one statement behind the store's back."""
    parsed = parse_database_url(url)
    if parsed.dialect == "sqlite":
        with sqlite3.connect(parsed.path) as file:
            file.execute(statement)
        file.close()
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def columns(url: str) -> dict[tuple[str, str], str]:
    """Return the type of every column of ours, as the database tells it."""
    parsed = parse_database_url(url)
    tables = {model._meta.db_table for model in TABLES[parsed.dialect].models()}
    if parsed.dialect == "sqlite":
        file = sqlite3.connect(parsed.path)
        found = {(table, row[1]): row[2] for table in tables for row in file.execute(f"PRAGMA table_info({table})")}
        file.close()
        return found
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale"
            " FROM information_schema.columns WHERE table_name = ANY($1)",
            list(tables),
        )
    finally:
        await connection.close()
    return {(row["table_name"], row["column_name"]): str(tuple(row)[2:]) for row in rows}


async def test_migrations_equal_the_models() -> None:
    context = TortoiseContext()
    async with context:
        await context.init(config=TORTOISE_ORM, init_connections=False)
        assert context.apps is not None
        assert await MigrationAutodetector(context.apps, TORTOISE_ORM["apps"]).changes() == []


async def test_a_migrated_database_equals_a_generated_one(store: Store, database_url: str, tmp_path: Path) -> None:
    migrated = await columns(database_url)
    expected = {
        (model._meta.db_table, column): field.get_for_dialect(parse_database_url(database_url).dialect, "SQL_TYPE")
        for model in store._tables.models()
        for name, column in model._meta.fields_db_projection.items()
        for field in (model._meta.fields_map[name],)
    }
    assert set(migrated) == set(expected)
    for key, kind in migrated.items():
        if "NUMERIC(78,0)" in expected[key]:
            assert "'numeric', None, 78, 0" in kind
        elif parse_database_url(database_url).dialect == "sqlite":
            assert kind in (expected[key], "INTEGER")  # a generated key is an INTEGER


async def test_opening_twice_changes_nothing(store: Store, database_url: str) -> None:
    await store.add_job(make_job())
    async with await Store.open(database_url, create=True) as again:
        assert await again.list_jobs() == await store.list_jobs()


async def test_many_may_create_at_once(database_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(database_url, create=True) for _ in range(8)))
    assert [await store.list_jobs() for store in stores] == [[]] * 8
    for store in stores:
        await store.close()


async def test_a_newer_database_is_refused(store: Store, database_url: str) -> None:
    await execute(
        database_url,
        "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('tideline', '9999_later', '2030-01-01')",
    )
    for create in (True, False):
        with pytest.raises(ConfigError, match="newer than this Tideline"):
            await Store.open(database_url, create=create)


async def test_an_older_database_is_refused_until_migrated(store: Store, database_url: str) -> None:
    await execute(database_url, "DELETE FROM tortoise_migrations")
    with pytest.raises(ConfigError, match="not a Tideline database"):
        await Store.open(database_url, create=False)


async def test_what_was_written_before_intents_were_signed_is_kept(store: Store, database_url: str) -> None:
    start = await open_round(store, 1, round_type="live")
    done = make_execution(start, mode="chain", status="reconciled", tx_hash="0x" + "22" * 32)
    kept = [await store.add_execution(e) for e in (done, make_execution(start, 1, mode="chain", status="planned"))]
    for column in ("decided_block", "decided_hash", "validator_hotkey", "signature"):
        await execute(database_url, f"ALTER TABLE live_executions DROP COLUMN {column}")
    await execute(database_url, "DELETE FROM tortoise_migrations WHERE name = '0004_signed_intents'")
    with pytest.raises(ConfigError, match="older than this Tideline; run: tideline jobs migrate"):
        await Store.open(database_url, create=False)
    async with await Store.open(database_url, create=True) as migrated:
        assert await migrated.round_executions(start.round_id) == kept
        assert [e.signed_intent(PAIR) for e in kept] == [None, None], "an executor refuses what nobody signed"


async def test_a_foreign_database_is_left_alone(database_url: str) -> None:
    await execute(database_url, "CREATE TABLE jobs (name TEXT)")
    with pytest.raises(ConfigError, match="not Tideline's"):
        await Store.open(database_url, create=True)
    with pytest.raises(ConfigError, match=r"not (a Tideline database|Tideline's)"):
        await Store.open(database_url, create=False)


async def test_a_failing_migration_leaves_an_empty_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tortoise.migrations.recorder import MigrationRecorder

    async def fail(self: MigrationRecorder, app: str, name: str) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patch:
        # The record of a migration is the last thing written: what was made before must go with it.
        patch.setattr(MigrationRecorder, "record_applied", fail)
        with pytest.raises(ConfigError, match="the power went"):
            await Store.open(database_url, create=True)
    assert await columns(database_url) == {}
    async with await Store.open(database_url, create=True) as store:
        assert await store.list_jobs() == []


def test_migrations_are_numbered() -> None:
    assert [name[:4] for name in known_migrations()] == [f"{n:04d}" for n in range(1, len(known_migrations()) + 1)]
