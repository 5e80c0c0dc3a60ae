"""The market over indexed history: what it plays, where it ends, and what it does not believe."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.worlds import MARKET, PAIR, START_BLOCK, Chain, make_snapshot

from protocol.errors import ChainError, ConfigError, SimulationError
from simulator.base_fork import Divergence
from simulator.events import Block
from simulator.indexed import IndexedMarket, load_flow

UNIT = 10**18


class ListReader:
    """A reader over a list of blocks, to which more may be added."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks_there = blocks
        self.is_closed = False

    async def last_block(self, pool: str, first: int) -> int:
        return self.blocks_there[-1].number if pool == PAIR and self.blocks_there else first - 1

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        return tuple(b for b in self.blocks_there if first <= b.number <= last)

    async def close(self) -> None:
        self.is_closed = True


def chain_of(length: int) -> tuple[Chain, list[Block]]:
    chain, blocks = Chain(make_snapshot()), []
    for step in range(length):
        if step % 3:
            chain.swap(step % 2 == 0, (step + 1) * UNIT)
        blocks.append(chain.block())
    return chain, blocks


async def test_it_plays_what_is_there_and_goes_on_when_there_is_more() -> None:
    chain, blocks = chain_of(12)
    reader = ListReader(blocks[:7])
    market = IndexedMarket(MARKET, reader, make_snapshot())
    assert await market.open_round(7) == make_snapshot()
    with pytest.raises(ChainError, match="the index ends here") as raised:
        await market.open_round(8)
    assert raised.value.retryable
    assert [await market.next_block() for _ in range(7)] == blocks[:7]
    with pytest.raises(ChainError, match="the index ends here"):
        await market.next_block()
    reader.blocks_there = blocks
    opened = await market.open_round(5)
    assert (opened.block_number, opened.block_hash) == (START_BLOCK + 7, blocks[6].block_hash)
    await market.seek(START_BLOCK + 12)
    assert market.snapshot().sqrt_price_x96 == chain.pool.sqrt_price_x96
    assert (market.head, market.info) == (START_BLOCK + 12, MARKET)
    await market.close()
    assert reader.is_closed


async def test_what_is_read_ahead_counts_as_there() -> None:
    _, blocks = chain_of(6)
    reader = ListReader(blocks)
    market = IndexedMarket(MARKET, reader, make_snapshot())
    await market.next_block()
    reader.blocks_there = []
    assert (await market.open_round(5)).block_number == START_BLOCK + 1
    with pytest.raises(ChainError, match="the index ends here"):
        await market.open_round(6)


@pytest.mark.parametrize("wrong", ["missing", "other parent", "lost swap"])
async def test_blocks_that_do_not_follow_are_not_played(wrong: str) -> None:
    _, blocks = chain_of(9)
    if wrong == "missing":
        del blocks[4]
    elif wrong == "other parent":
        blocks[4] = replace(blocks[4], parent_hash="0xbad")
    else:
        blocks[4] = replace(blocks[4], events=())
    market = IndexedMarket(MARKET, ListReader(blocks), make_snapshot())
    expected = Divergence if wrong == "lost swap" else SimulationError
    with pytest.raises(expected):
        await market.seek(START_BLOCK + 9)


async def test_a_snapshot_of_another_pool_is_refused() -> None:
    with pytest.raises(ConfigError, match="the snapshot is not of pool"):
        IndexedMarket(MARKET, ListReader([]), replace(make_snapshot(), pair_address="0x" + "11" * 20))


async def test_a_flow_is_loaded_up_to_a_block() -> None:
    _, blocks = chain_of(9)
    flow = await load_flow(ListReader(blocks), make_snapshot(), START_BLOCK + 5)
    assert [(b.number, len(b.happenings)) for b in flow.blocks] == [(b.number, len(b.events)) for b in blocks[:5]]
