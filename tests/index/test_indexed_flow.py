"""A devnet plays a record, the indexer reads the devnet, and out of the database comes the record again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from itertools import count

import pytest
from support.worlds import make_opening

from db.pool_events.store import PoolEventsStore
from protocol.errors import ChainError, ConfigError
from simulator import records
from simulator.chain.devnet import CHAIN_ID, Devnet, DevnetSettings
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.rpc import HttpRpc
from simulator.events import LiquidityEvent
from simulator.flow import FlowBlock
from simulator.fork import Inventory, virtual_vault
from simulator.indexed import load_flow
from simulator.portfolio import Range
from simulator.records import Record
from simulator.recovery import Happening, RecoveredCall
from simulator.round import Round
from tideline.indexer import Indexer
from tideline.pool_events import IndexedEvents

BLOCKS = 500
RECORD = "usdc-weth-005"


@dataclass(frozen=True, slots=True)
class Played:
    """A database that holds what a devnet played of a record."""

    record: Record
    pool: str
    url: str


@pytest.fixture(scope="module")
def record() -> Record:
    return records.load(RECORD)


@pytest.fixture
async def played(record: Record, database_url: str) -> AsyncIterator[Played]:
    """Play the first blocks of the record on a devnet and index them, with the state at the opening."""
    async with await Devnet.start(record, DevnetSettings(state_blocks=BLOCKS + 10)) as net:
        for _ in range(BLOCKS):
            await net.next_block()
        rpc = HttpRpc(net.url)
        endpoints = Endpoints({"devnet": rpc}, chain_id=CHAIN_ID)
        info = await read_info(endpoints, net.addresses.pool, ChainSettings(block_time_s=12))
        async with await PoolEventsStore.create(database_url, chain_id=CHAIN_ID) as store:
            indexer = Indexer(endpoints, store, info, lambda fact: None, most_blocks=100)
            await indexer.fill(net.opening_block + 1, net.opening_block + BLOCKS)
        await rpc.close()
        yield Played(record, info.pair_address, database_url)


def told_alike(blocks: Iterable[FlowBlock]) -> list[tuple[int, int, list[Happening]]]:
    """Return blocks without what a devnet does not repeat: burns of nothing, and the places of other logs."""
    alike = []
    for block in blocks:
        kept = [h for h in block.happenings if not isinstance(h, LiquidityEvent) or h.liquidity_delta]
        places = count()
        happenings = [replace(h, log_index=next(places)) if isinstance(h, LiquidityEvent) else h for h in kept]
        alike.append((block.number, block.timestamp, happenings))
    return alike


async def test_the_flow_of_an_indexed_devnet_is_the_records(played: Played) -> None:
    reader = await IndexedEvents.open(played.url)
    market = await reader.market(played.pool)
    opening = await market.open_round(BLOCKS)
    flow = await load_flow(reader, opening, opening.block_number + BLOCKS)
    expected = told_alike(played.record.flow().blocks[:BLOCKS])
    assert told_alike(flow.blocks) == expected
    kinds = [type(h) for _, _, happenings in expected for h in happenings]
    assert (kinds.count(RecoveredCall), kinds.count(LiquidityEvent)) == (446, 11)
    assert market.info.block_time_s == 12
    names = ("sqrt_price_x96", "tick", "liquidity", "fee_pips", "block_number", "timestamp")
    assert [getattr(opening, n) for n in names] == [getattr(played.record.opening, n) for n in names]
    await reader.close()


async def test_rounds_are_played_on_indexed_history_from_where_a_snapshot_leads(played: Played) -> None:
    reader = await IndexedEvents.open(played.url)
    start = played.record.first_block + 40
    market = await reader.market(played.pool, start_block=start)
    snapshot = await market.open_round(12)
    assert (snapshot.block_number, market.head) == (start, start)
    middle = snapshot.tick // 10 * 10
    inventory = Inventory(10**9, 10**18, ((Range(middle - 100, middle + 100), 10**9, 10**18),))
    engine = Round(make_opening(snapshot, virtual_vault(snapshot, inventory), (), length_blocks=12))
    while not engine.is_finished:
        engine.advance(await market.next_block())
    assert engine.pool.sqrt_price_x96 == market.snapshot().sqrt_price_x96
    with pytest.raises(ChainError, match="the index ends here") as raised:
        await market.open_round(BLOCKS)
    assert raised.value.retryable, "an index that is still being filled will have them"
    for start in (played.record.first_block - 1, played.record.first_block + BLOCKS + 1):
        with pytest.raises(ConfigError, match="no snapshot"):
            await reader.market(played.pool, start_block=start)
    with pytest.raises(ConfigError, match="not in the database"):
        await reader.market("0x" + "11" * 20)
    await reader.close()
