"""A pool's chain into the pool events database: what is missing is read and written, what was taken back is removed."""

from __future__ import annotations

import json
import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from db.pool_events.records import Batch, BlockRange, BlockRow, EventRow, PoolRow, SnapshotRow
from db.pool_events.store import Forked, PoolEventsStore
from protocol.errors import ChainError, ConfigError
from simulator.chain.abi import call_data, read_words
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.history import PoolHistory, Stretch
from simulator.chain.pool_logs import PoolLog
from simulator.chain.rpc import Request
from simulator.chain.snapshot import read_snapshot
from simulator.market import MarketInfo
from simulator.recorded import Clock, RealClock
from simulator.snapshot import PoolSnapshot
from tideline.rpc_events import event_row

_log = logging.getLogger(__name__)

DEEPEST_REORG_BLOCKS = 21_600  # half a day of Base: longer than blocks stay unsafe there
SNAPSHOT_EVERY_BLOCKS = 43_200
_DEADLINE_S = 20.0
_SNAPSHOT_DEADLINE_S = 10.0
_PATIENCE = 5  # failures in a row before a backfill gives up; who follows never does


@dataclass(frozen=True, slots=True)
class Indexed:
    """These blocks are in the database now, with so many events; `left` blocks are still to come."""

    blocks: BlockRange
    events: int
    left: int


@dataclass(frozen=True, slots=True)
class Rewound:
    """The chain took blocks back: so many above `ancestor` were removed."""

    ancestor: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Unseen:
    """No endpoint shows the pool's state at a block, so the integrity check cannot start there."""

    block: int
    why: str


@dataclass(frozen=True, slots=True)
class Delayed:
    """The chain could not be read; it is tried again."""

    why: str


Fact: TypeAlias = Indexed | Rewound | Unseen | Delayed


class Indexer:
    """Fills a database with one pool's past, and keeps it filled."""

    def __init__(
        self,
        endpoints: Endpoints,
        store: PoolEventsStore,
        info: MarketInfo,
        report: Callable[[Fact], None],
        *,
        lens: str | None = None,
        most_blocks: int = 2000,
        poll_s: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._store = store
        self._info = info
        self._pool = info.pair_address
        self._report = report
        self._lens = lens
        self._poll_s = poll_s
        self._clock: Clock = RealClock() if clock is None else clock
        self._history = PoolHistory(endpoints, info.pair_address, deadline_s=_DEADLINE_S, most_blocks=most_blocks)
        self._seen_at: int | None = None  # the last block whose state was asked for

    async def fill(self, first: int, last: int, *, closes: bool = True) -> None:
        """Index every block of a range that is not yet; with `closes`, keep the pool's state at its end.

        Raises ChainError when the chain cannot be read.
        """
        await self._store.add_pool(_pool_row(self._info))
        failures = 0
        while True:
            try:
                await self._check_top(last)
                gaps = missing(BlockRange(first, last), await self._store.coverage(self._pool))
                if not gaps:
                    return
                await self._fill_some(gaps, closes=closes)
                failures = 0
            except ChainError as error:
                failures += 1
                if not error.retryable or failures == _PATIENCE:
                    raise
                await self._delay(error)

    async def follow(self, first: int) -> None:
        """Index from a block to the head, and go on as the chain does. Ends only by an error or when cancelled."""
        is_caught_up = False
        while True:
            try:
                head = await self._endpoints.head(deadline_s=_DEADLINE_S)
                await self.fill(first, head, closes=not is_caught_up)
                is_caught_up = True
            except ChainError as error:
                if not error.retryable:
                    raise
                await self._delay(error)
            else:
                await self._clock.sleep(self._poll_s)

    async def _delay(self, error: ChainError) -> None:
        self._report(Delayed(str(error)))
        await self._clock.sleep(self._poll_s)

    async def _fill_some(self, gaps: Sequence[BlockRange], *, closes: bool) -> None:
        """Index one stretch of what is missing."""
        gap = gaps[0]
        stretch = await self._history.read(gap.first, gap.last)
        blocks, events = rows_of(stretch)
        snapshots = await self._snapshots(stretch, is_end=closes and blocks[-1].number == gaps[-1].last)
        try:
            await self._store.add(self._pool, Batch(blocks, events, snapshots))
        except Forked as error:
            _log.info("%s", error)
            await self._rewind()
            return
        left = sum(g.last - g.first + 1 for g in gaps) - len(blocks)
        self._report(Indexed(BlockRange(blocks[0].number, blocks[-1].number), len(events), left))

    # Blocks that are taken back

    async def _check_top(self, head: int) -> None:
        """Remove what the chain took back, where the highest block that can be compared tells of it."""
        stored = await self._store.highest_block(head)
        if stored is None:
            return
        header = await self._history.header(stored.number)
        if header is not None and header.block_hash != stored.block_hash:  # none: a node that lags proves nothing
            await self._rewind()

    async def _rewind(self) -> None:
        """Go back to the last stored block that the chain still has."""
        top = await self._store.highest_block(None)
        if top is None:
            return
        stored = await self._store.blocks(BlockRange(top.number - DEEPEST_REORG_BLOCKS, top.number))
        low, high = 0, len(stored)  # below low all are on the chain, from high on none
        while low < high:
            middle = (low + high) // 2
            header = await self._history.header(stored[middle].number)
            if header is not None and header.block_hash == stored[middle].block_hash:
                low = middle + 1
            else:
                high = middle
        if low == len(stored):
            raise ChainError("the chain changes back and forth", retryable=True, block=top.number)
        if low == 0:
            raise ConfigError(
                f"none of the last {len(stored)} blocks in the database, up to {top.number}, is on the chain of the "
                "RPC; index into a new database, or give an RPC of the same chain"
            )
        ancestor = stored[low - 1].number
        self._report(Rewound(ancestor, await self._store.drop_after(ancestor)))
        self._seen_at = None

    # Snapshots

    async def _snapshots(self, stretch: Stretch, *, is_end: bool) -> tuple[SnapshotRow, ...]:
        """Return the pool's state before the stretch, at its birth in it, and after it, where each is due and known."""
        first, last = stretch.headers[0], stretch.headers[-1]
        if self._seen_at is None:
            self._seen_at = first.number - 1
        found: list[PoolSnapshot | None] = []
        if first.number > 0 and not await self._is_continued(first.number):
            found.append(await self._state_at(await self._parent(first)))
        found += [await self._birth(log, stretch) for log in stretch.logs if log.kind == "initialize"]
        if is_end or last.number - self._seen_at >= SNAPSHOT_EVERY_BLOCKS:
            found.append(await self._state_at(last))
        return tuple(_snapshot_row(snapshot) for snapshot in found if snapshot is not None)

    async def _is_continued(self, first: int) -> bool:
        return any(c.first <= first - 1 <= c.last for c in await self._store.coverage(self._pool))

    async def _parent(self, header: Header) -> Header:
        parent = await self._history.header(header.number - 1)
        if parent is None or parent.block_hash != header.parent_hash:
            raise ChainError("the chain changes while it is read", retryable=True, block=header.number)
        return parent

    async def _birth(self, log: PoolLog, stretch: Stretch) -> PoolSnapshot:
        """Return the new pool as at the end of the block before: nothing but its price, which nothing else precedes."""
        [header] = [h for h in stretch.headers if h.number == log.block_number]
        parent = await self._parent(header)
        return PoolSnapshot(
            chain_id=self._info.chain_id,
            pair_address=self._pool,
            block_number=parent.number,
            block_hash=parent.block_hash,
            timestamp=parent.timestamp,
            fee_pips=self._info.fee_pips,
            tick_spacing=self._info.tick_spacing,
            sqrt_price_x96=int(log.fields["sqrt_price_x96"]),
            tick=int(log.fields["tick"]),
            liquidity=0,
            fee_growth_global_0_x128=0,
            fee_growth_global_1_x128=0,
            fee_protocol=0,
            ticks=(),
        )

    async def _state_at(self, header: Header) -> PoolSnapshot | None:
        """Return the pool at a block, None where it was not born yet or no endpoint keeps the state of that block."""
        self._seen_at = header.number
        slot0 = {"to": self._pool, "data": call_data("slot0()")}
        has_price: Request[bool] = Request("eth_call", (slot0, header.pin()), lambda value: any(read_words(value)[:1]))
        try:
            if not await self._endpoints.ask(has_price, deadline_s=_SNAPSHOT_DEADLINE_S):
                return None
            reading = await read_snapshot(
                self._endpoints,
                self._info,
                header,
                vault=None,
                lens=self._lens,
                deadline_s=_SNAPSHOT_DEADLINE_S,
            )
        except ChainError as error:
            self._report(Unseen(header.number, error.message))
            return None
        return reading.snapshot


def missing(wanted: BlockRange, covered: Sequence[BlockRange]) -> list[BlockRange]:
    """Return the parts of a range that are not covered, ascending. `covered` ascends without overlaps."""
    gaps, at = [], wanted.first
    for c in covered[bisect_left(covered, wanted.first, key=lambda c: c.last) :]:
        if c.first > wanted.last:
            break
        if c.first > at:
            gaps.append(BlockRange(at, c.first - 1))
        at = c.last + 1
    if at <= wanted.last:
        gaps.append(BlockRange(at, wanted.last))
    return gaps


def rows_of(stretch: Stretch) -> tuple[tuple[BlockRow, ...], tuple[EventRow, ...]]:
    """Return what the database keeps of a stretch of the chain, in its order."""
    blocks = (BlockRow(h.number, h.block_hash, h.parent_hash, h.timestamp) for h in stretch.headers)
    events = (event_row(log) for log in stretch.logs if log.kind != "initialize")
    return tuple(blocks), tuple(events)


def _snapshot_row(snapshot: PoolSnapshot) -> SnapshotRow:
    body = json.dumps(snapshot.to_json(), separators=(",", ":"))
    return SnapshotRow(snapshot.block_number, snapshot.block_hash, body)


def _pool_row(info: MarketInfo) -> PoolRow:
    return PoolRow(
        pool=info.pair_address,
        token0=info.token0.address,
        symbol0=info.token0.symbol,
        decimals0=info.token0.decimals,
        token1=info.token1.address,
        symbol1=info.token1.symbol,
        decimals1=info.token1.decimals,
        fee_pips=info.fee_pips,
        tick_spacing=info.tick_spacing,
    )
