"""Is what the pool events database holds whole? Every swap is replayed from where the one before left the pool.

Before the first snapshot the ticks are not known. A swap that stays between two neighbouring ones, as most do, needs
none: the price before it and its own liquidity say where it must end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from db.pool_events.records import BlockRange, BlockRow, PoolRow
from db.pool_events.schema import EVENT_TABLES
from db.pool_events.store import History, PoolEventsStore
from simulator.base_fork import BaseFork, Divergence
from simulator.engine import default_engine, make_pool, pool_to_snapshot
from simulator.events import Block, SwapEvent
from simulator.recovery import recover_call
from simulator.snapshot import PoolSnapshot
from tideline.pool_events import blocks_of, snapshot_of

_WINDOW_BLOCKS = 5000


@dataclass(frozen=True, slots=True)
class Gap:
    """Where the index is wrong: what is wrong, the block, and the log at which it showed, if at one."""

    kind: str
    block: int
    log_index: int | None = None


@dataclass(slots=True)
class PoolCheck:
    """What looking at one pool came to. Swaps that no snapshot leads to are not replayed; those of them that stay
    between two neighbouring ticks are compared with the swap before.
    """

    pool: str
    ranges: tuple[BlockRange, ...]
    blocks: int = 0
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENT_TABLES, 0))
    swaps_replayed: int = 0
    swaps_compared: int = 0
    snapshots_met: int = 0
    gap: Gap | None = None


async def check_pool(store: PoolEventsStore, pool: str, on_progress: Callable[[int], None] | None = None) -> PoolCheck:
    """Look at every indexed block of a pool and stop at the first gap of each unbroken range; the earliest is told."""
    ranges = await store.coverage(pool)
    check = PoolCheck(pool, tuple(ranges))
    if len(ranges) != 1:
        check.gap = Gap("not_indexed", ranges[0].last + 1 if ranges else 0)
    snapshots = {row.block_number: snapshot_of(row) for row in await store.snapshots(pool)}
    kinds = {row.pool: row for row in await store.pools()}
    for within in ranges:
        found = await _Range(check, kinds[pool], snapshots).look(store, within, on_progress)
        if found is not None and (check.gap is None or found.block < check.gap.block):
            check.gap = found
    return check


class _Range:
    """The pool over one unbroken range, as far as it was looked at."""

    def __init__(self, check: PoolCheck, kind: PoolRow, snapshots: dict[int, PoolSnapshot]) -> None:
        self._check = check
        self._kind = kind
        self._snapshots = snapshots
        self._parent: BlockRow | None = None
        self._base: BaseFork | None = None
        self._swap: SwapEvent | None = None  # the last one, while there is no base

    async def look(
        self, store: PoolEventsStore, within: BlockRange, on_progress: Callable[[int], None] | None
    ) -> Gap | None:
        opening = self._snapshots.get(within.first - 1)
        if opening is not None:
            self._base = BaseFork(opening, engine=default_engine())
        expected_parent = None if opening is None else opening.block_hash
        for first in range(within.first, within.last + 1, _WINDOW_BLOCKS):
            window = BlockRange(first, min(first + _WINDOW_BLOCKS - 1, within.last))
            history = await store.history(self._check.pool, window, tuple(EVENT_TABLES))
            gap = _broken(history, window, self._parent, expected_parent) or self._replay(blocks_of(history))
            self._count(history)
            if gap is not None:
                return gap
            self._parent = history.blocks[-1]
            if on_progress is not None:
                on_progress(self._check.blocks)
        return None

    def _count(self, history: History) -> None:
        self._check.blocks += len(history.blocks)
        for event in history.events:
            self._check.events[event.table] += 1

    def _replay(self, blocks: Sequence[Block]) -> Gap | None:
        """Let blocks happen from the last snapshot on, and compare with every later one."""
        for block in blocks:
            gap = self._compare(block) if self._base is None else self._apply(block, self._base)
            if gap is not None:
                return gap
            snapshot = self._snapshots.get(block.number)
            if snapshot is not None:
                gap = _differs(self._base, snapshot, block)
                if gap is not None:
                    return gap
                self._check.snapshots_met += self._base is not None
                self._base = self._base or BaseFork(snapshot, engine=default_engine())
        return None

    def _apply(self, block: Block, base: BaseFork) -> Gap | None:
        try:
            for event in block.events:
                base.apply(block, event)
                self._check.swaps_replayed += isinstance(event, SwapEvent)
        except Divergence as divergence:
            return Gap(divergence.kind, block.number, int(str(divergence.where["log_index"])))
        return None

    def _compare(self, block: Block) -> Gap | None:
        for event in block.events:
            if isinstance(event, SwapEvent):
                before, self._swap = self._swap, event
                follows = None if before is None else can_follow(self._kind, before, event)
                if follows is False:
                    return Gap("missed_or_foreign_swap", block.number, event.log_index)
                self._check.swaps_compared += follows is True
        return None


def can_follow(kind: PoolRow, before: SwapEvent, swap: SwapEvent) -> bool | None:
    """Whether a swap starts where the one before ended; None where liquidity may begin or end on its way."""
    if not swap.liquidity or before.tick // kind.tick_spacing != swap.tick // kind.tick_spacing:
        return None
    pool = make_pool(kind.fee_pips, kind.tick_spacing, engine=default_engine())
    pool.initialize(before.sqrt_price_x96)
    pool.knows_balances = False
    pool.liquidity = swap.liquidity
    return recover_call(pool, swap) is not None


def _broken(history: History, window: BlockRange, parent: BlockRow | None, expected_parent: str | None) -> Gap | None:
    """Return the first block that does not follow the one before, or whose events are of another block."""
    parent_hash = expected_parent if parent is None else parent.block_hash
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


def _differs(base: BaseFork | None, snapshot: PoolSnapshot, block: Block) -> Gap | None:
    """Return in what the replayed pool is not as the chain had it at a snapshot's block."""
    if snapshot.block_hash != block.block_hash:
        return Gap("snapshot_of_another_block", block.number)
    if base is None:
        return None
    got = pool_to_snapshot(base.pool, snapshot)
    names = (f.name for f in fields(PoolSnapshot))
    differing = next((name for name in names if getattr(got, name) != getattr(snapshot, name)), None)
    return None if differing is None else Gap(f"snapshot_differs_in_{differing}", block.number)
