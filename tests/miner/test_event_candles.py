"""Candles of a pool's events: the same however they are read, whole, and never from behind the question."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.event_candles import EventCandles, _joined, bars_of
from miner.feeds import PoolRef
from miner.strategies.three_force.candles import M15_MS, Candle
from protocol.errors import StoreError
from protocol.units import Q96
from simulator import records
from simulator.events import Block, SwapEvent

RECORD = records.load("usdc-weth-005")
INFO = RECORD.info
FIRST, LAST = RECORD.first_block + 1, RECORD.last_block


def record_blocks() -> tuple[Block, ...]:
    """Return every block of the record, those without events too."""
    events = {block.number: block.events for block in RECORD.blocks}
    return tuple(Block(n, "", "", RECORD.timestamp_at(n), events.get(n, ())) for n in range(FIRST, LAST + 1))


BLOCKS = record_blocks()


class Reader:
    """A reader of the record's blocks between two of them, which counts what it is asked for."""

    def __init__(self, first: int = FIRST, last: int = LAST) -> None:
        self.first, self.last = first, last
        self.asked: list[tuple[int, int]] = []
        self.is_closed = False

    async def last_block(self, pool: str, first: int) -> int:
        return self.last if self.first <= first <= self.last else first - 1

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        self.asked.append((first, last))
        if first < self.first or last > self.last:
            raise StoreError("not indexed")
        return BLOCKS[first - FIRST : last - FIRST + 1]

    async def close(self) -> None:
        self.is_closed = True


def pool_at(block: int) -> PoolRef:
    address = INFO.pair_address.lower()
    names = (INFO.token0.symbol, INFO.token0.decimals, INFO.token1.symbol, INFO.token1.decimals)
    return PoolRef(INFO.chain_id, address, *names, block, RECORD.timestamp_at(block))


def expected(first: int, last: int) -> list[Candle]:
    """Return the same candles swap by swap, the plain way."""
    blocks = BLOCKS[first - FIRST : last - FIRST + 1]
    begin, end = blocks[0].timestamp * 1000, blocks[-1].timestamp * 1000
    prices: list[tuple[int, float, float]] = []
    for block in blocks:
        for event in block.events:
            if isinstance(event, SwapEvent):
                price = (event.sqrt_price_x96 / Q96) ** 2
                prices.append((block.timestamp * 1000, price, float(abs(event.amount1))))
    found: list[Candle] = []
    for start in range(-(-begin // M15_MS) * M15_MS, end // M15_MS * M15_MS, M15_MS):
        before = [price for time, price, _ in prices if time < start]
        inside = [(price, volume) for time, price, volume in prices if start <= time < start + M15_MS]
        path = [*before[-1:], *(price for price, _ in inside)]
        if path:
            found.append((start, path[0], max(path), min(path), path[-1], sum(volume for _, volume in inside)))
    return found


def alike(bars: Sequence[Candle]) -> list[tuple[int, ...]]:
    """Return bars with volumes as far as the order of adding leaves them."""
    return [(*bar[:5], round(bar[5] / 1e9)) for bar in bars]  # type: ignore[return-value]  # of floats, for comparing


async def read(reader: Reader, block: int, *, bars: int = 400) -> list[Candle]:
    feed = EventCandles("test", reader, chain_id=INFO.chain_id, most_bars=bars)
    return list(await feed.candles(pool_at(block), 0))


async def test_a_day_of_a_record_is_the_candles_of_its_swaps() -> None:
    bars = await read(Reader(), LAST)
    assert alike(bars) == alike(expected(FIRST, LAST))
    assert len(bars) == 94


async def test_nothing_behind_the_question_is_read() -> None:
    reader = Reader()
    block = FIRST + 3000
    bars = await read(reader, block)
    assert alike(bars) == alike(expected(FIRST, block))
    assert max(last for _, last in reader.asked) == block


async def test_what_was_read_is_not_read_again() -> None:
    reader = Reader()
    feed = EventCandles("test", reader, chain_id=1)
    for block in (FIRST + 100, FIRST + 130, FIRST + 130, FIRST + 5000, LAST):
        assert alike(await feed.candles(pool_at(block), 0)) == alike(expected(FIRST, block))
    asked = [n for first, last in reader.asked for n in range(max(first, FIRST), last + 1) if first >= FIRST]
    assert len(asked) == len(set(asked))
    await feed.close()
    assert reader.is_closed


async def test_an_index_that_lags_is_read_as_far_as_it_goes_and_one_that_begins_late_from_there() -> None:
    assert alike(await read(Reader(FIRST + 700, FIRST + 4000), FIRST + 4500)) == alike(
        expected(FIRST + 700, FIRST + 4000)
    )


async def test_only_so_many_bars_are_read() -> None:
    reader = Reader()
    bars = await read(reader, LAST, bars=8)
    assert alike(bars) == alike(expected(FIRST, LAST))[-len(bars) :]
    assert 7 <= len(bars) <= 8 and sum(last - first for first, last in reader.asked) < 2100


@pytest.mark.parametrize(("first", "last", "block"), [(FIRST, FIRST + 10, LAST + 0), (LAST - 1, LAST, FIRST + 5)])
async def test_an_index_of_another_time_tells_nothing_or_what_it_has(first: int, last: int, block: int) -> None:
    assert await read(Reader(first, last), block) == []


async def test_another_chain_is_not_asked_and_a_database_without_one_is() -> None:
    reader = Reader()
    other = replace(pool_at(LAST), chain_id=8453)
    assert await EventCandles("test", reader, chain_id=1).candles(other, 0) == () and reader.asked == []
    assert len(await EventCandles("test", reader, chain_id=None).candles(other, 0)) == 94


@settings(max_examples=30)
@given(st.lists(st.integers(1, len(BLOCKS) - 1), min_size=1, max_size=6, unique=True))
def test_bars_of_stretches_that_follow_each_other_are_the_bars_of_the_whole(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BLOCKS)]
    whole: dict[int, Candle] = {}
    for start, end in itertools.pairwise(edges):
        whole = _joined(whole, bars_of(BLOCKS[start:end]))
    assert alike(list(whole.values())) == alike(list(bars_of(BLOCKS).values()))
