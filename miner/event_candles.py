"""Candles of a pool's own swaps, from whatever tells its events: an index, somebody else's database, a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from miner.feeds import CandleFeed, PoolRef
from miner.strategies.three_force.candles import M15_MS, Candle
from protocol.errors import StoreError
from protocol.units import Q96
from simulator.events import Block, SwapEvent
from simulator.indexed import PoolEventsReader

_WINDOW_BLOCKS = 2000
_FARTHEST_BLOCKS = 2**20  # behind the question: an index that lags more is of no use
_POOLS = 64


@dataclass(slots=True)
class _Known:
    """Blocks `first` to `last` have been read, the last of them at `last_ms`; `begin_ms` is the first one's time."""

    first: int
    last: int
    begin_ms: int
    last_ms: int
    bars: dict[int, Candle] = field(default_factory=dict)


class EventCandles:
    """The `CandleFeed` over a `PoolEventsReader`; what was read once is not read again.

    `chain_id` None takes every chain: somebody else's database does not say which one it is of.
    """

    def __init__(self, name: str, reader: PoolEventsReader, *, chain_id: int | None, most_bars: int = 400) -> None:
        self._name = name
        self._reader = reader
        self._chain_id = chain_id
        self._most_bars = most_bars
        self._known: dict[tuple[int, str], _Known] = {}

    @property
    def name(self) -> str:
        """Where it comes from."""
        return self._name

    async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
        """Return the bars that were read whole. Raises what the reader raises, but where its coverage ends."""
        if self._chain_id not in (None, pool.chain_id):
            return ()
        oldest_ms = max(since_s * 1000, (pool.timestamp * 1000 // M15_MS - self._most_bars) * M15_MS)
        end = await self._end(pool)
        if end is None:
            return ()
        known = self._known.get(pool.key)
        if known is None or not known.first <= end:
            known = await self._begin(pool, end)
        if known is None:
            return ()
        await self._forward(pool, known, end)
        await self._back(pool, known, oldest_ms)
        known.begin_ms = max(known.begin_ms, oldest_ms)
        for start in sorted(start for start in known.bars if start < oldest_ms)[
            :-1
        ]:  # the first bar opens at one's close
            del known.bars[start]
        return _whole(known)

    async def close(self) -> None:
        """Close the reader."""
        await self._reader.close()

    async def _end(self, pool: PoolRef) -> int | None:
        """Return the last block to read: the one asked about, or the last there is before it."""
        first = pool.block_number
        behind = 0
        while first >= 0 and behind <= _FARTHEST_BLOCKS:
            last = await self._reader.last_block(pool.pair_address, first)
            if last >= first:
                return min(last, pool.block_number)
            behind = behind * 2 or 16
            first = pool.block_number - behind
        return None

    async def _begin(self, pool: PoolRef, end: int) -> _Known | None:
        blocks = await self._read(pool, end, end)
        if not blocks:
            return None
        time_ms = blocks[0].timestamp * 1000
        known = _Known(end, end, time_ms, time_ms, bars_of(blocks))
        while len(self._known) >= _POOLS:
            self._known.pop(next(iter(self._known)))
        self._known[pool.key] = known
        return known

    async def _forward(self, pool: PoolRef, known: _Known, end: int) -> None:
        while known.last < end:
            blocks = await self._read(pool, known.last + 1, min(known.last + _WINDOW_BLOCKS, end))
            if not blocks:
                return
            known.bars = _joined(known.bars, bars_of(blocks))
            known.last, known.last_ms = blocks[-1].number, blocks[-1].timestamp * 1000

    async def _back(self, pool: PoolRef, known: _Known, oldest_ms: int) -> None:
        """Read on into the past, by shorter windows where the coverage ends inside one."""
        window = _WINDOW_BLOCKS
        while known.begin_ms > oldest_ms and known.first > 0 and window:
            blocks = await self._read(pool, max(known.first - window, 0), known.first - 1)
            if not blocks:
                window //= 2
                continue
            known.bars = _joined(bars_of(blocks), known.bars)
            known.first, known.begin_ms = blocks[0].number, blocks[0].timestamp * 1000

    async def _read(self, pool: PoolRef, first: int, last: int) -> tuple[Block, ...]:
        try:
            return await self._reader.blocks(pool.pair_address, first, last)
        except StoreError:
            return ()


def bars_of(blocks: Iterable[Block]) -> dict[int, Candle]:
    """Return the swaps of some blocks as M15 bars by their start.

    Parameters: blocks  ascending
    Returns:    raw token1 per token0, the volume in raw token1; bars without a swap are left out
    Rounding:   floats
    Raises:     nothing
    Source:     price = (sqrt_price_x96 / 2**96) ** 2
    """
    bars: dict[int, Candle] = {}
    for block in blocks:
        start = block.timestamp * 1000 // M15_MS * M15_MS
        for event in block.events:
            if not isinstance(event, SwapEvent):
                continue
            price, volume = (event.sqrt_price_x96 / Q96) ** 2, float(abs(event.amount1))
            if start in bars:
                _, first, high, low, _, sum_ = bars[start]
                bars[start] = (start, first, max(high, price), min(low, price), price, sum_ + volume)
            else:
                bars[start] = (start, price, price, price, price, volume)
    return bars


def _joined(earlier: Mapping[int, Candle], later: Mapping[int, Candle]) -> dict[int, Candle]:
    """Return the bars of two stretches that follow each other; one that lies in both is one bar again."""
    joined = dict(earlier)
    for start, bar in later.items():
        if start in joined:
            _, first, high, low, _, volume = joined[start]
            joined[start] = (start, first, max(high, bar[2]), min(low, bar[3]), bar[4], volume + bar[5])
        else:
            joined[start] = bar
    return joined


def _whole(known: _Known) -> list[Candle]:
    """Return the bars of the whole quarters of an hour that were read; flat ones where nothing happened."""
    first_ms = -(-known.begin_ms // M15_MS) * M15_MS
    end_ms = known.last_ms // M15_MS * M15_MS
    found: list[Candle] = []
    close: float | None = None
    for before_ms in sorted(start for start in known.bars if start < first_ms)[-1:]:
        close = known.bars[before_ms][4]
    for start in range(first_ms, end_ms, M15_MS):
        bar = known.bars.get(start)
        if bar is None:
            if close is not None:
                found.append((start, close, close, close, close, 0.0))
            continue
        if close is not None:  # a bar opens where the one before closed, not at its first swap
            bar = (start, close, max(close, bar[2]), min(close, bar[3]), bar[4], bar[5])
        found.append(bar)
        close = bar[4]
    return found


if TYPE_CHECKING:
    _is_a_feed: type[CandleFeed] = EventCandles  # mypy proves the port
