"""What was indexed, held row by row against what a node tells now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TypeVar

from db.pool_events.records import BlockRange, BlockRow, EventRow
from db.pool_events.schema import EVENT_TABLES
from db.pool_events.store import PoolEventsStore
from simulator.chain.history import PoolHistory
from tideline.index_check import PoolCheck
from tideline.index_replay import Gap
from tideline.indexer import Fact, Indexed, rows_of

Row = TypeVar("Row", BlockRow, EventRow)


async def reread(
    store: PoolEventsStore, history: PoolHistory, check: PoolCheck, report: Callable[[Fact], None]
) -> None:
    """Read every covered block of a pool from the chain again; the first difference becomes the check's gap, unless
    that lies before. Raises ChainError where the chain cannot be read.
    """
    for within in check.ranges:
        gap = await _reread_range(store, history, check, within, report)
        if gap is not None and (check.gap is None or gap.block <= check.gap.block):
            check.gap = gap


async def _reread_range(
    store: PoolEventsStore,
    history: PoolHistory,
    check: PoolCheck,
    within: BlockRange,
    report: Callable[[Fact], None],
) -> Gap | None:
    at = within.first
    while at <= within.last:
        blocks, events = rows_of(await history.read(at, within.last))
        left = sum(r.last - r.first + 1 for r in check.ranges) - check.blocks_reread - len(blocks)
        report(Indexed(BlockRange(at, blocks[-1].number), len(events), left))
        stored = await store.history(check.pool, BlockRange(at, blocks[-1].number), tuple(EVENT_TABLES))
        block = _first_difference(stored.blocks, blocks)
        if block is not None:
            return Gap("another_block_on_the_chain", block.number)
        event = _first_difference(stored.events, events)
        if event is not None:
            return Gap("another_log_on_the_chain", event.block_number, event.log_index)
        check.blocks_reread += len(blocks)
        check.logs_reread += len(events)
        at = blocks[-1].number + 1
    return None


def _first_difference(stored: Sequence[Row], told: Sequence[Row]) -> Row | None:
    """Return the first row that only one of the two has."""
    for ours, theirs in zip_longest(stored, told):
        if ours != theirs:
            return min((row for row in (ours, theirs) if row is not None), key=_place)
    return None


def _place(row: BlockRow | EventRow) -> tuple[int, int]:
    return (row.number, 0) if isinstance(row, BlockRow) else (row.block_number, row.log_index)
