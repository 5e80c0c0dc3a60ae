"""The pool events database as the simulator's reader and market: rows become events, stored snapshots become pools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Self

from db.pool_events.records import BlockRange, EventRow, PoolRow, SnapshotRow
from db.pool_events.store import History, PoolEventsStore
from protocol.errors import ConfigError, StoreError
from simulator.events import Block, FeeProtocolEvent, FlashEvent, LiquidityEvent, PoolEvent, SwapEvent
from simulator.indexed import IndexedMarket, PoolEventsReader
from simulator.market import MarketInfo, Token
from simulator.snapshot import PoolSnapshot

PLAYED_TABLES = ("swaps", "mints", "burns", "flashes", "fee_protocol_changes")


class IndexedEvents:
    """The `PoolEventsReader` over a database of our own indexer."""

    def __init__(self, store: PoolEventsStore) -> None:
        self._store = store

    @classmethod
    async def open(cls, url: str) -> IndexedEvents:
        """Open a database for reading alone. Raises ConfigError where it is none of ours."""
        return cls(await PoolEventsStore.open(url))

    @property
    def chain_id(self) -> int:
        """The one chain that the database is of."""
        return self._store.chain_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def last_block(self, pool: str, first: int) -> int:
        """Return the last block up to which, from `first` on, every block is indexed."""
        covered = await self._store.coverage(pool.lower())
        return next((c.last for c in covered if c.first <= first <= c.last), first - 1)

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        """Return every block of a range with its events."""
        return blocks_of(await self._store.history(pool.lower(), BlockRange(first, last), PLAYED_TABLES))

    async def close(self) -> None:
        """Close the database."""
        await self._store.close()

    async def market(self, pool: str, *, start_block: int | None = None) -> IndexedMarket:
        """Return the market of an indexed pool, its head at `start_block`, else at its first snapshot.

        Raises ConfigError where no snapshot leads there.
        """
        row = await self._pool(pool)
        opening = await self._opening(row.pool, start_block)
        market = IndexedMarket(await self._info(row, opening), self, opening)
        if start_block is not None:
            await market.seek(start_block)
        return market

    async def anchor(self, pool: str, *, at_most: int | None = None) -> tuple[MarketInfo, PoolSnapshot]:
        """Return a pool's facts and its last snapshot up to a block, its first where none is given: from where on a
        reader that has no snapshots can be played. Raises ConfigError where there is none.
        """
        row = await self._pool(pool)
        rows = await self._store.snapshots(row.pool)
        usable = rows[:1] if at_most is None else [r for r in rows if r.block_number <= at_most][-1:]
        if not usable:
            raise ConfigError(f"the database has no snapshot of pool {pool} up to block {at_most}")
        opening = snapshot_of(usable[0])
        return await self._info(row, opening), opening

    async def _pool(self, pool: str) -> PoolRow:
        row = next((p for p in await self._store.pools() if p.pool == pool.lower()), None)
        if row is None:
            raise ConfigError(f"pool {pool} is not in the database; index it with: tideline index --pool {pool} …")
        return row

    async def _opening(self, pool: str, start_block: int | None) -> PoolSnapshot:
        """Return the snapshot from which on the index is unbroken: the latest up to the start, or the first of all."""
        usable = []
        for row in await self._store.snapshots(pool):
            if await self.last_block(pool, row.block_number + 1) >= (start_block or row.block_number + 1):
                usable.append(row)
        if start_block is not None:
            usable = [row for row in usable if row.block_number <= start_block][-1:]
        if not usable:
            where = "" if start_block is None else f" that leads to block {start_block}"
            raise ConfigError(
                f"the database has no snapshot of pool {pool}{where}; index from an earlier block with an archive node"
            )
        return snapshot_of(usable[0])

    async def _info(self, row: PoolRow, opening: PoolSnapshot) -> MarketInfo:
        """Return the pool's facts; seconds a block are the mean of the stretch around the opening."""
        at = opening.block_number
        stretch = next(c for c in await self._store.coverage(row.pool) if c.first - 1 <= at <= c.last)
        [start] = await self._store.blocks(BlockRange(stretch.first, stretch.first))
        [end] = await self._store.blocks(BlockRange(stretch.last, stretch.last))
        mean_s = (end.timestamp - start.timestamp) / max(stretch.last - stretch.first, 1)
        return MarketInfo(
            chain_id=self._store.chain_id,
            pair_address=row.pool,
            token0=Token(row.token0, row.symbol0, row.decimals0),
            token1=Token(row.token1, row.symbol1, row.decimals1),
            fee_pips=row.fee_pips,
            tick_spacing=row.tick_spacing,
            block_time_s=max(round(mean_s), 1),
        )


def blocks_of(history: History) -> tuple[Block, ...]:
    """Return stored rows as blocks with the events that a round is played on."""
    events = {
        number: tuple(event for row in rows if (event := event_of(row)) is not None)
        for number, rows in groupby(history.events, key=lambda row: row.block_number)
    }
    return tuple(
        Block(b.number, b.block_hash, b.parent_hash, b.timestamp, events.get(b.number, ())) for b in history.blocks
    )


def event_of(row: EventRow) -> PoolEvent | None:
    """Return a row as an event, None where it moves nothing that a round depends on."""
    value: Mapping[str, int] = {name: v for name, v in row.fields.items() if isinstance(v, int)}
    match row.table:
        case "swaps":
            amounts = (value["amount0"], value["amount1"])
            return SwapEvent(row.log_index, *amounts, value["sqrt_price_x96"], value["liquidity"], value["tick"])
        case "mints" | "burns":
            delta = value["amount"] if row.table == "mints" else -value["amount"]
            bounds = (value["tick_lower"], value["tick_upper"])
            return LiquidityEvent(row.log_index, *bounds, delta, value["amount0"], value["amount1"])
        case "flashes":
            return FlashEvent(row.log_index, value["paid0"], value["paid1"])
        case "fee_protocol_changes":
            return FeeProtocolEvent(row.log_index, value["fee_protocol0_new"], value["fee_protocol1_new"])
    return None


def snapshot_of(row: SnapshotRow) -> PoolSnapshot:
    """Return a stored snapshot. Raises StoreError when it is damaged."""
    try:
        return PoolSnapshot.from_json(json.loads(row.body))
    except ValueError as error:
        raise StoreError("a stored snapshot is not JSON", block=row.block_number) from error


if TYPE_CHECKING:
    _is_a_reader: type[PoolEventsReader] = IndexedEvents  # mypy proves the port
