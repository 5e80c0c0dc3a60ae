"""Liquidity is bought as the published position manager buys it."""

from __future__ import annotations

import random
from collections import Counter

from support.bytecode_pool import BytecodePool, PositionManager

from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio
from simulator.pool import Pool, PoolRevert

FEE_PIPS, SPACING = 500, 10


def ours(pool: Pool, tick_lower: int, tick_upper: int, amount0: int, amount1: int) -> tuple[int, int, int] | str:
    """Return what the engine buys, or the reason of its revert."""
    try:
        lower, upper = get_sqrt_ratio_at_tick(tick_lower), get_sqrt_ratio_at_tick(tick_upper)
        liquidity = get_liquidity_for_amounts(pool.sqrt_price_x96, lower, upper, amount0, amount1)
        return (liquidity, *pool.mint(0, tick_lower, tick_upper, liquidity))
    except PoolRevert as revert:
        return revert.reason


def theirs(
    manager: PositionManager, tick_lower: int, tick_upper: int, amount0: int, amount1: int
) -> tuple[int, int, int] | str:
    """Return what the position manager buys, or the reason of its revert."""
    try:
        return manager.mint(tick_lower, tick_upper, amount0, amount1)
    except PoolRevert as revert:
        return revert.reason


def test_any_amounts_buy_what_the_position_manager_would_buy(fuzz_seed: int, fuzz_operations: int) -> None:
    rng = random.Random(fuzz_seed)
    outcomes: Counter[str] = Counter()
    for _ in range(max(20, fuzz_operations // 600)):
        price = rng.choice([get_sqrt_ratio_at_tick(rng.randrange(-300, 300) * 100), rng.randrange(2**90, 2**102)])
        price = rng.choice([price, price, MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1, get_sqrt_ratio_at_tick(800_000)])
        contract, engine = BytecodePool(FEE_PIPS, SPACING), Pool(FEE_PIPS, SPACING)
        manager = PositionManager(contract, FEE_PIPS)
        contract.initialize(price)
        engine.initialize(price)
        for _ in range(20):
            centre = get_tick_at_sqrt_ratio(price) // SPACING + rng.randint(-400, 400)
            lower = max(-88_727, min(88_726, centre - rng.randint(1, 500)))
            upper = min(88_727, max(lower + 1, centre + rng.randint(0, 500)))
            amounts = int(10 ** rng.uniform(0, 40)), int(10 ** rng.uniform(0, 40))
            arguments = (lower * SPACING, upper * SPACING, *amounts)
            expected = theirs(manager, *arguments)
            assert ours(engine, *arguments) == expected, (price, arguments)
            outcomes[expected if isinstance(expected, str) else "bought"] += 1
    assert outcomes["bought"] > 200
    assert {"bought", ""} <= set(outcomes) <= {"bought", "", "LO"}
