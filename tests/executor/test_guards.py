"""Each guard of a plan alone: on its limit it allows, one beyond it refuses and says by how much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from executor.guards import Allowed, Limits, Proposal, Refused, check
from protocol.units import Q96
from simulator.math.liquidity_amounts import get_amount0_for_liquidity, get_amount1_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Desired, NetSwap, Plan
from simulator.portfolio import Holding, Portfolio, Range

UNIT = 10**18
PRICE, TICK = 2 * Q96, 13_863  # token0 is worth 4 token1; the tick is on the spacing, 3
INSIDE, LEFT, CLOSED = Range(13_803, 13_923), Range(13_743, TICK), Range(13_800, 13_926)
LIMITS = Limits(max_positions=4, max_swap_ppm=500_000, max_pool_share_ppm=100_000, min_width_spacings=2)


def offered(liquidity: int, bounds: Range) -> Desired:
    """Return an open whose tokens, rounded up, come to so much liquidity at the price."""
    lower, upper = get_sqrt_ratio_at_tick(bounds.tick_lower), get_sqrt_ratio_at_tick(bounds.tick_upper)
    amount0 = get_amount0_for_liquidity(max(lower, PRICE), upper, liquidity) + 1 if upper > PRICE else 0
    return Desired(bounds, amount0, get_amount1_for_liquidity(lower, min(upper, PRICE), liquidity) + 1)


NARROWEST, BELOW = offered(UNIT, Range(TICK, TICK + 6)), offered(1000 * UNIT, Range(TICK - 6, TICK))
PLAN = Plan((INSIDE, LEFT), (CLOSED,), (), None, (NARROWEST, BELOW))
ON_EVERY_LIMIT = Proposal(
    PLAN,
    # Worth 4 * (10 + 50 + 20 + 15 + 5) + (100 + 400 + 60 + 30 + 10) = 1000 token1.
    Portfolio(
        10,
        100,
        (
            Holding(LEFT, 1000 * UNIT, 0, 0, 0, 0),
            Holding(CLOSED, 1000 * UNIT, 15, 30, 5, 10),
            Holding(INSIDE, 3 * UNIT, 50, 400, 20, 60),
        ),
    ),
    PRICE,
    TICK,
    foreign_liquidity=36 * UNIT,
    tick_spacing=3,
)


@pytest.mark.parametrize("swap", [None, NetSwap(True, 500), NetSwap(False, 125)])
def test_on_every_limit_it_is_allowed(swap: NetSwap | None) -> None:
    assert check(replace(ON_EVERY_LIMIT, plan=replace(PLAN, swap=swap)), LIMITS) == Allowed()


@pytest.mark.parametrize(
    ("plan", "change", "reason"),
    [
        ({"open": (NARROWEST, BELOW, Desired(Range(0, 6), 0, 1))}, {}, "5 positions, at most 4"),
        ({"open": (offered(UNIT, Range(TICK, TICK + 3)),)}, {}, "range 13863..13866 is narrower than 6 ticks"),
        ({"swap": NetSwap(True, 501)}, {}, "swaps 501000 ppm of the portfolio, at most 500000"),
        ({"swap": NetSwap(False, 126)}, {}, "swaps 504000 ppm of the portfolio, at most 500000"),
        ({}, {"foreign_liquidity": 36 * UNIT - 4 * 10**14}, "in-range share 100001 ppm, at most 100000"),
        ({"keep": (INSIDE, CLOSED)}, {}, "in-range share 965384 ppm, at most 100000"),
    ],
)
def test_one_beyond_a_limit_is_refused_and_the_plans_fault(
    plan: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    proposal = replace(ON_EVERY_LIMIT, plan=replace(PLAN, **plan), **change)
    assert check(proposal, LIMITS) == Refused(reason, is_plans=True)


def test_one_tick_further_other_positions_are_in_range() -> None:
    """Below the price's tick `LEFT` and `BELOW` hold it, `NARROWEST` does not: 2003 of 11003, 1003 of 10030."""
    below = replace(ON_EVERY_LIMIT, tick=TICK - 1, foreign_liquidity=9000 * UNIT)
    alone = replace(below, plan=replace(PLAN, open=()), foreign_liquidity=9027 * UNIT)
    for proposal, reason in ((below, "in-range share 182041 ppm"), (alone, "in-range share 100000 ppm")):
        assert check(proposal, replace(LIMITS, max_pool_share_ppm=0)) == Refused(f"{reason}, at most 0", is_plans=True)


def test_a_plan_of_nothing_on_nothing_is_allowed() -> None:
    nothing = Proposal(Plan((), (), (), None, ()), Portfolio(0, 0, ()), PRICE, TICK, 0, 3)
    assert check(nothing, Limits(0, 0, 0, 0)) == Allowed()
