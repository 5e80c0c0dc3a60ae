from __future__ import annotations

import asyncio
import inspect
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.postgres import PostgresServer
from support.rows import add_up, make_finish, make_job, make_score, open_round

from db.job import Job
from db.store import Store
from protocol.errors import ConfigError, StoreError


async def test_two_databases_in_one_process(tmp_path: Path, postgres_server: PostgresServer) -> None:
    urls = [
        f"sqlite:///{tmp_path}/a.sqlite3",
        await postgres_server.create_database(),
        f"sqlite:///{tmp_path}/b.sqlite3",
        await postgres_server.create_database(),
    ]
    stores = [await Store.open(url, create=True) for url in urls]

    async def use(store: Store, n: int) -> None:
        for number in range(1, 6):
            start = await open_round(store, number, job_id=f"job{n}")
            await store.finish_round(make_finish(start, make_score("alice", n)), add_up)

    await asyncio.gather(*(use(store, n) for n, store in enumerate(stores, start=1)))
    for n, store in enumerate(stores, start=1):
        jobs = await store.list_jobs()
        assert [(job.job_id, job.is_active) for job in jobs] == [(f"job{n}", True)]
        assert [miner.evaluation_e18 for miner in await store.reputations(f"job{n}")] == [5 * n]
        await store.close()


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.list_jobs()
    with pytest.raises(StoreError, match="closed"):
        await store.add_job(make_job())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///{tmp}/none.sqlite3", "there is no database"),
        ("sqlite:///{tmp}", "is a directory"),
        ("sqlite:///{tmp}/text", "not an SQLite database"),
        ("sqlite:///{tmp}/empty", "not a Tideline database"),
        ("postgres://tideline@127.0.0.1:1/jobs", "cannot open the database"),
        ("mysql://h/jobs", "unknown database scheme"),
    ],
)
async def test_what_cannot_be_opened(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match=message) as caught:
        await Store.open(url.format(tmp=tmp_path), create=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "none.sqlite3").exists()


@pytest.mark.parametrize("create", [True, False])
async def test_somebody_elses_file_is_refused_untouched(tmp_path: Path, create: bool) -> None:  # noqa: FBT001 - a table
    path = tmp_path / "theirs.sqlite3"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE jobs (x)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"not Tideline's \(it has a table jobs\)"):
        await Store.open(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["theirs.sqlite3"]


def test_a_file_that_cannot_be_made_takes_one_line_and_leaves_no_thread_behind() -> None:
    """A connection that failed to open used to answer, on its own thread, to a loop that was gone."""
    command = [sys.executable, "-m", "tideline", "jobs", "migrate", "--db", "sqlite:////proc/jobs.sqlite3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tideline: cannot open the database /proc/jobs.sqlite3: unable to open database file\n"


async def test_an_unknown_postgres_database(postgres_server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="cannot open the database"):
        await Store.open(postgres_server.url("nowhere"), create=True)


async def test_one_missing_folder_is_made_and_no_more(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/new/jobs.sqlite3", create=True):
        assert (tmp_path / "new" / "jobs.sqlite3").exists()
    with pytest.raises(ConfigError, match="does not exist"):
        await Store.open(f"sqlite:///{tmp_path}/x/y/jobs.sqlite3", create=True)
    assert not (tmp_path / "x").exists()


async def test_a_locked_database_is_said_in_one_line_and_then_works(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite3"
    async with await Store.open(url, create=True, busy_timeout_ms=20) as store:
        holder = sqlite3.connect(tmp_path / "jobs.sqlite3", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked by another process") as caught:
            await store.add_job(make_job())
        assert "\n" not in str(caught.value)
        async with await Store.open(url, create=True, busy_timeout_ms=20):
            pass  # there is nothing to write
        assert await store.list_jobs() == []  # reading goes on
        holder.execute("ROLLBACK")
        holder.close()
        await store.add_job(make_job())


async def test_a_locked_new_file_is_said_in_one_line(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "jobs.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigError, match="locked by another process"):
        await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True, busy_timeout_ms=20)
    waiting = asyncio.create_task(Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True))
    holder.execute("ROLLBACK")
    holder.close()
    await (await waiting).close()


async def test_sqlite_is_durable(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as store:
        context = store._context
        assert context is not None
        found = {}
        for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
            (row,) = await store._in_scope(lambda: context.db("sqlite").execute_query_dict(f"PRAGMA {pragma}"))  # noqa: B023  # awaited at once
            found[pragma] = next(iter(row.values()))
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


async def test_a_restarted_postgres_costs_one_error(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create_database()
    async with await Store.open(url, create=True) as store:
        context = store._context
        assert context is not None
        for _ in range(12):  # more often than the pool has connections
            with pytest.raises(StoreError):
                await store._in_scope(
                    lambda: context.db("postgres").execute_query("SELECT pg_terminate_backend(pg_backend_pid())")
                )
        await store.add_job(make_job())


async def test_every_connection_cut_leaves_the_pool_usable(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create_database()
    async with await Store.open(url, create=True) as store:
        await asyncio.gather(*(store.list_jobs() for _ in range(10)))
        for n in range(8):
            async with await Store.open(url, create=False) as other:
                context = other._context
                assert context is not None
                await other._in_scope(
                    lambda: context.db("postgres").execute_query(  # noqa: B023  # awaited at once
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            results = await asyncio.gather(
                *(store.add_job(make_job(f"j{n}-{m}")) for m in range(8)), return_exceptions=True
            )
            assert [result for result in results if not isinstance(result, StoreError | Job)] == []
        await store.add_job(make_job("after"))


def test_every_write_has_a_docstring() -> None:
    methods = [value for name, value in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")]
    assert all(method.__doc__ for method in methods)
