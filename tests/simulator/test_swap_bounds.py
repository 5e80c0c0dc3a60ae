from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.events import SwapEvent
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.pool import Pool
from simulator.swap_bounds import can_reach

SPACING = 60
WIDE = 887_220


def pool_of(nets: dict[int, int], *, tick: int, fee_pips: int = 3000) -> Pool:
    """A pool with liquidity everywhere, and more from a tick on up to the next of `nets`."""
    pool = Pool(fee_pips, SPACING)
    pool.initialize(get_sqrt_ratio_at_tick(tick))
    pool.apply_liquidity(-WIDE, WIDE, 10**20)
    for at, more in nets.items():
        pool.apply_liquidity(at, at + SPACING, more)
    return pool


def swapped(pool: Pool, amount: int, *, zero_for_one: bool) -> SwapEvent:
    after = pool.copy()
    amounts = after.swap(zero_for_one, amount, None)
    return SwapEvent(0, *amounts, after.sqrt_price_x96, after.liquidity, after.tick)


@given(
    more=st.dictionaries(st.integers(-4, 4).map(lambda n: n * SPACING), st.integers(10**15, 10**22), max_size=6),
    unknown=st.sets(st.integers(-4, 4).map(lambda n: n * SPACING), max_size=3),
    zero_for_one=st.booleans(),
    tick=st.integers(-59, 59),
    amount=st.integers(10**17, 10**19),
    is_exact_out=st.booleans(),
    price=st.sampled_from([-300_000, -6000, 0, 6000, 300_000]),
)
@settings(max_examples=150)
def test_no_true_swap_is_refused_whatever_the_unknown_ticks_hold(
    more: dict[int, int],
    unknown: set[int],
    zero_for_one: bool,  # noqa: FBT001 - drawn
    tick: int,
    amount: int,
    is_exact_out: bool,  # noqa: FBT001 - drawn
    price: int,
) -> None:
    true = pool_of({price + at: liquidity for at, liquidity in more.items()}, tick=price + tick)
    event = swapped(true, -amount if is_exact_out else amount, zero_for_one=zero_for_one)
    hidden = {price + at for at in unknown} - {n // SPACING * SPACING for n in (true.tick, event.tick)}
    ours = {price + at: liquidity for at, liquidity in more.items() if price + at not in hidden}
    assert can_reach(pool_of(ours, tick=price + tick), event, lambda tick: tick not in hidden)


def test_an_amount_that_no_liquidity_explains_is_refused() -> None:
    true = pool_of({-60: 10**21, -120: 3 * 10**21}, tick=10)
    event = swapped(true, 15 * 10**18, zero_for_one=True)
    assert event.tick < -120
    ours = pool_of({-120: 3 * 10**21}, tick=10)
    assert not can_reach(ours, event, lambda tick: True)
    assert can_reach(ours, event, lambda tick: tick != -60)
    for change in (5, -5):  # one unit in 10**5 more for as much: no price on the way is as good or as bad
        off = replace(event, amount1=event.amount1 + change * event.amount1 // 10**5)
        assert not can_reach(ours, off, lambda tick: tick != -60)
    for change in (100, -100):  # where two segments are unknown, any price between their ends may be paid
        off = replace(event, amount1=event.amount1 + change * event.amount1 // 10**2)
        assert not can_reach(ours, off, lambda tick: tick not in (-60, -120))


@pytest.mark.parametrize(
    "change",
    [
        {"tick": 500},
        {"sqrt_price_x96": get_sqrt_ratio_at_tick(10)},
        {"amount0": 10**30},
    ],
)
def test_what_is_no_way_from_here_to_there_is_refused(change: dict[str, int]) -> None:
    pool = pool_of({}, tick=10)
    event = swapped(pool, 10**18, zero_for_one=True)
    assert can_reach(pool, event, lambda tick: True)
    assert not can_reach(pool, replace(event, **change), lambda tick: False)
    for by in (100, -100):
        assert not can_reach(pool, replace(event, amount0=event.amount0 + by), lambda tick: True)
        assert not can_reach(pool, replace(event, amount1=event.amount1 + by), lambda tick: True)
    far = swapped(pool, 15 * 10**18, zero_for_one=True)
    half = replace(far, amount0=far.amount0 // 2, amount1=far.amount1 // 2)
    assert far.tick < -120 and not can_reach(pool, half, lambda tick: tick != -60), "less than where all is known"
    nothing = replace(event, amount0=0, amount1=0)
    assert can_reach(pool, nothing, lambda tick: False), "where there is no liquidity the price moves for nothing"
    assert not can_reach(pool, nothing, lambda tick: True)
