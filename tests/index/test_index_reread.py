"""What no replay can tell, a node can: every stored row is held against what it tells now."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool
from support.indexing import execute, index, live, rows
from support.processes import tideline

from db.pool_events.store import PoolEventsStore
from simulator.chain.endpoints import Endpoints
from simulator.chain.history import PoolHistory
from tideline.index_check import PoolCheck, check_pool
from tideline.index_replay import Gap
from tideline.index_reread import reread
from tideline.indexer import Fact, Indexed


async def check(chain: AnvilPool, url: str) -> tuple[Gap | None, PoolCheck]:
    """Return what the replay alone finds, and the whole check."""
    async with await PoolEventsStore.open(url) as store:
        found = await check_pool(store, chain.pool)
        alone = found.gap
        endpoints = Endpoints({"node": chain.rpc}, chain_id=CHAIN_ID)
        facts = list[Fact]()
        await reread(store, PoolHistory(endpoints, chain.pool, deadline_s=10, most_blocks=5), found, facts.append)
        assert sum(fact.events for fact in facts if isinstance(fact, Indexed)) >= found.logs_reread
        return alone, found


async def test_what_the_node_still_tells_is_whole(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 0)
    alone, found = await check(chain, database_url)
    events = sum(found.events.values())
    assert (alone, found.gap, found.blocks_reread, found.logs_reread) == (None, None, head + 1, events)


CHANGES = {
    "somebody else collected": "UPDATE collects SET recipient = owner WHERE block_number = $1",
    "a unit less was collected": "UPDATE collects SET amount0 = '1' WHERE block_number = $1",
    "nothing was collected": "DELETE FROM collects WHERE block_number = $1",
    "another transaction": "UPDATE collects SET tx_index = tx_index + 1 WHERE block_number = $1",
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_row_that_no_replay_needs_is_held_against_the_node(
    chain: AnvilPool, database_url: str, name: str
) -> None:
    await live(chain)
    await index(chain, database_url, 0)
    [collect] = (await rows(database_url, "collects"))["collects"]
    block, log_index = int(collect[2]), int(collect[4])
    statement = CHANGES[name] if "postgres" not in database_url else CHANGES[name].replace("'1'", "1")
    await execute(database_url, statement, block)
    alone, found = await check(chain, database_url)
    assert (alone, found.gap) == (None, Gap("another_log_on_the_chain", block, log_index))


async def test_a_block_that_was_taken_back_since_is_told(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 0)
    await chain.reorg(2)
    alone, found = await check(chain, database_url)
    assert (alone, found.gap) == (None, Gap("another_block_on_the_chain", head - 1))


async def test_the_command_compares_with_the_nodes_that_it_is_given(chain: AnvilPool, tmp_path: Path) -> None:
    await live(chain)
    await index(chain, url := f"sqlite:///{tmp_path}/events.sqlite3", 0)
    command = ("index", "check", "--database", url)

    async def run(*options: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(tideline, tmp_path, *command, *options)
        return done.returncode, done.stdout, done.stderr

    await execute(url, "UPDATE collects SET recipient = owner")
    code, out, _ = await run()
    assert (code, json.loads(out)["pools"][0]["blocks_reread"]) == (0, 0)
    code, out, err = await run("--rpc", chain.anvil.url)
    assert (code, json.loads(out)["pools"][0]["gap"]["kind"]) == (1, "another_log_on_the_chain")
    assert err.splitlines()[-1].startswith("WETH/WETH  read again: block ")
    assert await run("--rpc", "nonsense") == (2, "", "tideline: --rpc number 1 is not an http:// or https:// URL\n")
    assert (await run("--quorum", "2"))[0] == 2
    await execute(url, "UPDATE pool_events_database SET chain_id = 5")
    for table in ("pools", "coverage"):
        await execute(url, f"UPDATE {table} SET chain_id = 5")
    code, out, err = await run("--rpc", chain.anvil.url)
    assert (code, out, err) == (2, "", f"tideline: the database holds chain 5, the RPC is on {CHAIN_ID}\n")


async def test_the_row_that_is_missing_is_named_where_the_replay_only_sees_what_follows(
    chain: AnvilPool, database_url: str
) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 0)
    *_, before, last = sorted((int(row[2]), int(row[4])) for row in (await rows(database_url, "swaps"))["swaps"])
    for gone, seen in ((last, Gap("snapshot_differs_in_sqrt_price_x96", head)), (before, Gap("", *last))):
        await execute(database_url, "DELETE FROM swaps WHERE block_number = $1 AND log_index = $2", *gone)
        alone, found = await check(chain, database_url)
        assert alone is not None and (alone.block, alone.kind) == (seen.block, seen.kind or alone.kind)
        assert found.gap == Gap("another_log_on_the_chain", *gone)
