"""A path: what every swap passed, at which rate, through whose liquidity, settled when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from support.worlds import START_BLOCK, START_TIME, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Q96
from simulator import records
from simulator.engine import default_engine, pool_from_snapshot
from simulator.events import FeeProtocolEvent, FlashEvent, LiquidityEvent
from simulator.family import Family
from simulator.flow import Flow, FlowBlock
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.recovery import Happening, RecoveredCall
from simulator.snapshot import PoolSnapshot
from simulator.sweep_path import Flash, Path, Piece, walk

L = 10**21
RATE = 3000 / 997_000
WIDE = (-887220, 887220, L)
PLENTY = 10**30


def price(tick: int) -> float:
    return get_sqrt_ratio_at_tick(tick) / Q96


def to(tick: int, *, falls: bool = False, amount: int = PLENTY) -> RecoveredCall:
    return RecoveredCall(falls, amount, get_sqrt_ratio_at_tick(tick))


def walked(snapshot: PoolSnapshot, *blocks: tuple[int, tuple[Happening, ...]]) -> Path:
    """Walk blocks given as (seconds after the start, what happens)."""
    made = (FlowBlock(START_BLOCK + n, START_TIME + after, what) for n, (after, what) in enumerate(blocks, start=1))
    return walk(Flow(snapshot, tuple(made)), None, engine=default_engine())


def test_a_path_is_cut_where_liquidity_changes_and_settled_at_the_marks_of_a_round() -> None:
    path = walked(
        make_snapshot(positions=(WIDE, (60, 120, 5 * L))),
        (10, (to(90),)),
        (299, (to(150), LiquidityEvent(0, -60, 120, L, None, None))),
        (301, (to(30, falls=True),)),
        (302, ()),
        (950, (FeeProtocolEvent(0, 4, 10), to(20, falls=True), to(30))),
        (1200, (RecoveredCall(True, 1, None), to(31, falls=True))),
    )
    assert path.marks == [get_sqrt_ratio_at_tick(tick) for tick in (0, 150, 30, 30, 30)]
    assert path.rises == [
        Piece(price(0), price(60), RATE, L, 1),
        Piece(price(60), price(90), RATE, 6 * L, 1),
        Piece(price(90), price(120), RATE, 6 * L, 1),
        Piece(price(120), price(150), RATE, L, 1),
        Piece(price(20), price(30), RATE * 0.9, 2 * L, 3),
    ]
    assert path.falls == [
        Piece(price(30), price(60), RATE, 2 * L, 2),
        Piece(price(60), price(120), RATE, 7 * L, 2),
        Piece(price(120), price(150), RATE, L, 2),
        Piece(price(20), price(30), RATE * 0.75, 2 * L, 3),
    ]
    assert path.seconds == Counter({0: 10, 90: 289, 150: 2, 30: 1 + 648 + 250})


def test_flashes_pay_the_liquidity_of_their_tick_less_the_protocol_s_share() -> None:
    flash = FlashEvent(0, 4 * 10**18, 10**18)
    path = walked(make_snapshot(tick=60), (12, (flash, FeeProtocolEvent(0, 4, 10), flash)))
    assert path.flashes == [Flash(60, 4e-3, 1e-3, L, 1), Flash(60, 3e-3, pytest.approx(0.9e-3), L, 1)]


HOLE = make_snapshot(positions=((-887220, 60, L), (600, 887220, L)))


def test_a_hole_that_a_swap_crosses_is_part_of_its_path() -> None:
    path = walked(HOLE, (12, (to(660),)), (24, (to(0, falls=True),)))
    edges = [price(0), price(60), price(600), price(660)]
    parts = [Piece(low, high, RATE, depth, 1) for low, high, depth in zip(edges, edges[1:], (L, 0, L), strict=False)]
    assert path.rises == path.falls == parts


def test_a_hole_in_which_a_swap_ends_counts_if_it_had_something_left_to_spend_there() -> None:
    first = walked(HOLE, (12, (to(300),)))
    assert first.rises == [Piece(price(0), price(60), RATE, L, 1), Piece(price(60), price(300), RATE, 0, 1)]
    assert walked(HOLE, (12, (to(300), FlashEvent(0, 1, 1)))).flashes == []
    _, spent = pool_from_snapshot(HOLE).swap(False, PLENTY, get_sqrt_ratio_at_tick(300))
    as_recovered = to(300, amount=spent + 1)
    assert walked(HOLE, (12, (as_recovered,))).rises == first.rises[:1]


def test_a_path_does_not_depend_on_the_engine() -> None:
    record = records.load("wbtc-weth-03")
    python, fastest = (walk(record.flow(), None, engine=engine) for engine in ("python", default_engine()))
    assert python == fastest
    assert len(python.rises) + len(python.falls) > 725  # swaps, some cut by ticks


def test_what_moves_nothing_leaves_nothing() -> None:
    assert walked(make_snapshot()).marks == [Q96, Q96]
    nothing = walked(
        make_snapshot(), (12, (to(0), RecoveredCall(True, 1, None), LiquidityEvent(0, -60, 60, L, None, None)))
    )
    assert (nothing.rises, nothing.falls, nothing.flashes) == ([], [], [])


def test_a_family_that_shares_its_fees_otherwise_is_not_walked() -> None:
    with pytest.raises(SimulationError, match="replay takes any"):
        walked(replace(make_snapshot(), family=Family.PANCAKE_V3))
