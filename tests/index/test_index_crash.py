"""kill -9 at any point costs nothing but time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import support.crashing_index
from support.anvil_pool import AnvilPool
from support.indexing import index, live, rows
from support.processes import start, tideline

from db.pool_events.records import BlockRange
from db.pool_events.store import PoolEventsStore
from tideline.index_check import check_pool

BATCHES = ((1, 26), (26, 30), (30, 35), (35, 40))


async def test_a_process_killed_at_any_use_of_the_database_leaves_whole_stretches(
    chain: AnvilPool, database_url: str, tmp_path: Path
) -> None:
    await live(chain)
    head = (await chain.head()).number
    whole = f"sqlite:///{tmp_path}/whole.sqlite3"
    await index(chain, whole, 0)
    script = Path(support.crashing_index.__file__)
    root = script.parent.parent
    paths = {**os.environ, "PYTHONPATH": f"{root}:{root.parent}"}
    reached = []
    for uses in BATCHES:
        arguments = (database_url, chain.anvil.url, chain.pool, *map(str, (head, *uses)))
        process = await asyncio.create_subprocess_exec(sys.executable, script, *arguments, env=paths)
        assert await process.wait() == 0
        async with await PoolEventsStore.open(database_url) as store:
            covered = (*await store.coverage(chain.pool), BlockRange(0, -1))[0]
            assert covered == BlockRange(0, -1) or (await check_pool(store, chain.pool)).gap is None
        reached.append(covered.last)
        expected = await rows(whole)
        for table, place in (("blocks", 1), ("swaps", 2), ("mints", 2), ("burns", 2), ("collects", 2)):
            until = [row for row in expected[table] if int(row[place]) <= covered.last]
            assert (await rows(database_url, table))[table] == until, "nothing above what is covered, all below it"
    assert reached == sorted(reached) and -1 < reached[1] < reached[2] <= head, reached
    await index(chain, database_url, 0, head)
    found, expected = await rows(database_url), await rows(whole)
    places = {name: {row[2] for row in each.pop("snapshots")} for name, each in (("f", found), ("e", expected))}
    assert found == expected and places["e"] <= places["f"]


async def test_the_command_killed_again_and_again_ends_with_the_same_rows(chain: AnvilPool, tmp_path: Path) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, f"sqlite:///{tmp_path}/whole.sqlite3", 0)
    command = ("index", "--pool", chain.pool, "--rpc", chain.anvil.url, "--from-block", "0", "--most-blocks", "1")
    reached = []
    for _ in range(2):
        with start(tmp_path, *command) as process:
            line = await asyncio.to_thread(process.until, "block ")
            process.signal(signal.SIGKILL)
            reached.append(int(line.split("block ")[1].split(",")[0]))
    assert reached == sorted(reached) and reached[-1] <= head
    done = await asyncio.to_thread(tideline, tmp_path, *command)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    url = f"sqlite:///{tmp_path}/.tideline/events.sqlite3"
    found, whole = await rows(url), await rows(f"sqlite:///{tmp_path}/whole.sqlite3")
    assert {**found, "snapshots": []} == {**whole, "snapshots": []}
    again = await asyncio.to_thread(tideline, tmp_path, *command)
    assert "everything was there already" in again.stderr
