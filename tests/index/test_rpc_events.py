"""A node tells of a pool's past what an index of the same chain tells."""

from __future__ import annotations

from pathlib import Path

from support.anvil_pool import CHAIN_ID, AnvilPool
from support.indexing import index, live

from miner.event_candles import EventCandles, bars_of
from miner.feeds import PoolRef
from simulator.chain.endpoints import Endpoints
from tideline.pool_events import IndexedEvents
from tideline.rpc_events import RpcEvents


async def test_blocks_and_candles_of_a_node_are_those_of_the_index(chain: AnvilPool, tmp_path: Path) -> None:
    await live(chain)
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    await index(chain, url, 0)
    head = await chain.head()
    node = RpcEvents(Endpoints.over_http([chain.anvil.url], chain_id=CHAIN_ID))
    async with await IndexedEvents.open(url) as indexed:
        assert (node.chain_id, indexed.chain_id) == (CHAIN_ID, CHAIN_ID)
        blocks = await node.blocks(chain.pool, 0, head.number)
        assert blocks == await indexed.blocks(chain.pool, 0, head.number)
        assert [await r.last_block(chain.pool, 3) for r in (node, indexed)] == [head.number, head.number]
        assert await node.last_block(chain.pool, head.number + 5) == head.number + 4
    await chain.ask("evm_setNextBlockTimestamp", head.timestamp + 3600)
    await chain.swap(True, 10**18)
    await chain.mine()
    later = await chain.head()
    pool = PoolRef(CHAIN_ID, chain.pool, "A", 18, "B", 18, later.number, later.timestamp)
    told = await EventCandles("rpc", node, chain_id=CHAIN_ID).candles(pool, 0)
    known = bars_of(blocks)
    assert told[0][4] == known[max(known)][4] and len(told) in (3, 4), "the hour is flat but for the swaps before it"
    await node.close()
