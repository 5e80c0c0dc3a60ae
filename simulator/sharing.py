"""Forks that need not be run: without liquidity in range a fork goes where the base goes, up to its nearest tick.

At the same price, liquidity and fee a swap's steps come to the same until one of them could end at a tick that only
the fork has. Within a swap the price moves one way, so it is enough to look at where each swap of the base ended.
Ending exactly on such a tick has reached it: there the fork's step is a whole one, and the base's is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.engine import AnyPool
from simulator.events import LiquidityEvent
from simulator.fork import Fork
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.slipstream import CLPool
from simulator.stretch import Step


class Trail:
    """Where the base went: its price, Q64.96, after each of some steps."""

    def __init__(self, steps: Sequence[Step], sqrt_prices_x96: Sequence[int]) -> None:
        self.steps = steps
        self.sqrt_prices_x96 = sqrt_prices_x96
        changes = (what for _, what in steps if isinstance(what, LiquidityEvent))
        self._ticks = {tick for change in changes for tick in (change.tick_lower, change.tick_upper)}
        self._lowest_x96 = min(sqrt_prices_x96, default=0)
        self._highest_x96 = max(sqrt_prices_x96, default=0)

    def first_outside(self, reach: Reach) -> int | None:
        """Return the first step that a fork of this reach must take itself, None if there is none. A price equal to a
        bound has touched it.
        """
        is_inside = reach.below_x96 < self._lowest_x96 and self._highest_x96 < reach.above_x96
        if is_inside and reach.ticks.isdisjoint(self._ticks):
            return None
        for index, ((_, what), price) in enumerate(zip(self.steps, self.sqrt_prices_x96, strict=True)):
            if not reach.below_x96 < price < reach.above_x96:
                return index
            if isinstance(what, LiquidityEvent) and not reach.ticks.isdisjoint((what.tick_lower, what.tick_upper)):
                return index
        return None


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a fork follows the base: while the price stays strictly between these, and nobody else changes liquidity
    at its own ticks (which on the fork may be full).
    """

    below_x96: int
    above_x96: int
    ticks: frozenset[int]


def reach_of(fork: Fork, base: AnyPool) -> Reach | None:
    """Return how far a fork will follow the base from here, None if it does not.

    Parameters: fork  of a virtual vault: the base does not hold its positions   ·   base  at the same step
    Returns:    a Reach if both pools are in the same state but for the fork's positions, none of which is in range,
                touches the price or is owed anything
    Rounding:   none
    Raises:     nothing
    Source:     design §4.2
    """
    reading = fork.read()
    if reading.fees0 or reading.fees1 or _path(fork.pool) != _path(base):
        return None
    bounds = [(get_sqrt_ratio_at_tick(r.tick_lower), get_sqrt_ratio_at_tick(r.tick_upper)) for r in fork.ranges]
    price = base.sqrt_price_x96
    if any(lower <= price <= upper for lower, upper in bounds):
        return None
    return Reach(
        max((upper for _, upper in bounds if upper < price), default=0),
        min((lower for lower, _ in bounds if lower > price), default=2**160),
        frozenset(tick for r in fork.ranges for tick in (r.tick_lower, r.tick_upper)),
    )


def _path(pool: AnyPool) -> tuple[int, ...]:
    """All on which the next swap of a pool depends, but for its ticks."""
    growths = pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128
    if isinstance(pool, CLPool):
        shares: tuple[int, ...] = pool.fee_pips, pool.unstaked_fee_pips, pool.staked_liquidity
    else:
        shares = (pool.fee_protocol,)
    return (pool.sqrt_price_x96, pool.tick, pool.liquidity, *shares, *growths)
