"""An index as the tests look at it: filled from an anvil, and every row of it as plain values."""

from __future__ import annotations

from typing import Any

from support.anvil_pool import CHAIN_ID, AnvilPool

from db.pool_events.connection import connect
from db.pool_events.schema import TABLES
from db.pool_events.store import PoolEventsStore
from db.url import parse_database_url
from simulator.chain.abi import call_data
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.rpc import Rpc
from simulator.market import MarketInfo
from simulator.recorded import ManualClock
from tideline.indexer import Fact, Indexer

EDGE = 887220
UNIT = 10**18


class Indexing:
    """An indexer over a chain and a database, and the facts that it told."""

    def __init__(self, endpoints: Endpoints, store: PoolEventsStore, info: MarketInfo, most_blocks: int) -> None:
        self.facts: list[Fact] = []
        self.indexer = Indexer(endpoints, store, info, self.facts.append, most_blocks=most_blocks, poll_s=0.01)

    @classmethod
    async def over(cls, chain: AnvilPool, store: PoolEventsStore, *rpcs: Rpc, most_blocks: int = 2000) -> Indexing:
        """Return one that asks the chain's node, or other endpoints."""
        named = {str(number): rpc for number, rpc in enumerate(rpcs or (chain.rpc,))}
        endpoints = Endpoints(named, chain_id=CHAIN_ID, attempt_s=2, clock=ManualClock())
        node = Endpoints({"node": chain.rpc}, chain_id=CHAIN_ID)
        return cls(endpoints, store, await read_info(node, chain.pool, ChainSettings(block_time_s=2)), most_blocks)

    def told(self, kind: type[Any]) -> list[Any]:
        """Return the facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]


async def index(chain: AnvilPool, url: str, first: int, last: int | None = None, *, most_blocks: int = 2000) -> None:
    """Index a range (up to the head) into a database."""
    async with await PoolEventsStore.create(url, chain_id=CHAIN_ID) as store:
        until = (await chain.head()).number if last is None else last
        await (await Indexing.over(chain, store, most_blocks=most_blocks)).indexer.fill(first, until)


async def rows(url: str, *tables: str) -> dict[str, list[tuple[int | str, ...]]]:
    """Return every row of an index (or of some tables), the same on both databases."""
    connection = await connect(parse_database_url(url), read_only=True)
    try:
        return {
            table.name: sorted(
                tuple(int(v) if kind != "text" else v for v, kind in zip(row, table.columns.values(), strict=True))
                for row in await connection.fetch(f"SELECT * FROM {table.name}")
            )
            for table in TABLES
            if not tables or table.name in tables
        }
    finally:
        await connection.close()


async def execute(url: str, statement: str, *values: Any) -> None:
    """Run one statement behind the store's back."""
    connection = await connect(parse_database_url(url), read_only=False)
    try:
        async with connection.transaction(write=True):
            await connection.execute(statement, *values)
    finally:
        await connection.close()


async def trade(chain: AnvilPool, step: int) -> None:
    """Mine a block in which the pool does a few things, another each step."""
    await chain.swap(step % 2 == 0, (7 + step) * UNIT)
    await chain.swap(step % 2 == 1, -(5 + step) * UNIT)
    if step % 3 == 0:
        await chain.mint(-60 * (step + 1), 60 * (step + 2), 10**19 + step)
    if step % 3 == 1:
        await chain.burn(-EDGE, EDGE, 10**18)
    await chain.mine()


async def live(chain: AnvilPool) -> None:
    """Give the pool liquidity, then let it do everything that a pool can, with empty blocks in between."""
    await chain.mint(-EDGE, EDGE, 10**21)
    await chain.mint(-600, 1200, 10**20)
    await chain.mine()
    for step in range(4):
        await trade(chain, step)
        await chain.mine()
    await chain.managed_mint(-1200, 1200, 10**18, 10**18)
    await chain.mine()
    await chain.flash(10**15, 7)
    await chain.set_fee_protocol(4, 10)
    await trade(chain, 4)
    everything = 2**128 - 1
    collect = "collect((uint256,address,uint128,uint128))"
    await chain.send(chain.manager, call_data(collect, 1, int(chain.owner, 16), everything, everything))
    await chain.mine()
    await trade(chain, 5)
