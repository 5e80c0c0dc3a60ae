"""What the vault says that it is worth and has lost, against exact fractions, where a raw unit is dear or cheap."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vault_world import LOOSE, VaultWorld, any_swap, opening

from executor.vault import ListedPosition
from protocol.units import Q96
from simulator.math.tick_math import get_sqrt_ratio_at_tick

# A dollar of 6 decimals against an ether of 18 either way round, and pools that nobody has: one raw unit of one token
# is worth 10**26 of the other's.
HOMES = (-600_000, -276_300, -60, 60, 276_300, 600_000)


def exact_worth(sqrt_price_x96: int, idle: tuple[int, int], positions: list[ListedPosition]) -> Fraction:
    """Return worth in token1 at a price, with nothing rounded."""
    price = Fraction(sqrt_price_x96, Q96)
    worth = idle[0] * price**2 + idle[1]
    for position in positions:
        lower, upper = (
            Fraction(get_sqrt_ratio_at_tick(t), Q96) for t in (position.range.tick_lower, position.range.tick_upper)
        )
        inside = min(max(price, lower), upper)
        worth += position.liquidity * ((1 / inside - 1 / upper) * price**2 + inside - lower)
    return worth


def wide(home: int) -> VaultWorld:
    """A vault with a hundredth of what the others have."""
    world = VaultWorld(limits=LOOSE, home=home, others=((home - 60_000, home + 60_000, 10**22),))
    root = Fraction(world.sqrt_price_x96, Q96)
    world.deposit(int(10**20 / root), int(10**20 * root))
    return world


@settings(max_examples=8)
@pytest.mark.parametrize("home", HOMES)
@given(
    lower=st.integers(1, 60),
    upper=st.integers(1, 60),
    shares=st.tuples(st.integers(0, 90), st.integers(0, 90)),
    swapped=st.integers(1, 9),
    zero_for_one=st.booleans(),
)
def test_the_figures_are_the_exact_ones(
    home: int,
    lower: int,
    upper: int,
    shares: tuple[int, int],
    swapped: int,
    zero_for_one: bool,  # noqa: FBT001 - hypothesis names it
) -> None:
    """But for the raw units that each amount is rounded down to, and a few of the unit in which worth is counted."""
    world = wide(home)
    has = world.balances(world.vault)
    offered = (has[0] * shares[0] // 100, has[1] * shares[1] // 100)
    world.rebalance(world.plan(opens=[opening(home - 60 * lower, home + 60 * upper, *offered)]))
    world.pass_time(3600)
    idle, held = world.balances(world.vault), world.positions()
    out = has[zero_for_one] * swapped // 100
    beside = (
        (home - 6000, home - 3000, 0, idle[1] + out) if zero_for_one else (home + 3000, home + 6000, idle[0] + out, 0)
    )
    world.rebalance(world.plan(swap=any_swap(zero_for_one, out), opens=[opening(*beside)]))
    price_x96, nav_before, nav_after, _, _, loss_x18, *_ = world.logs[-1].data
    before = exact_worth(price_x96, idle, held)
    after = exact_worth(price_x96, world.balances(world.vault), world.positions())
    price = Fraction(price_x96, Q96)
    unit = (price**2 + 1) * 2 + Fraction(4) / 2**32 * price + 1  # of both tokens, for two positions; see math.worth
    assert before - unit <= nav_before <= before and after - unit <= nav_after <= after
    assert abs(Fraction(loss_x18, 10**18) - (before - after) / before) <= unit / before + Fraction(1, 10**18)
