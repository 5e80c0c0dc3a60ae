"""Which positions to open so that a fresh pool has a record's ticks, and can play every burn that the record holds.

A recorded tick says how much liquidity begins or ends at it, not which positions these are. Many sets of positions
give the same ticks, and swaps cannot tell them apart; burns can, because a position is burned as it was minted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from protocol.errors import SimulationError
from simulator.events import LiquidityEvent
from simulator.records import Record

Ranges: TypeAlias = dict[tuple[int, int], int]


def opening_positions(record: Record) -> Ranges:
    """Return liquidity by (tick_lower, tick_upper): the opening's own gross and net at every tick.

    Parameters: record  any whose opening passed PoolSnapshot.check
    Returns:    every range > 0, sorted. A range holds at least what the record's burns take out of it before its mints
                have put it there; what is left is paired from the lowest tick up, the latest beginning first
    Rounding:   none; (gross + net) / 2 begins at a tick and (gross − net) / 2 ends there, both whole
    Raises:     SimulationError when no positions explain the ticks and the burns
    Source:     v3-core Tick.update: gross counts both ends of a position, net adds its lower and subtracts its upper
    """
    begins: Counter[int] = Counter()
    ends: Counter[int] = Counter()
    for tick, state in record.opening.ticks:
        begins[tick], odd = divmod(state.liquidity_gross + state.liquidity_net, 2)
        ends[tick] = state.liquidity_gross - begins[tick]
        if odd:
            raise SimulationError("a tick's gross and net do not go together", record=record.name, tick=tick)
    positions = Counter(needed_by_burns(_liquidity_events(record)))
    for (tick_lower, tick_upper), liquidity in positions.items():
        begins[tick_lower] -= liquidity
        ends[tick_upper] -= liquidity
    positions.update(_paired(record.name, begins, ends))
    return dict(sorted(positions.items()))


def needed_by_burns(events: Iterable[LiquidityEvent]) -> Ranges:
    """Return, by range, the least liquidity to begin with so that no burn takes more than is there.

    Parameters: events  in the order in which they happen
    Returns:    ranges > 0 only   ·   Rounding: none   ·   Raises: nothing
    Source:     v3-core Position.update
    """
    balance: Counter[tuple[int, int]] = Counter()
    needed: Ranges = {}
    for event in events:
        key = (event.tick_lower, event.tick_upper)
        balance[key] += event.liquidity_delta
        if -balance[key] > needed.get(key, 0):
            needed[key] = -balance[key]
    return needed


def _liquidity_events(record: Record) -> Iterable[LiquidityEvent]:
    return (event for block in record.blocks for event in block.events if isinstance(event, LiquidityEvent))


def _paired(record_name: str, begins: Mapping[int, int], ends: Mapping[int, int]) -> Ranges:
    """Join what begins to what ends above it."""
    open_from: list[tuple[int, int]] = []
    pairs: Counter[tuple[int, int]] = Counter()
    for tick in sorted(begins.keys() | ends.keys()):
        ending, beginning = ends.get(tick, 0), begins.get(tick, 0)
        while ending > 0 and open_from:
            tick_lower, liquidity = open_from.pop()
            taken = min(liquidity, ending)
            pairs[tick_lower, tick] += taken
            ending -= taken
            if liquidity > taken:
                open_from.append((tick_lower, liquidity - taken))
        if ending or beginning < 0:
            raise SimulationError("no positions explain the ticks and the burns", record=record_name, tick=tick)
        if beginning:
            open_from.append((tick, beginning))
    if open_from:
        raise SimulationError("liquidity begins that never ends", record=record_name, tick=open_from[-1][0])
    return dict(pairs)
