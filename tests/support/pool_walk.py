"""Random operations on a pool: honest ones, extreme ones, ones that must revert. Each seed gives one walk."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from protocol.units import MAX_TICK, MIN_TICK
from simulator.fee_policy import UNISWAP_V3
from simulator.math.tick_math import (
    MAX_SQRT_RATIO,
    MIN_SQRT_RATIO,
    get_sqrt_ratio_at_tick,
    max_usable_tick,
    min_usable_tick,
)
from simulator.pool import Pool

SPACINGS = {100: 1, 500: 10, 3000: 60, 10000: 200}
KINDS = ("normal", "low_price", "high_price", "tiny", "huge", "boundary", "oracle", "long_walk", "growth_wrap")
LENGTH = 40
MAX_UINT128 = 2**128 - 1
VERBS = {
    "swap": 45,
    "mint": 14,
    "burn": 9,
    "collect": 6,
    "flash": 6,
    "observe": 5,
    "snapshot_cumulatives_inside": 4,
    "collect_protocol": 3,
    "set_fee_protocol": 3,
    "increase_observation_cardinality_next": 2,
    "initialize": 1,
}
MORE = {"oracle": {"observe": 30, "increase_observation_cardinality_next": 8}, "growth_wrap": {"flash": 40, "burn": 20}}


@dataclass(frozen=True, slots=True)
class Operation:
    """One call at one time."""

    timestamp: int
    verb: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"pool.timestamp = {self.timestamp}; pool.{self.verb}({', '.join(map(repr, self.arguments))})"


class PoolWalk:
    """An endless sequence of operations, each chosen with a look at the pool as the engine has it."""

    def __init__(self, seed: int, index: int) -> None:
        self._random = random.Random(f"{seed}/{index}")
        self.kind = KINDS[index % len(KINDS)]
        self.fee_pips = self._random.choice(list(SPACINGS))
        self.spacing = SPACINGS[self.fee_pips]
        self.fee_policy = UNISWAP_V3
        # Near the end of uint32 for the oracle, whose clock wraps there.
        self._time = 2**32 - self._random.randrange(1, 5000) if self.kind == "oracle" else 1601906400
        self._count = 0
        self._early = self._random.random() < 0.1
        self._verbs = VERBS | MORE.get(self.kind, {})

    def next(self, pool: Pool) -> Operation:
        """Return the next operation."""
        self._count += 1
        verb = self._verb(pool)
        self._time += self._pause()
        return Operation(self._time, verb, getattr(self, f"_{verb}")(pool))

    def _verb(self, pool: Pool) -> str:
        if pool.sqrt_price_x96 == 0 and not (self._early and self._count < 4):
            return "initialize"
        if len(pool.positions) < 3 and self._random.random() < 0.6:
            return "mint"
        return self._random.choices(list(self._verbs), list(self._verbs.values()))[0]

    def _pause(self) -> int:
        if self.kind == "oracle":
            return self._random.choice([0, 1, 13, self._random.randrange(100_000), self._random.randrange(2**28)])
        return self._random.choice([0, 0, 2, 12, self._random.randrange(1000)])

    # --- Numbers ----------------------------------------------------------------------------------------------------

    def _magnitude(self, low: float, high: float) -> int:
        """An integer whose logarithm to base 10 is uniform."""
        return int(10 ** self._random.uniform(low, high))

    def _near(self, pool: Pool) -> int:
        """A usable tick not far from the price, often at the edge of a bitmap word."""
        compressed = pool.tick // self.spacing
        if self._random.random() < 0.25:
            edge = (compressed // 256 + self._random.randint(-1, 2)) * 256
            return (edge + self._random.randint(-1, 1)) * self.spacing
        return (compressed + round(self._random.gauss(0, self._random.choice([1, 8, 80, 800])))) * self.spacing

    def _tick(self, pool: Pool) -> int:
        choice = self._random.random()
        if choice < 0.35 and pool.ticks:
            return self._random.choice(sorted(pool.ticks))
        lowest, highest = min_usable_tick(self.spacing), max_usable_tick(self.spacing)
        if choice < 0.82:
            return max(lowest, min(highest, self._near(pool)))
        if choice < 0.95:
            return self._random.choice([lowest, highest, lowest + self.spacing, highest - self.spacing])
        if choice < 0.97:
            return self._near(pool) + self._random.randint(1, 9)
        return self._random.choice([MIN_TICK - 1, MAX_TICK + 1, MIN_TICK, MAX_TICK, -(2**23), 2**23 - 1])

    def _range(self, pool: Pool) -> tuple[int, int]:
        ticks = self._tick(pool), self._tick(pool)
        return ticks if self._random.random() < 0.03 else (min(ticks), max(ticks))

    def _position(self, pool: Pool) -> tuple[Any, int, int]:
        if pool.positions and self._random.random() < 0.93:
            return self._random.choice(sorted(pool.positions, key=repr))
        return (self._random.randrange(3), *self._range(pool))

    def _requested(self, owed: int) -> int:
        return self._random.choice([MAX_UINT128, MAX_UINT128, 0, 1, owed, owed // 2])

    # --- One method a verb: its arguments ---------------------------------------------------------------------------

    def _initialize(self, pool: Pool) -> tuple[int]:
        if self._random.random() < 0.04:
            return (self._random.choice([0, MIN_SQRT_RATIO - 1, MAX_SQRT_RATIO, 2**160 - 1]),)
        price = get_sqrt_ratio_at_tick(self._random.randint(-20_000, 20_000))
        price += self._random.randrange(price // 10_000)
        if self.kind == "boundary":
            price = get_sqrt_ratio_at_tick(self._random.randint(-300, 300) * self.spacing) + self._random.randint(-1, 1)
        if self.kind == "low_price":
            reach = get_sqrt_ratio_at_tick(MIN_TICK + self._random.randrange(600 * self.spacing))
            price = self._random.choice([MIN_SQRT_RATIO, MIN_SQRT_RATIO + 1, reach, reach])
        if self.kind == "high_price":
            reach = get_sqrt_ratio_at_tick(MAX_TICK - 1 - self._random.randrange(600 * self.spacing))
            price = self._random.choice([MAX_SQRT_RATIO - 1, MAX_SQRT_RATIO - 2, reach, reach])
        return (price,)

    def _mint(self, pool: Pool) -> tuple[int, int, int, int]:
        return (self._random.randrange(3), *self._range(pool), self._liquidity(pool))

    def _liquidity(self, pool: Pool) -> int:
        most = pool.max_liquidity_per_tick
        if self._random.random() < 0.04:
            return self._random.choice([0, most + 1, 2**127 - 1, 2**127, MAX_UINT128])
        if self.kind in ("tiny", "growth_wrap"):
            return self._random.randint(1, 5) if self._random.random() < 0.6 else self._magnitude(0, 6)
        if self.kind == "huge":
            return self._random.choice([most, most - self._random.randrange(10**6), most // 2, most // 5, 10**30])
        return self._magnitude(3, 24)

    def _burn(self, pool: Pool) -> tuple[Any, int, int, int]:
        key = self._position(pool)
        liquidity = pool.positions[key].liquidity
        part = self._random.randrange(liquidity + 1)
        amount = self._random.choice([0, 0, liquidity, liquidity, part, part, liquidity + 1, 2**127])
        return (*key, amount)

    def _collect(self, pool: Pool) -> tuple[Any, int, int, int, int]:
        key = self._position(pool)
        owed = pool.positions[key]
        return (*key, self._requested(owed.tokens_owed_0), self._requested(owed.tokens_owed_1))

    def _collect_protocol(self, pool: Pool) -> tuple[int, int]:
        return self._requested(pool.protocol_fees_0), self._requested(pool.protocol_fees_1)

    def _swap(self, pool: Pool) -> tuple[bool, int, int]:
        zero_for_one = self._random.random() < 0.5
        if self.kind in ("low_price", "high_price") and self._random.random() < 0.3:
            zero_for_one = self.kind == "low_price"
        liquidity = pool.liquidity or 10**12
        amount = self._random.choice(
            [
                max(1, liquidity * self._magnitude(0, 9) // 10**8),
                max(1, liquidity * self._magnitude(0, 9) // 10**8),
                self._random.randint(0, 5),
                self._magnitude(0, 38),
                self._random.choice([2**255 - 1, pool.balance0, pool.balance1, 2**128, 2**160]),
            ]
        )
        sign = 1 if self._random.random() < 0.55 else -1
        amount = -(2**255) if sign < 0 and amount == 2**255 - 1 else sign * min(amount, 2**255 - 1)
        return zero_for_one, amount, self._limit(pool, zero_for_one=zero_for_one)

    def _limit(self, pool: Pool, *, zero_for_one: bool) -> int:
        choice = self._random.random()
        last = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        if choice < (0.3 if self.kind in ("low_price", "high_price", "long_walk") else 0.04):
            return last
        if choice < 0.9:
            away = self._random.choice([1, 5, 100, 300, 900]) * self.spacing
            distance = self._random.randint(0, away) * (-1 if zero_for_one else 1)
            tick = pool.tick + distance
            if self._random.random() < 0.4 and pool.ticks:
                ahead = [t for t in pool.ticks if (t <= pool.tick) == zero_for_one]
                tick = self._random.choice(sorted(ahead or pool.ticks))
            limit = get_sqrt_ratio_at_tick(max(MIN_TICK, min(MAX_TICK, tick))) + self._random.choice([-1, 0, 0, 1, 77])
            ordered = (MIN_SQRT_RATIO < limit < pool.sqrt_price_x96, pool.sqrt_price_x96 < limit < MAX_SQRT_RATIO)
            return limit if ordered[0 if zero_for_one else 1] or self._random.random() < 0.2 else last
        if choice < 0.96:
            return max(0, pool.sqrt_price_x96 + self._random.randint(1, 3) * (-1 if zero_for_one else 1))
        return self._random.choice([0, 1, MIN_SQRT_RATIO, MAX_SQRT_RATIO, pool.sqrt_price_x96, 2**160 - 1])

    def _flash(self, pool: Pool) -> tuple[int, int, int, int]:
        amounts = [self._borrowed(pool.balance0), self._borrowed(pool.balance1)]
        pays = [max(0, amount - amount * -pool.fee_pips // 10**6 + self._tip(pool)) for amount in amounts]
        return amounts[0], amounts[1], min(pays[0], 2**256 - 1), min(pays[1], 2**256 - 1)

    def _borrowed(self, balance: int) -> int:
        part = self._random.randrange(balance + 1)
        return self._random.choice([0, 0, 1, part, part, part, balance, balance + 1])

    def _tip(self, pool: Pool) -> int:
        if self.kind == "growth_wrap":
            edge = 2**128 * (pool.liquidity or 1)
            return self._random.choice([edge - self._random.randint(1, 3), edge // 2, edge // 3, edge, 2**255, 0])
        return self._random.choice([0, 0, 0, -1, 1, self._magnitude(0, 30)])

    def _set_fee_protocol(self, pool: Pool) -> tuple[int, int]:
        values = [0, 4, 5, 6, 7, 8, 9, 10, 10, 4]
        if self._random.random() < 0.1:
            values = [1, 3, 11, 255]
        return self._random.choice(values), self._random.choice(values)

    def _increase_observation_cardinality_next(self, pool: Pool) -> tuple[int]:
        return (self._random.choice([0, 1, 2, 3, 5, 8, self._random.randrange(60)]),)

    def _observe(self, pool: Pool) -> tuple[tuple[int, ...]]:
        oldest = (self._time - min((o.block_timestamp for o in pool.observations if o.initialized), default=0)) % 2**32
        ages = [0, 1, 13, oldest, oldest + 1, self._random.randrange(oldest + 1), self._random.randrange(oldest + 1)]
        if self._random.random() < 0.05:
            ages.append(self._random.randrange(2**32))
        return (tuple(min(self._random.choice(ages), 2**32 - 1) for _ in range(self._random.randrange(4))),)

    def _snapshot_cumulatives_inside(self, pool: Pool) -> tuple[int, int]:
        if len(pool.ticks) > 1 and self._random.random() < 0.8:
            lower, upper = sorted(self._random.sample(sorted(pool.ticks), 2))
            return lower, upper
        return self._range(pool)
