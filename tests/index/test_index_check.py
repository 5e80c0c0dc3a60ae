from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool
from support.indexing import execute, index, live, rows

from db.pool_events.store import PoolEventsStore
from tideline.index_check import PoolCheck, check_pool
from tideline.index_replay import Gap, Verified

ALL = "chain_id = $1"


async def check(url: str, pool: str) -> PoolCheck:
    async with await PoolEventsStore.open(url) as store:
        return await check_pool(store, pool)


async def test_a_missing_swap_is_found_at_the_swap_after_it(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    await index(chain, database_url, 0)
    swaps = sorted((int(row[2]), int(row[4])) for row in (await rows(database_url, "swaps"))["swaps"])
    gone, after = swaps[4], swaps[5]
    await execute(database_url, "DELETE FROM swaps WHERE block_number = $1 AND log_index = $2", *gone)
    found = await check(database_url, chain.pool)
    assert found.gap == Gap("missed_or_foreign_swap", *after)
    assert found.verified.swaps_replayed == 4


async def swap_places(url: str) -> list[tuple[int, int]]:
    return sorted((int(row[2]), int(row[4])) for row in (await rows(url, "swaps"))["swaps"])


async def test_without_any_snapshot_swaps_are_replayed_on_the_liquidity_that_events_tell_of(
    chain: AnvilPool, database_url: str
) -> None:
    await live(chain)
    await index(chain, database_url, 4)  # the mints of the beginning are not in it
    await execute(database_url, f"DELETE FROM snapshots WHERE {ALL}", CHAIN_ID)
    whole = await check(database_url, chain.pool)
    assert (whole.gap, whole.events["swaps"]) == (None, 12)
    assert whole.verified == Verified(swaps_inferred=11, changes_priced=6)
    assert (whole.swaps_unchecked, whole.checked_percent) == (1, 91.66)
    places = await swap_places(database_url)
    await execute(database_url, "DELETE FROM swaps WHERE block_number = $1 AND log_index = $2", *places[6])
    found = await check(database_url, chain.pool)
    assert found.gap is not None and (found.gap.block, found.gap.log_index) in places[7:8]


async def test_a_snapshot_at_the_end_alone_leads_back_to_the_beginning(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 4)
    await execute(database_url, f"DELETE FROM snapshots WHERE {ALL} AND block_number < $2", CHAIN_ID, head)
    whole = await check(database_url, chain.pool)
    assert whole.gap is None
    assert whole.verified == Verified(swaps_inferred=11, changes_priced=6, snapshots_met=1)
    places = await swap_places(database_url)
    await execute(database_url, "DELETE FROM swaps WHERE block_number = $1 AND log_index = $2", *places[-1])
    assert (await check(database_url, chain.pool)).gap == Gap("snapshot_differs_in_sqrt_price_x96", head)
    await execute(database_url, "DELETE FROM mints WHERE block_number > $1", places[3][0])
    found = (await check(database_url, chain.pool)).gap
    assert found is not None and found.kind in ("contradictory_liquidity", "snapshot_differs_in_ticks")


async def test_a_missing_mint_is_found_where_a_swap_or_a_snapshot_meets_it(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    await chain.mint(6000, 6060, 77)  # where no swap ever comes: only a snapshot can tell
    await chain.mine()
    head = (await chain.head()).number
    await index(chain, database_url, 0)
    await execute(database_url, "DELETE FROM mints WHERE tick_lower = 6000")
    assert (await check(database_url, chain.pool)).gap == Gap("snapshot_differs_in_ticks", head)
    await execute(database_url, "DELETE FROM mints WHERE tick_lower = -600")
    found = await check(database_url, chain.pool)
    assert found.gap is not None and found.gap.kind == "missed_liquidity" and found.gap.log_index is not None


async def test_a_missing_burn_is_impossible_later(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    await index(chain, database_url, 0)
    await execute(database_url, "DELETE FROM burns")
    found = await check(database_url, chain.pool)
    assert found.gap is not None and found.gap.kind == "missed_liquidity"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM blocks WHERE number = $1", "missing_block"),
        ("UPDATE blocks SET parent_hash = block_hash WHERE number = $1", "broken_chain"),
        ("UPDATE swaps SET block_hash = tx_hash WHERE block_number = $1", "event_of_another_block"),
    ],
)
async def test_blocks_must_follow_each_other_and_hold_their_events(
    chain: AnvilPool, database_url: str, statement: str, kind: str
) -> None:
    await live(chain)
    await index(chain, database_url, 0)
    swaps = (await rows(database_url, "swaps"))["swaps"]
    block = int(swaps[0][2])
    await execute(database_url, statement, block)
    found = await check(database_url, chain.pool)
    assert found.gap is not None and (found.gap.kind, found.gap.block) == (kind, block)


async def test_blocks_missing_at_the_end_of_a_range_are_found(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 0)
    await execute(database_url, "DELETE FROM blocks WHERE number >= $1", head - 1)
    await execute(database_url, "DELETE FROM swaps")
    assert (await check(database_url, chain.pool)).gap == Gap("missing_block", head - 1)


async def test_what_lies_between_two_ranges_is_a_gap(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 0, 3)
    await index(chain, database_url, 6, head)
    found = await check(database_url, chain.pool)
    assert (found.gap, found.blocks) == (Gap("not_indexed", 4), head - 1)


async def test_a_snapshot_of_a_block_that_is_not_there_any_more_is_found(chain: AnvilPool, tmp_path: Path) -> None:
    await live(chain)
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    head = (await chain.head()).number
    await index(chain, url, head - 3)
    [first, last] = (await rows(url, "snapshots"))["snapshots"]
    body = json.dumps({**json.loads(str(last[4])), "block_hash": "0x00"})
    await execute(url, "UPDATE snapshots SET body = $1 WHERE block_number = $2", body, head)
    assert (await check(url, chain.pool)).gap == Gap("snapshot_of_another_block", head)
    await execute(url, "UPDATE snapshots SET body = $1 WHERE block_number = $2", last[4], head)
    body = json.dumps({**json.loads(str(first[4])), "block_hash": "0x00"})
    await execute(url, "UPDATE snapshots SET body = $1 WHERE block_number = $2", body, first[2])
    assert (await check(url, chain.pool)).gap == Gap("broken_chain", head - 3)


async def test_a_pool_of_which_nothing_is_indexed_is_not_whole(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    async with await PoolEventsStore.create(url, chain_id=CHAIN_ID):
        pass
    assert (await check(url, "0x" + "11" * 20)).gap == Gap("not_indexed", 0)
