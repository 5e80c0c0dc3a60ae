"""The hedge is the slope of the inventory's value: found here by moving the price a little."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support.inventories import inventory

from protocol.inventory import Held, Inventory
from protocol.units import Q96, Q192
from simulator.hedge import token0_to_short
from simulator.math.liquidity_amounts import get_amounts_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick

LIQUIDITY = 10**24


@dataclass(frozen=True)
class Case:
    tick: int
    ranges: tuple[tuple[int, int], ...]


def made(case: Case) -> Inventory:
    price = get_sqrt_ratio_at_tick(case.tick)
    positions = []
    for lower, upper in case.ranges:
        edges = get_sqrt_ratio_at_tick(lower), get_sqrt_ratio_at_tick(upper)
        amount0, amount1 = get_amounts_for_liquidity(price, *edges, LIQUIDITY)
        positions.append(
            Held(
                tick_lower=lower,
                tick_upper=upper,
                liquidity=LIQUIDITY,
                amount0=amount0,
                amount1=amount1,
                fees0=10**15,
                fees1=10**14,
            )
        )
    place = inventory().place.model_copy(update={"sqrt_price_x96": price, "tick": case.tick})
    return inventory("a", *positions, idle0=3 * 10**18, idle1=10**18, place=place)


def value_at(held: Inventory, price: int) -> float:
    """Return what all of it is worth in token1 at a price, positions moving along their curves."""
    total0, total1 = held.idle0, held.idle1
    for p in held.positions:
        edges = get_sqrt_ratio_at_tick(p.tick_lower), get_sqrt_ratio_at_tick(p.tick_upper)
        amount0, amount1 = get_amounts_for_liquidity(price, *edges, p.liquidity)
        total0, total1 = total0 + amount0 + p.fees0, total1 + amount1 + p.fees1
    return total0 * (price**2 / Q192) + total1


CASES = (
    Case(0, ((-600, 600),)),
    Case(5000, ((4000, 8000), (-100, 7000))),
    Case(-700, ((0, 600), (-600, 0), (-1200, -600))),
    Case(0, ()),
)


@pytest.mark.parametrize("case", CASES)
def test_short_by_this_much_the_value_stands_still(case: Case) -> None:
    held = made(case)
    price = held.place.sqrt_price_x96
    up, down = price * 100_001 // 100_000, price * 99_999 // 100_000
    slope = (value_at(held, up) - value_at(held, down)) / ((up**2 - down**2) / Q192)
    assert token0_to_short(held) == pytest.approx(slope, rel=1e-6)


def test_below_its_range_a_position_is_all_token0_and_above_it_none() -> None:
    held = made(Case(0, ((-600, 600),)))
    idle = held.idle0 + held.positions[0].fees0
    everything = get_amounts_for_liquidity(
        get_sqrt_ratio_at_tick(-600), get_sqrt_ratio_at_tick(-600), get_sqrt_ratio_at_tick(600), LIQUIDITY
    )[0]
    assert token0_to_short(held, get_sqrt_ratio_at_tick(600)) == idle
    assert token0_to_short(held, get_sqrt_ratio_at_tick(-601)) == idle + everything
    assert token0_to_short(held) == held.total[0] and held.place.sqrt_price_x96 == Q96
