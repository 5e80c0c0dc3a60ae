from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool
from support.faulty_proxy import Response, faulty_proxy
from support.indexing import Indexing, index, live, rows, trade

from db.pool_events.records import BlockRange
from db.pool_events.store import PoolEventsStore
from protocol.errors import ChainError, ConfigError, SimulationError
from simulator.chain.abi import signed
from simulator.chain.rpc import HttpRpc
from tideline.index_check import check_pool
from tideline.indexer import Delayed, Indexed, Indexer, Rewound, Unseen, missing
from tideline.pool_events import IndexedEvents

Json = dict[str, Any]


async def test_a_pools_whole_life_is_indexed_and_played_again_to_the_last_tick(
    chain: AnvilPool, database_url: str
) -> None:
    await live(chain)
    await index(chain, database_url, 0)
    head = await chain.head()
    found = await rows(database_url)
    counts = {name: len(found[name]) for name in ("swaps", "mints", "burns", "collects", "flashes")}
    assert counts == {"swaps": 12, "mints": 5, "burns": 3, "collects": 1, "flashes": 1}
    assert found["coverage"] == [(CHAIN_ID, chain.pool, 0, head.number)]
    assert [row[7:] for row in found["fee_protocol_changes"]] == [(0, 0, 4, 10)]
    reader = await IndexedEvents.open(database_url)
    market = await reader.market(chain.pool)
    birth = market.head
    assert (await market.open_round(head.number - birth)).liquidity == 0, "from the pool's birth, not from a state read"
    await market.seek(head.number)
    played = market.snapshot()
    slot0, [liquidity] = await chain.call(chain.pool, "slot0()"), await chain.call(chain.pool, "liquidity()")
    growth = [(await chain.call(chain.pool, f"feeGrowthGlobal{token}X128()"))[0] for token in (0, 1)]
    assert (played.block_hash, played.sqrt_price_x96, played.tick) == (head.block_hash, slot0[0], signed(slot0[1], 24))
    assert (played.liquidity, played.fee_protocol) == (liquidity, 4 + 16 * 10)
    assert [played.fee_growth_global_0_x128, played.fee_growth_global_1_x128] == growth
    with pytest.raises(ChainError, match="the index ends here"):
        await market.next_block()
    await market.close()
    async with await PoolEventsStore.open(database_url) as store:
        check = await check_pool(store, chain.pool)
    assert (check.gap, check.verified.swaps_replayed, check.verified.snapshots_met) == (None, 12, 1)


async def test_blocks_of_any_length_of_stretch_give_the_same_rows_and_nothing_is_written_twice(
    chain: AnvilPool, database_url: str, tmp_path: Any
) -> None:
    await live(chain)
    other = f"sqlite:///{tmp_path}/other.sqlite3"
    await index(chain, other, 0, most_blocks=3)
    await index(chain, database_url, 0)
    once = await rows(database_url)
    assert once == await rows(other), "the same on both databases, too"
    await index(chain, database_url, 0)
    await index(chain, database_url, 3, 9)
    assert await rows(database_url) == once


async def test_gaps_are_found_and_filled(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 2, 4)
    await index(chain, database_url, 7, 9)
    await index(chain, database_url, 12, 12)
    assert [row[2:] for row in (await rows(database_url))["coverage"]] == [(2, 4), (7, 9), (12, 12)]
    async with await PoolEventsStore.create(database_url, chain_id=CHAIN_ID) as store:
        indexing = await Indexing.over(chain, store)
        await indexing.indexer.fill(1, head)
        filled = [(fact.blocks.first, fact.blocks.last, fact.left) for fact in indexing.told(Indexed)]
        assert filled == [(1, 1, head - 8), (5, 6, head - 10), (10, 11, head - 12), (13, head, 0)]
        assert (await check_pool(store, chain.pool)).gap is None
    assert [row[2:] for row in (await rows(database_url))["coverage"]] == [(1, head)]


@pytest.mark.parametrize("depth", [1, 4])
async def test_rows_of_blocks_that_are_taken_back_go_and_those_in_their_stead_come(
    chain: AnvilPool, database_url: str, depth: int
) -> None:
    await live(chain)
    async with await PoolEventsStore.create(database_url, chain_id=CHAIN_ID) as store:
        indexing = await Indexing.over(chain, store, most_blocks=5)
        await indexing.indexer.fill(0, (await chain.head()).number)
        before = await rows(database_url)
        ancestor = (await chain.head()).number - depth
        await chain.reorg(depth)
        await chain.swap(True, 3 * 10**18)
        await chain.mine()
        await indexing.indexer.fill(0, (await chain.head()).number)
        assert indexing.told(Rewound) == [Rewound(ancestor, depth)]
        assert (await check_pool(store, chain.pool)).gap is None
    after = await rows(database_url)
    assert after["swaps"] != before["swaps"] and len(after["blocks"]) == len(before["blocks"]) + 1
    kept = [row for row in before["blocks"] if int(row[1]) <= ancestor]
    assert [row for row in after["blocks"] if int(row[1]) <= ancestor] == kept
    assert [row[2:] for row in after["coverage"]] == [(0, ancestor + depth + 1)]


async def test_a_chain_that_became_shorter_is_followed_down(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    point = await chain.ask("evm_snapshot")
    kept = (await chain.head()).number
    for step in range(6, 10):
        await trade(chain, step)
    async with await PoolEventsStore.create(database_url, chain_id=CHAIN_ID) as store:
        indexing = await Indexing.over(chain, store)
        await indexing.indexer.fill(0, kept + 4)
        await chain.ask("evm_revert", point)
        await chain.mine()
        await indexing.indexer.fill(0, kept + 1)
        assert indexing.told(Rewound) == [Rewound(kept, 4)]
        assert await store.coverage(chain.pool) == [BlockRange(0, kept + 1)]
        assert (await check_pool(store, chain.pool)).gap is None


async def test_a_gap_that_does_not_fit_what_lies_above_it_is_a_reorg_too(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, 2, 3)
    await index(chain, database_url, head - 2, head - 1)
    await chain.reorg(5)
    async with await PoolEventsStore.create(database_url, chain_id=CHAIN_ID) as store:
        indexing = await Indexing.over(chain, store)
        await indexing.indexer.fill(2, head - 4)  # up to where nothing is stored that could be compared
        assert indexing.told(Rewound) == []
        await indexing.indexer.fill(2, head - 3)
        assert indexing.told(Rewound) == [Rewound(head - 4, 2)]
        assert await store.coverage(chain.pool) == [BlockRange(2, head - 3)]


async def test_a_database_of_another_chain_with_the_same_id_is_left_alone(chain: AnvilPool, database_url: str) -> None:
    await live(chain)
    head = (await chain.head()).number
    await index(chain, database_url, head - 2, head)
    before = await rows(database_url)
    await chain.reorg(5)
    with pytest.raises(ConfigError, match=r"none of the last 3 blocks .* is on the chain of the RPC"):
        await index(chain, database_url, head - 2, head)
    assert await rows(database_url) == before


async def test_two_indexers_at_once_make_what_one_makes(chain: AnvilPool, database_url: str, tmp_path: Any) -> None:
    await live(chain)
    alone = f"sqlite:///{tmp_path}/alone.sqlite3"
    await index(chain, alone, 0, most_blocks=2)
    await asyncio.gather(*(index(chain, database_url, first, most_blocks=2) for first in (0, 0, 5)))
    shared = await rows(database_url)
    for table in ("snapshots",):  # each took those of its own way
        shared.pop(table), (expected := await rows(alone)).pop(table)
    assert shared == expected


def refuses(limit: int, message: str, *, code: int = -32005) -> Callable[[Json, Json], Any]:
    """A node that tells the logs of no more than so many blocks."""

    def fault(question: Json, answer: Json) -> Any:
        place = question["params"][0] if question["method"] == "eth_getLogs" else {}
        if "fromBlock" in place and int(place["toBlock"], 16) - int(place["fromBlock"], 16) + 1 > limit:
            return {"jsonrpc": "2.0", "id": question["id"], "error": {"code": code, "message": message}}
        return answer

    return fault


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("query returned more than 10000 results", -32005),
        ("block range is too wide", -32602),
        ("Log response size exceeded. this block range should work: [0x0, 0x1]", -32602),
        ("exceeded maximum block range: 3", -32000),
    ],
)
async def test_a_node_that_tells_of_few_blocks_at_once_is_asked_for_fewer(
    chain: AnvilPool, tmp_path: Any, message: str, code: int
) -> None:
    await live(chain)
    head = (await chain.head()).number
    url, whole = f"sqlite:///{tmp_path}/events.sqlite3", f"sqlite:///{tmp_path}/whole.sqlite3"
    await index(chain, whole, 0)
    async with faulty_proxy(chain.anvil.url) as proxy, await PoolEventsStore.create(url, chain_id=CHAIN_ID) as store:
        proxy.fault = refuses(3, message, code=code)
        rpc = HttpRpc(proxy.url)
        indexing = await Indexing.over(chain, store, rpc)
        await indexing.indexer.fill(0, head)
        await rpc.close()
    lengths = [fact.blocks.last - fact.blocks.first + 1 for fact in indexing.told(Indexed)]
    assert max(lengths) <= 3 and 3 in lengths and len(lengths) < head
    assert {**await rows(url), "snapshots": []} == {**await rows(whole), "snapshots": []}


async def test_logs_that_a_node_forgets_are_asked_for_by_their_block(chain: AnvilPool, tmp_path: Any) -> None:
    await live(chain)
    url, whole = f"sqlite:///{tmp_path}/events.sqlite3", f"sqlite:///{tmp_path}/whole.sqlite3"
    await index(chain, whole, 0)

    def forgets(question: Json, answer: Json) -> Any:
        is_range = question["method"] == "eth_getLogs" and "fromBlock" in question["params"][0]
        return {**answer, "result": answer["result"][:4]} if is_range else answer

    async with faulty_proxy(chain.anvil.url) as proxy, await PoolEventsStore.create(url, chain_id=CHAIN_ID) as store:
        proxy.fault = forgets
        rpc = HttpRpc(proxy.url)
        await (await Indexing.over(chain, store, rpc)).indexer.fill(0, (await chain.head()).number)
        await rpc.close()
    assert await rows(url) == await rows(whole)


async def test_an_endpoint_that_dies_or_lies_is_made_up_for_by_another(chain: AnvilPool, tmp_path: Any) -> None:
    await live(chain)
    url, whole = f"sqlite:///{tmp_path}/events.sqlite3", f"sqlite:///{tmp_path}/whole.sqlite3"
    await index(chain, whole, 0, most_blocks=4)
    asked = 0

    def dies(question: Json, answer: Json) -> Any:
        nonlocal asked
        asked += question["method"] == "eth_getLogs"
        if asked > 2:
            return Response(status=502)
        return (
            {**answer, "result": [{**log, "address": "0x" + "22" * 20} for log in answer["result"]]}
            if (question["method"] == "eth_getLogs" and asked == 2)
            else answer
        )

    async with faulty_proxy(chain.anvil.url) as proxy, await PoolEventsStore.create(url, chain_id=CHAIN_ID) as store:
        proxy.fault = dies
        rpc = HttpRpc(proxy.url)
        indexing = await Indexing.over(chain, store, rpc, chain.rpc, most_blocks=4)
        await indexing.indexer.fill(0, (await chain.head()).number)
        await rpc.close()
    assert asked >= 2 and indexing.told(Delayed) == []
    assert await rows(url) == await rows(whole)


async def test_state_that_no_node_keeps_is_told_and_the_check_starts_at_the_first_that_is_known(
    chain: AnvilPool, tmp_path: Any
) -> None:
    await live(chain)
    head = await chain.head()
    url = f"sqlite:///{tmp_path}/events.sqlite3"

    def prunes(question: Json, answer: Json) -> Any:
        pin = question["params"][1] if question["method"] == "eth_call" else {}
        if isinstance(pin, dict) and pin.get("blockHash", head.block_hash) != head.block_hash:
            return {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32000, "message": "missing trie node"}}
        return answer

    async with faulty_proxy(chain.anvil.url) as proxy, await PoolEventsStore.create(url, chain_id=CHAIN_ID) as store:
        proxy.fault = prunes
        rpc = HttpRpc(proxy.url)
        indexing = await Indexing.over(chain, store, rpc)
        await indexing.indexer.fill(head.number - 3, head.number)
        [unseen] = indexing.told(Unseen)
        assert unseen.block == head.number - 4
        check = await check_pool(store, chain.pool)
        assert (check.gap, check.verified.swaps_replayed, check.events["swaps"]) == (None, 0, 4)
        await trade(chain, 6)
        await indexing.indexer.fill(head.number - 3, head.number + 1)
        assert (await check_pool(store, chain.pool)).verified.swaps_replayed == 2
        await rpc.close()


async def test_a_log_that_no_pool_emits_stops_the_index(chain: AnvilPool, tmp_path: Any) -> None:
    await chain.mint(-600, 600, 10**18)
    await chain.mine()
    code = await chain.ask("eth_getCode", chain.pool, "latest")
    await chain.ask("anvil_setCode", chain.pool, "0x600360006000a1")  # a log of topic 3, in the pool's name
    await chain.send(chain.pool, "0x")
    await chain.mine()
    await chain.ask("anvil_setCode", chain.pool, code)
    with pytest.raises(SimulationError, match="no Uniswap V3 pool emits"):
        await index(chain, f"sqlite:///{tmp_path}/events.sqlite3", 0)


async def test_following_goes_on_with_the_chain_through_a_reorg_and_an_outage(
    chain: AnvilPool, database_url: str
) -> None:
    await live(chain)
    reached: asyncio.Queue[int] = asyncio.Queue()
    async with (
        faulty_proxy(chain.anvil.url) as proxy,
        await PoolEventsStore.create(database_url, chain_id=CHAIN_ID) as store,
    ):
        rpc = HttpRpc(proxy.url)
        indexing = await Indexing.over(chain, store, rpc)
        indexer: Indexer = indexing.indexer
        delays = asyncio.Event()

        def hear(fact: Any) -> None:
            indexing.facts.append(fact)
            if isinstance(fact, Indexed) and fact.left == 0:
                reached.put_nowait(fact.blocks.last)
            if isinstance(fact, Delayed):
                delays.set()

        indexer._report = hear
        following = asyncio.create_task(indexer.follow(1))

        async def until(number: int) -> None:
            while await reached.get() < number:
                pass

        await until((await chain.head()).number)
        await trade(chain, 6)
        await until((await chain.head()).number)
        await chain.reorg(2)
        await trade(chain, 7)
        await until((await chain.head()).number)
        proxy.fault = lambda question, answer: Response(status=502)
        await delays.wait()
        await trade(chain, 8)
        proxy.fault = None
        await until((await chain.head()).number)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await rpc.close()
        assert len(indexing.told(Rewound)) == 1
        assert await store.coverage(chain.pool) == [BlockRange(1, (await chain.head()).number)]
        assert (await check_pool(store, chain.pool)).gap is None


@pytest.mark.parametrize(
    ("covered", "expected"),
    [
        ([], [(3, 9)]),
        ([(0, 2), (10, 12)], [(3, 9)]),
        ([(0, 20)], []),
        ([(0, 3), (5, 6), (9, 30)], [(4, 4), (7, 8)]),
        ([(4, 4)], [(3, 3), (5, 9)]),
    ],
)
def test_missing_is_what_is_wanted_and_not_covered(
    covered: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    found = missing(BlockRange(3, 9), [BlockRange(*c) for c in covered])
    assert [(gap.first, gap.last) for gap in found] == expected
