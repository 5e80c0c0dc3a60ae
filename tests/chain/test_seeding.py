from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SimulationError
from simulator import records
from simulator.chain.seeding import needed_by_burns, opening_positions
from simulator.events import LiquidityEvent
from simulator.records import Record, RecordedBlock
from simulator.snapshot import TickState

RANGES = st.tuples(st.integers(-20, 19), st.integers(1, 20)).map(lambda pair: (pair[0] * 10, (pair[0] + pair[1]) * 10))
POSITIONS = st.dictionaries(RANGES, st.integers(1, 2**100), min_size=1, max_size=12)


@cache
def usdc_weth() -> Record:
    """A shipped record."""
    return records.load("usdc-weth-005")


def with_ticks(positions: dict[tuple[int, int], int], changes: list[LiquidityEvent]) -> Record:
    """A record whose opening holds these positions, and whose one block holds these changes."""
    shipped = usdc_weth()
    gross: Counter[int] = Counter()
    net: Counter[int] = Counter()
    for (tick_lower, tick_upper), liquidity in positions.items():
        gross.update({tick_lower: liquidity, tick_upper: liquidity})
        net.update({tick_lower: liquidity, tick_upper: -liquidity})
    ticks = tuple((tick, TickState(gross[tick], net[tick], 0, 0)) for tick in sorted(gross))
    block = RecordedBlock(
        shipped.first_block + 1, shipped.opening.timestamp + 1, tuple(changes), (None,) * len(changes)
    )
    return replace(shipped, opening=replace(shipped.opening, ticks=ticks), blocks=(block,))


def ticks_of(positions: dict[tuple[int, int], int]) -> dict[int, tuple[int, int]]:
    """Gross and net by tick."""
    record = with_ticks(positions, [])
    return {tick: (state.liquidity_gross, state.liquidity_net) for tick, state in record.opening.ticks}


def change(tick_lower: int, tick_upper: int, liquidity_delta: int) -> LiquidityEvent:
    """A mint or burn."""
    return LiquidityEvent(0, tick_lower, tick_upper, liquidity_delta, None, None)


@given(positions=POSITIONS, data=st.data())
def test_positions_have_the_ticks_and_survive_every_burn(
    positions: dict[tuple[int, int], int], data: st.DataObject
) -> None:
    balance = dict(positions)
    changes: list[LiquidityEvent] = []
    for key in data.draw(st.lists(st.one_of(st.sampled_from(sorted(positions)), RANGES), max_size=12)):
        delta = data.draw(st.integers(-balance.get(key, 0), 2**100))
        balance[key] = balance.get(key, 0) + delta
        changes.append(change(*key, delta))

    found = opening_positions(with_ticks(positions, changes))

    assert ticks_of(found) == ticks_of(positions)
    left = Counter(found)
    for event in changes:
        left[event.tick_lower, event.tick_upper] += event.liquidity_delta
        assert left[event.tick_lower, event.tick_upper] >= 0


@pytest.mark.parametrize("name", records.names())
def test_a_shipped_record_is_explained_to_the_last_tick(name: str) -> None:
    record = records.load(name)
    expected = {tick: (state.liquidity_gross, state.liquidity_net) for tick, state in record.opening.ticks}
    assert ticks_of(opening_positions(record)) == expected


def test_a_burn_of_what_was_minted_before_needs_nothing() -> None:
    changes = [change(0, 10, 5), change(0, 10, -5), change(0, 10, -3), change(0, 10, 9), change(0, 10, -8)]
    assert needed_by_burns(changes) == {(0, 10): 3}


def test_a_burn_that_the_ticks_cannot_hold_is_refused() -> None:
    with pytest.raises(SimulationError, match="no positions explain the ticks and the burns"):
        opening_positions(with_ticks({(0, 10): 5}, [change(0, 10, -6)]))
    with pytest.raises(SimulationError, match="no positions explain the ticks and the burns"):
        opening_positions(with_ticks({(0, 10): 5}, [change(0, 20, -5)]))


def test_ticks_that_do_not_close_are_refused() -> None:
    record = with_ticks({(0, 10): 5}, [])
    (first, _last) = record.opening.ticks
    unclosed = replace(record, opening=replace(record.opening, ticks=(first,)))
    with pytest.raises(SimulationError, match="liquidity begins that never ends"):
        opening_positions(unclosed)
    odd = replace(record, opening=replace(record.opening, ticks=((0, TickState(5, 4, 0, 0)),)))
    with pytest.raises(SimulationError, match="a tick's gross and net do not go together"):
        opening_positions(odd)
