"""A record as a chain without end, block by block: what happens when, lap after lap."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from simulator.events import PoolEvent
from simulator.records import Record
from simulator.recovery import RecoveredCall


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """A block of a lap. `is_seam` marks the opening block of a later lap, where the pool goes back to the opening."""

    number: int
    timestamp: int
    events: tuple[PoolEvent, ...]
    calls: tuple[RecoveredCall | None, ...]
    is_seam: bool


def planned_block(record: Record, number: int) -> PlannedBlock:
    """Return a block from the record's opening block on; lap n is moved on by n lengths of the record.

    Parameters: number  at least the record's first block
    Returns:    the block with its time and the recorded events and calls, none in most
    Rounding:   none but that of Record.timestamp_at
    Raises:     nothing in that range
    Source:     the same laps as simulator.recorded.RecordedMarket
    """
    lap, offset = divmod(number - record.first_block, record.length_blocks)
    recorded = record.first_block + offset
    timestamp = record.timestamp_at(recorded) + lap * record.duration_s
    index = bisect_left(record.blocks, recorded, key=lambda block: block.number)
    block = record.blocks[index]
    if block.number != recorded:
        return PlannedBlock(number, timestamp, (), (), is_seam=lap > 0 and offset == 0)
    return PlannedBlock(number, timestamp, block.events, block.calls, is_seam=False)


def next_busy_block(record: Record, number: int) -> int:
    """Return the first block after `number` in which something is to be done: events, or a seam.

    Parameters: number  at least the record's first block
    Returns:    a block number of any lap
    Rounding:   none   ·   Raises: nothing in that range   ·   Source: planned_block
    """
    offset = (number - record.first_block) % record.length_blocks
    start = number - offset
    if record.first_block + offset >= record.last_block:
        return start + record.length_blocks
    index = bisect_left(record.blocks, record.first_block + offset + 1, key=lambda block: block.number)
    return start + record.blocks[index].number - record.first_block
