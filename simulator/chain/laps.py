"""A record as a chain without end, block by block: what happens when, lap after lap."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, replace

from simulator.events import LiquidityEvent, PoolEvent
from simulator.recorded import RecordedMarket
from simulator.records import Record, RecordedBlock
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


def seam_changes(record: Record) -> tuple[LiquidityEvent, ...]:
    """Return the mints and burns that undo those of a lap.

    Parameters: record  any
    Returns:    one change of each range that a lap leaves changed, sorted by range
    Rounding:   none   ·   Raises: nothing
    Source:     what is added up over the record, negated
    """
    total: Counter[tuple[int, int]] = Counter()
    for block in record.blocks:
        for event in block.events:
            if isinstance(event, LiquidityEvent):
                total[event.tick_lower, event.tick_upper] += event.liquidity_delta
    changed = ((key, -delta) for key, delta in sorted(total.items()) if delta)
    return tuple(LiquidityEvent(-1, *key, delta, None, None) for key, delta in changed)


def lived_from(record: Record, number: int) -> Record:
    """Return a record of what a devnet that begins at a block of any lap has before it: enough to seed its pool.

    Parameters: number  at least the record's first block
    Returns:    opens with the pool at that block; then come the rest of the lap, the way back to the opening, and a
                whole lap. Its blocks keep the record's numbers, whatever the lap: only their order means something
    Rounding:   none
    Raises:     ConfigError when the block lies before the record
    Source:     simulator.recorded.RecordedMarket, whose laps these are
    """
    if number == record.first_block:
        return record
    market = RecordedMarket(record, start_block=number)
    offset = (number - record.first_block) % record.length_blocks
    rest = tuple(block for block in record.blocks if block.number > record.first_block + offset)
    changes = seam_changes(record)
    seam = RecordedBlock(record.first_block, record.opening.timestamp, changes, (None,) * len(changes))
    return replace(record, opening=market.snapshot(), blocks=(*rest, seam, *record.blocks))
