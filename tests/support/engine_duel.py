"""The two engines against each other: the same operations, every answer and the whole state compared after each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.pancake_walk import PancakeWalk
from support.pool_duel import answer, shrunk
from support.pool_fields import FIELDS
from support.pool_walk import LENGTH, Operation, PoolWalk

from protocol.units import Q96
from simulator.fee_policy import PANCAKE_V3, UNISWAP_V3, ProtocolFeePolicy
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.pool import Pool

LAST = (MAX_SQRT_RATIO - 1, MIN_SQRT_RATIO + 1)  # how far a rising and a falling swap can go


@dataclass(frozen=True, slots=True)
class EngineDefeat:
    """A difference, and the fewest operations found that show it."""

    seed: int
    index: int
    fee_pips: int
    tick_spacing: int
    fee_policy: ProtocolFeePolicy
    operations: tuple[Operation, ...]
    difference: str

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, walk {self.index}: {self.difference}", "reproduce:"]
        lines.append(f"pool = Pool({self.fee_pips}, {self.tick_spacing}, {self.fee_policy})")
        return "\n".join([*lines, *map(str, self.operations)])


def state(pool: Any) -> dict[str, Any]:
    """Return everything a pool remembers, detached from it, in the types of the Python engine."""
    content = {name: getattr(pool, name) for name in FIELDS}
    return content | {name: dict(content[name]) for name in ("ticks", "tick_bitmap", "positions")}


def difference_of(ours: Any, theirs: Any) -> str | None:
    """Return in what two pools differ, None if they do not."""
    a, b = state(ours), state(theirs)
    return "; ".join(f"{name}: {a[name]} and {b[name]}" for name in a if a[name] != b[name]) or None


class EngineDuel:
    """One pool twice: in plain Python and in another engine."""

    def __init__(
        self, native: Any, fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy = UNISWAP_V3
    ) -> None:
        self.python = Pool(fee_pips, tick_spacing, fee_policy)
        self.native = native(fee_pips, tick_spacing, fee_policy)

    def step(self, operation: Operation) -> str | None:
        """Carry out one operation on both. Returns how they differ, None if they do not."""
        if operation.verb == "swap":
            quote = Operation(operation.timestamp, "quote", operation.arguments)
            quotes = answer(self.python, quote), answer(self.native, quote)
            if quotes[0] != quotes[1]:
                return f"quotes: {quotes[0]} and {quotes[1]}"
        answers = answer(self.python, operation), answer(self.native, operation)
        if answers[0] != answers[1]:
            return f"answers: {answers[0]} and {answers[1]}"
        return difference_of(self.python, self.native)


def fight_engines(
    native: Any, seed: int, index: int, walks: type[PoolWalk | PancakeWalk] = PoolWalk
) -> EngineDefeat | None:
    """Walk once with both; return the difference met, with as few operations as possible, or None."""
    walk = walks(seed, index)
    kind = walk.fee_pips, walk.spacing, walk.fee_policy
    duel = EngineDuel(native, *kind)
    operations: list[Operation] = []
    for _ in range(LENGTH):
        operations.append(walk.next(duel.python))
        if duel.step(operations[-1]) is not None:

            def replay(kept: Sequence[Operation]) -> str | None:
                return replayed_engines(native, *kind, kept)

            fewest = shrunk(operations, replay)
            return EngineDefeat(seed, index, *kind, tuple(fewest), str(replay(fewest)))
    return None


def replayed_engines(
    native: Any, fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy, operations: Sequence[Operation]
) -> str | None:
    """Carry out fixed operations on a fresh pair; return the first difference."""
    duel = EngineDuel(native, fee_pips, tick_spacing, fee_policy)
    return next((difference for op in operations if (difference := duel.step(op)) is not None), None)


def probe_engines(native: Any) -> str | None:
    """Return how the engines differ where random walks hardly ever come: exact multiples, small steps
    at edges, and many segments crossed again and again."""
    return _probe_multiples(native) or _probe_edges(native) or _probe_sweeps(native)


def _probe_multiples(native: Any) -> str | None:
    """Outputs one unit short of, equal to and above what a whole step pays, where that is a whole number."""
    for shift in (90, 96, 100):
        for tick in (-600, 600):
            distance = abs(get_sqrt_ratio_at_tick(tick) - Q96)
            for extra in (-2, -1, 0, 1):
                duel = EngineDuel(native, 3000, 60)
                amount = (distance << shift >> 96) + extra
                operations = [
                    Operation(9, "initialize", (Q96,)),
                    Operation(9, "mint", (0, -600, 600, 1 << shift)),
                    Operation(9, "mint", (0, -88_800, 88_800, 10**20)),
                    Operation(9, "burn", (0, -88_800, 88_800, 10**20)),
                    Operation(21, "swap", (tick < 0, -amount, get_sqrt_ratio_at_tick(2 * tick))),
                ]
                found = next((difference for op in operations if (difference := duel.step(op)) is not None), None)
                if found is not None:
                    return found
    return None


def _probe_edges(native: Any) -> str | None:
    """Steps of a few ticks back and forth over the edges of bitmap words that no initialised tick marks."""
    for seed in range(12):
        rng = random.Random(seed)
        edge = 256 * rng.randrange(-3, 3) - rng.choice([0, 1])
        duel = EngineDuel(native, 100, 1)
        duel.step(Operation(9, "initialize", (get_sqrt_ratio_at_tick(edge) + rng.randrange(2**78),)))
        duel.step(Operation(9, "mint", (0, -5000, 5000, 10 ** rng.randint(6, 12))))
        for _ in range(250):
            falls = duel.python.tick > edge if rng.random() < 0.6 else rng.random() < 0.5
            size = duel.python.liquidity * rng.randrange(1, 40) // 200_000
            amount = max(1, size) * rng.choice([1, 1, -1])
            found = duel.step(Operation(21, "swap", (falls, amount, LAST[falls])))
            if found is not None:
                return found
    return None


def _probe_sweeps(native: Any) -> str | None:
    """Swaps over segments that were crossed before: to limits between and on ticks, and by amounts that end there."""
    for policy in (UNISWAP_V3, PANCAKE_V3):
        rng = random.Random(policy.denominator)
        shares = [0, 0, policy.lowest, policy.highest]
        duel = EngineDuel(native, 500, 10, policy)
        duel.step(Operation(9, "initialize", (Q96 + 12345,)))
        for index in range(-30, 30):
            liquidity = rng.choice([1, 10**9, 10**9 + 1, rng.randrange(1, 10**18)])
            duel.step(Operation(9, "apply_liquidity", (index * 10, index * 10 + 10, liquidity)))
        for step in range(400):
            operation = _sweep(duel.python, rng, 9 + step // 3)
            if step % 40 == 39:
                operation = Operation(9 + step // 3, "set_fee_protocol", (rng.choice(shares), rng.choice(shares)))
            found = duel.step(operation)
            if found is not None:
                return f"{operation}: {found}"
    return None


def _sweep(pool: Pool, rng: random.Random, timestamp: int) -> Operation:
    falls = pool.tick > 0 if rng.random() < 0.7 else rng.random() < 0.5
    tick = max(-290, min(290, pool.tick + (-1 if falls else 1) * rng.randrange(11, 200)))
    limit = get_sqrt_ratio_at_tick(tick // 10 * 10 + rng.choice([0, 0, 5])) + rng.choice([-1, 0, 0, 1])
    if falls != (limit < pool.sqrt_price_x96) or limit == pool.sqrt_price_x96:
        return Operation(timestamp, "swap", (falls, 1, LAST[falls]))
    exact_in = rng.random() < 0.5
    quote = pool.quote(falls, 10**30 if exact_in else -(10**30), limit)
    # What reaches the limit, one unit more or less; the other side asks to be given, or gives, as much.
    amount = (quote.amount0 if falls == exact_in else quote.amount1) + rng.choice([-1, 0, 0, 1])
    choice = rng.random()
    if choice < 0.4:
        return Operation(timestamp, "swap", (falls, amount or 1, LAST[falls]))
    return Operation(timestamp, "swap", (falls, 10**30 if exact_in else -(10**30), limit))
