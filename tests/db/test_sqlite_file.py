"""One file, opened by several at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from db import sqlite_file
from db.pool_events.store import PoolEventsStore
from db.store import Store


async def open_jobs(url: str) -> Store:
    return await Store.open(url, create=True)


async def open_events(url: str) -> PoolEventsStore:
    return await PoolEventsStore.create(url, chain_id=8453)


@pytest.mark.parametrize("open_store", [open_jobs, open_events])
async def test_a_new_file_that_another_switches_to_wal_is_waited_for(
    open_store: Callable[[str], Awaitable[Store | PoolEventsStore]], tmp_path: Path
) -> None:
    holder = sqlite3.connect(tmp_path / "new.sqlite3", isolation_level=None, timeout=0)
    other = sqlite3.connect(tmp_path / "new.sqlite3", isolation_level=None, timeout=20)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("PRAGMA journal_mode = WAL")  # at once, whatever its timeout
    other.close()
    asyncio.get_running_loop().call_later(0.05, holder.close)
    async with await open_store(f"sqlite:///{tmp_path}/new.sqlite3"):
        pass


async def test_only_a_busy_file_is_tried_again_and_not_for_ever(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "held.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    other = sqlite3.connect(tmp_path / "held.sqlite3", isolation_level=None, timeout=0)
    attempts: list[str] = []

    async def attempt(sql: str) -> None:
        attempts.append(sql)
        other.execute(sql)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await sqlite_file.switch_to_wal(lambda: attempt("PRAGMA journal_mode = WAL"), within_s=0.05)
    assert len(attempts) > 1
    attempts.clear()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await sqlite_file.switch_to_wal(lambda: attempt("SELECT 1 FROM missing"), within_s=10)
    assert len(attempts) == 1
    other.close()
    holder.close()
