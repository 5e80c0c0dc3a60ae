"""The vault on the published bytecode and a fork of the engine, kept in step: what others do happens to both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from support.vault_world import FEE, LOOSE, OTHERS, SPACING, UNIT, VaultWorld

from executor.vault import VaultCall
from simulator.fork import VAULT, Fork
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Plan, execute_plan
from simulator.pool import Pool
from simulator.portfolio import Range


class VaultTwin:
    """A vault with tokens in a pool of three other positions, and its fork."""

    def __init__(self, amount0: int = 12 * UNIT, amount1: int = 8 * UNIT) -> None:
        others = ((-60_000, 60_000, 4000 * UNIT), (-1200, 900, 1000 * UNIT), (-120, 240, 777 * UNIT))
        self.world = VaultWorld(limits=replace(LOOSE, max_deviation=300), others=others)
        self.world.deposit(amount0, amount1)
        pool = Pool(FEE, SPACING)
        pool.initialize(get_sqrt_ratio_at_tick(0))
        for lower, upper, liquidity in others:
            pool.mint(OTHERS, lower, upper, liquidity)
        self.fork = Fork(pool, amount0, amount1, ())

    def push_to(self, sqrt_price_x96: int) -> None:
        """Have others trade until there is this price, in both."""
        pool = self.fork.pool
        if sqrt_price_x96 != pool.sqrt_price_x96:
            pool.swap(sqrt_price_x96 < pool.sqrt_price_x96, 2**119, sqrt_price_x96)
        self.world.push_to(sqrt_price_x96)

    def trade(self, zero_for_one: bool, amount: int) -> None:  # noqa: FBT001 - the contract's order
        """Have others swap, in both."""
        self.fork.pool.swap(zero_for_one, amount, None)
        self.world.swap(zero_for_one, amount)

    def settle(self) -> None:
        """Let a day and more pass: the means are the price, the budgets whole, the keeper reappointed."""
        self.world.pass_time(26 * 3600)
        self.world.appoint()

    def execute(self, plan: Plan, call: VaultCall) -> None:
        """Carry out a plan on both."""
        execute_plan(self.fork, plan)
        self.world.rebalance(call)

    def difference(self) -> str | None:
        """Return in what the two differ, to the wei, or None."""
        world, fork = self.world, self.fork
        for name, of_world, of_fork in (
            ("price", world.sqrt_price_x96, fork.pool.sqrt_price_x96),
            ("idle", world.balances(world.vault), (fork.idle0, fork.idle1)),
            ("positions", self._positions([p.range for p in world.positions()]), self._expected()),
            ("list", {p.range: p.liquidity for p in world.positions()}, self._expected()),
        ):
            if of_world != of_fork:
                return f"{name}: vault {of_world}, fork {of_fork}"
        return None

    def _positions(self, ranges: Sequence[Range]) -> dict[Range, int]:
        vault = self.world.vault
        return {r: self.world.liquidity_of(vault, r.tick_lower, r.tick_upper) for r in ranges}

    def _expected(self) -> dict[Range, int]:
        positions = self.fork.pool.positions
        return {r: positions[(VAULT, r.tick_lower, r.tick_upper)].liquidity for r in self.fork.ranges}
