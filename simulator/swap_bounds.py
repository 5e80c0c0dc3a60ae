"""Whether a swap can have been made from where a pool stands, though the liquidity on part of its way is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from protocol.units import Q96
from simulator.engine import AnyPool
from simulator.events import SwapEvent
from simulator.math.sqrt_price_math import get_amount0_delta, get_amount1_delta
from simulator.math.swap_math import PIPS
from simulator.math.tick_math import get_sqrt_ratio_at_tick

_WORD = 256  # a swap also stops, and rounds, at every so many multiples of the spacing


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Part of a swap's way on which liquidity is constant; None where it is not known."""

    low_x96: int
    high_x96: int
    liquidity: int | None

    def amounts(self, liquidity: int, *, zero_for_one: bool) -> tuple[int, int]:
        """Return what comes in (ceil) and goes out (floor)."""
        amount0 = get_amount0_delta(self.low_x96, self.high_x96, liquidity, round_up=zero_for_one)
        amount1 = get_amount1_delta(self.low_x96, self.high_x96, liquidity, round_up=not zero_for_one)
        return (amount0, amount1) if zero_for_one else (amount1, amount0)

    def out_per_in(self, *, zero_for_one: bool) -> Fraction:
        """Return what goes out for each unit that comes in, fees aside; any liquidity gives the same."""
        price = Fraction(self.low_x96 * self.high_x96, Q96**2)
        return price if zero_for_one else 1 / price


def can_reach(pool: AnyPool, event: SwapEvent, is_known: Callable[[int], bool]) -> bool:
    """Return whether some liquidity where it is not known, and none else than the pool's where it is, explains a swap.

    Parameters: pool  just before the event, not changed   ·   is_known  whether the liquidity at a tick that is
                a multiple of the spacing, and up to the next one, is the pool's
    Returns:    False when the amounts cannot be. True up to the roundings of every step on the way: a unit of each
                token and of the fee, and the least amount that moves the price by one unit
    Rounding:   in the swap's favour
    Raises:     nothing
    Source:     v3-core SwapMath.computeSwapStep: at constant liquidity both amounts are given by the two prices
    """
    zero_for_one = event.sqrt_price_x96 < pool.sqrt_price_x96
    paid, received = (event.amount0, -event.amount1) if zero_for_one else (event.amount1, -event.amount0)
    moves_on = event.tick <= pool.tick if zero_for_one else event.tick >= pool.tick
    if not moves_on:
        return False
    way = list(_way(pool, event, is_known, zero_for_one=zero_for_one))
    slack_in, slack_out = _slack(way, pool, zero_for_one=zero_for_one)
    for stretch in way:
        if stretch.liquidity is not None:
            amount_in, amount_out = stretch.amounts(stretch.liquidity, zero_for_one=zero_for_one)
            paid -= -(-amount_in * PIPS // (PIPS - pool.fee_pips))
            received -= amount_out
    rates = [stretch.out_per_in(zero_for_one=zero_for_one) for stretch in way if stretch.liquidity is None]
    if not rates:
        return abs(paid) <= slack_in and abs(received) <= slack_out
    most_in, least_in = (Fraction((paid + s) * (PIPS - pool.fee_pips), PIPS) for s in (slack_in, -slack_in))
    least_out, most_out = max(least_in, Fraction(0)) * min(rates), most_in * max(rates)
    return least_out - slack_out <= received <= most_out + slack_out


def _way(pool: AnyPool, event: SwapEvent, is_known: Callable[[int], bool], *, zero_for_one: bool) -> Iterator[_Stretch]:
    """Yield the way from the pool's price to the event's, segment by segment of the tick spacing."""
    spacing, liquidity, at_x96 = pool.tick_spacing, pool.liquidity, pool.sqrt_price_x96
    segment, last = pool.tick // spacing, event.tick // spacing
    while True:
        is_last = segment == last
        bound = segment * spacing if zero_for_one else (segment + 1) * spacing
        to_x96 = event.sqrt_price_x96 if is_last else get_sqrt_ratio_at_tick(bound)
        low, high = sorted((at_x96, to_x96))
        yield _Stretch(low, high, liquidity if is_known(segment * spacing) else None)
        if is_last:
            return
        net = pool.ticks[bound].liquidity_net
        liquidity += -net if zero_for_one else net
        segment, at_x96 = segment + (-1 if zero_for_one else 1), to_x96


def _slack(way: list[_Stretch], pool: AnyPool, *, zero_for_one: bool) -> tuple[int, int]:
    """Return by how much what came in and what went out may differ from the sum of the parts."""
    roundings = 2 * (len(way) + len(way) // _WORD + 2)
    liquidity = max(pool.liquidity, *(stretch.liquidity or 0 for stretch in way))
    lowest_x96 = min(stretch.low_x96 for stretch in way)
    least0, least1 = liquidity * Q96 // lowest_x96**2, liquidity // Q96
    slack0, slack1 = roundings + least0, roundings + least1
    return (slack0, slack1) if zero_for_one else (slack1, slack0)
