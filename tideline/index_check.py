"""Is what was indexed whole? The blocks by their hashes; the events by replaying each from where the one before left.

A snapshot leads the replay. Where none does, the events are read twice: first for what they tell of the liquidity that
was there before them (`simulator.inferred_liquidity`), then to replay them on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from db.pool_events.records import BlockRange
from db.pool_events.schema import EVENT_TABLES
from db.pool_events.store import History, PoolEventsStore
from tideline.index_replay import Gap, RangeReplay, Verified
from tideline.pool_events import blocks_of, snapshot_of

_WINDOW_BLOCKS = 5000


@dataclass(slots=True)
class PoolCheck:
    """What looking at one pool came to."""

    pool: str
    ranges: tuple[BlockRange, ...]
    blocks: int = 0
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENT_TABLES, 0))
    verified: Verified = field(default_factory=Verified)
    blocks_reread: int = 0
    logs_reread: int = 0
    gap: Gap | None = None

    @property
    def swaps_unchecked(self) -> int:
        """Swaps that nothing leads to: the first of a range without a snapshot, and those after a gap."""
        checked = self.verified
        return self.events["swaps"] - checked.swaps_replayed - checked.swaps_inferred - checked.swaps_bounded

    @property
    def checked_percent(self) -> float | None:
        """How many of the swaps were held against where the one before ended, in percent, rounded down."""
        swaps = self.events["swaps"]
        return (swaps - self.swaps_unchecked) * 10_000 // swaps / 100 if swaps else None


async def check_pool(store: PoolEventsStore, pool: str) -> PoolCheck:
    """Look at every indexed block of a pool and stop at the first gap of each unbroken range; the earliest is told."""
    ranges = await store.coverage(pool)
    check = PoolCheck(pool, tuple(ranges))
    if len(ranges) != 1:
        check.gap = Gap("not_indexed", ranges[0].last + 1 if ranges else 0)
    snapshots = {row.block_number: snapshot_of(row) for row in await store.snapshots(pool)}
    kinds = {row.pool: row for row in await store.pools()}
    for within in ranges:
        replay = RangeReplay(kinds[pool], store.chain_id, snapshots, check.verified)
        found = await _Range(check, replay, store, within).look()
        if found is not None and (check.gap is None or found.block < check.gap.block):
            check.gap = found
    return check


class _Range:
    """The pool over one unbroken range, as far as it was looked at."""

    def __init__(self, check: PoolCheck, replay: RangeReplay, store: PoolEventsStore, within: BlockRange) -> None:
        self._check = check
        self._replay = replay
        self._store = store
        self._within = within

    async def look(self) -> Gap | None:
        opening = self._replay.snapshots.get(self._within.first - 1)
        if opening is not None:
            self._replay.start(opening)
        else:
            await self._learn()
        parent_hash = None if opening is None else opening.block_hash
        async for window, history in self._windows():
            gap = _broken(history, window, parent_hash) or self._replay.happen(blocks_of(history))
            self._count(history)
            if gap is not None:
                return gap
            parent_hash = history.blocks[-1].block_hash
        return None

    async def _learn(self) -> None:
        async for _, history in self._windows():
            if self._replay.learn(blocks_of(history)):
                return

    async def _windows(self) -> AsyncIterator[tuple[BlockRange, History]]:
        for first in range(self._within.first, self._within.last + 1, _WINDOW_BLOCKS):
            window = BlockRange(first, min(first + _WINDOW_BLOCKS - 1, self._within.last))
            yield window, await self._store.history(self._check.pool, window, tuple(EVENT_TABLES))

    def _count(self, history: History) -> None:
        self._check.blocks += len(history.blocks)
        for event in history.events:
            self._check.events[event.table] += 1


def _broken(history: History, window: BlockRange, parent_hash: str | None) -> Gap | None:
    """Return the first block that does not follow the one before, or whose events are of another block."""
    hashes: dict[int, str] = {}
    for number, block in zip(range(window.first, window.last + 1), history.blocks, strict=False):
        if block.number != number:
            return Gap("missing_block", number)
        if parent_hash is not None and block.parent_hash != parent_hash:
            return Gap("broken_chain", number)
        parent_hash = hashes[number] = block.block_hash
    if len(history.blocks) < window.last - window.first + 1:
        return Gap("missing_block", window.first + len(history.blocks))
    stray = next((e for e in history.events if hashes[e.block_number] != e.block_hash), None)
    return None if stray is None else Gap("event_of_another_block", stray.block_number, stray.log_index)
