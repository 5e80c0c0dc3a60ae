"""A pool's indexed past: the port behind which a database tells it, and the market that plays it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from protocol.errors import ChainError, ConfigError, SimulationError, StoreError
from simulator.base_fork import BaseFork
from simulator.engine import Engine, default_engine, pool_to_snapshot
from simulator.events import Block
from simulator.flow import Flow
from simulator.market import Market, MarketInfo
from simulator.snapshot import PoolSnapshot

_WINDOW_BLOCKS = 2000  # read at once while a market plays


class PoolEventsReader(Protocol):
    """Where a pool's past is read from; nothing is ever written through it."""

    async def last_block(self, pool: str, first: int) -> int:
        """Return the last block up to which, from `first` on, every block is there; `first - 1` where it is not."""

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        """Return every block of a range, those without events included. Raises StoreError when one is not there."""

    async def close(self) -> None:
        """Release what is held. Idempotent."""


class HeldBlocks:
    """The reader over blocks in memory, one following the other, of whatever pool it is asked about."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks

    async def last_block(self, pool: str, first: int) -> int:
        """Return the last block, `first - 1` where that is not among them."""
        return self._blocks[-1].number if self._blocks and first >= self._blocks[0].number else first - 1

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        """Return a range. Raises StoreError when one is not there."""
        start = first - self._blocks[0].number
        if start < 0 or last > self._blocks[-1].number:
            raise StoreError("these blocks are not held", pool=pool, first_block=first, last_block=last)
        return tuple(self._blocks[start : start + last - first + 1])

    async def close(self) -> None:
        """Do nothing: everything is in memory."""


async def load_flow(reader: PoolEventsReader, snapshot: PoolSnapshot, last: int, *, engine: Engine = "python") -> Flow:
    """Return what happened from a snapshot up to a block. Raises StoreError, and what `Flow.recover` raises."""
    blocks = await reader.blocks(snapshot.pair_address, snapshot.block_number + 1, last)
    return Flow.recover(snapshot, blocks, engine=engine)


class IndexedMarket:
    """The `Market` over a pool's indexed past, for one reader, as fast as it can be read.

    It begins at a snapshot and ends where the index does; an index that goes on being filled is gone on with.
    """

    def __init__(
        self, info: MarketInfo, reader: PoolEventsReader, opening: PoolSnapshot, *, engine: Engine | None = None
    ) -> None:
        if (opening.chain_id, opening.pair_address) != (info.chain_id, info.pair_address):
            raise ConfigError(f"the snapshot is not of pool {info.pair_address} on chain {info.chain_id}")
        self._info = info
        self._reader = reader
        self._opening = opening
        self._base = BaseFork(opening, engine=engine or default_engine())
        self._last: Block | None = None
        self._ahead: deque[Block] = deque()

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market."""
        return self._info

    @property
    def vault(self) -> None:
        """Nothing: an index holds a pool, not who owns what in it."""

    @property
    def head(self) -> int:
        """The number of the last block that happened."""
        return self._opening.block_number if self._last is None else self._last.number

    async def seek(self, block_number: int) -> None:
        """Let everything up to a block happen. Raises as `next_block` does."""
        while self.head < block_number:
            await self.next_block()

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head. Raises a retryable ChainError while fewer blocks than that are indexed."""
        end = self.head + len(self._ahead)
        if end - self.head < length_blocks:
            end = await self._reader.last_block(self._info.pair_address, self.head + 1)
        if end - self.head < length_blocks:
            raise self._ended(end)
        return self.snapshot()

    async def next_block(self) -> Block:
        """Return the next block. Raises a retryable ChainError where the index ends, Divergence where it is wrong."""
        if not self._ahead:
            await asyncio.sleep(0)  # whoever plays a long past lets others run
            await self._read_on()
        block = self._ahead.popleft()
        parent_hash = self._opening.block_hash if self._last is None else self._last.block_hash
        if (block.number, block.parent_hash) != (self.head + 1, parent_hash):
            raise SimulationError("the next block does not follow", pool=self._info.pair_address, block=block.number)
        for event in block.events:
            self._base.apply(block, event)
        self._last = block
        return block

    async def settle(self) -> None:
        """Return at once: who reads an index reads the past."""

    async def close(self) -> None:
        """Close the reader."""
        await self._reader.close()

    def snapshot(self) -> PoolSnapshot:
        """Return the pool as it is at the head."""
        if self._last is None:
            return self._opening
        number, block_hash, timestamp = self._last.number, self._last.block_hash, self._last.timestamp
        place = replace(self._opening, block_number=number, block_hash=block_hash, timestamp=timestamp)
        return pool_to_snapshot(self._base.pool, place)

    async def _read_on(self) -> None:
        first = self.head + 1
        end = await self._reader.last_block(self._info.pair_address, first)
        if end < first:
            raise self._ended(end)
        last = min(end, first + _WINDOW_BLOCKS - 1)
        self._ahead.extend(await self._reader.blocks(self._info.pair_address, first, last))

    def _ended(self, end: int) -> ChainError:
        return ChainError("the index ends here", retryable=True, pool=self._info.pair_address, block=end)


if TYPE_CHECKING:
    _is_a_market: type[Market] = IndexedMarket  # mypy proves the ports
    _is_a_reader: type[PoolEventsReader] = HeldBlocks
