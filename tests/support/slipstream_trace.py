"""The recorded life of Slipstream pools (tests/vectors/README.md), replayed on `simulator.slipstream.CLPool`."""

from __future__ import annotations

from typing import Any

from support.vectors import load_vectors

from simulator.pool import PoolRevert
from simulator.slipstream import CLPool, DynamicFee

GAUGE, MANAGER = 100, 101
MAX_UINT128 = 2**128 - 1
STATE = (
    "sqrt_price_x96",
    "tick",
    "observation_index",
    "observation_cardinality",
    "observation_cardinality_next",
    "unlocked",
    "liquidity",
    "staked_liquidity",
    "fee_growth_global_0_x128",
    "fee_growth_global_1_x128",
    "gauge_fees_0",
    "gauge_fees_1",
    "reward_growth_global_x128",
    "reward_rate",
    "reward_reserve",
    "period_finish",
    "rollover",
    "last_updated",
    "fee_pips",
    "balance0",
    "balance1",
)


def load_pools() -> list[dict[str, Any]]:
    """Return every recorded pool with its operations and its end."""
    pools: list[dict[str, Any]] = load_vectors("slipstream")
    return pools


def state(pool: CLPool) -> list[Any]:
    """Return the pool's state in the vectors' order."""
    unlocked = pool.sqrt_price_x96 != 0
    return [unlocked if name == "unlocked" else getattr(pool, name) for name in STATE]


def everything(pool: CLPool) -> list[Any]:
    """Return all that a pool remembers, for proving that nothing was touched."""
    mappings = [dict(pool.ticks), dict(pool.tick_bitmap), dict(pool.positions), list(pool.observations)]
    return [*state(pool), pool.dynamic_fee, pool.unstaked_fee_pips, *mappings]


def make_pool(record: dict[str, Any]) -> CLPool:
    """Return a recorded pool as it was created."""
    dynamic = record["dynamicFee"]
    pool = CLPool(
        record["tickSpacing"],
        record["defaultFee"],
        dynamic_fee=DynamicFee(dynamic["scaling"], dynamic["cap"]) if dynamic else None,
        unstaked_fee_pips=0,
        gauge=GAUGE,
        nft=MANAGER,
    )
    pool.timestamp = record["t"]
    pool.initialize(record["sqrtPriceX96"])
    return pool


def call(pool: CLPool, op: dict[str, Any]) -> Any:
    """Carry out one recorded operation."""
    name, args = op["op"], op["args"]
    position = [args.get("owner"), args.get("tickLower"), args.get("tickUpper")]
    ranges = position[1:]
    match name:
        case "mint" | "burn":
            return getattr(pool, name)(*position, args["amount"])
        case "burnByManager":
            return pool.burn(*position, args["amount"], by=MANAGER)
        case "collect":
            return pool.collect(*position, MAX_UINT128, MAX_UINT128)
        case "stake":
            return pool.stake(args["delta"], *ranges, args["positionUpdate"], by=args["by"])
        case "getRewardGrowthInside":
            return (pool.get_reward_growth_inside(*ranges),)
    verb, names = {
        "swap": ("swap", ["zeroForOne", "amountSpecified", "sqrtPriceLimitX96"]),
        "flash": ("flash", ["amount0", "amount1", "pay0", "pay1"]),
        "increaseObservationCardinalityNext": ("increase_observation_cardinality_next", ["n"]),
        "syncReward": ("sync_reward", ["rewardRate", "rewardReserve", "periodFinish"]),
        "updateRewardsGrowthGlobal": ("update_rewards_growth_global", []),
        "collectFees": ("collect_fees", []),
        "setFees": ("set_fees", ["swapFee", "unstakedFee"]),
        "setDynamicFee": ("set_dynamic_fee", ["baseFee", "secondsAgo", "feeCap", "scalingFactor", "discount"]),
    }[name]
    return getattr(pool, verb)(*(args[argument] for argument in names))


def differences(record: dict[str, Any]) -> tuple[int, list[Any]]:
    """Replay one pool until it differs from its record. Returns (checks made, [what differed] or [])."""
    pool = make_pool(record)
    checks = 0
    expected = state(pool)
    for number, op in enumerate(record["ops"]):
        pool.timestamp += op["dt"]
        before = everything(pool)
        checks += 1
        try:
            result = call(pool, op)
        except PoolRevert as revert:
            if op.get("reason") != revert.reason:
                return checks, [number, op, revert.reason]
            if everything(pool) != before:
                return checks, [number, op, "a revert left a trace"]
            continue
        for index, value in op.get("state", ()):
            expected[index] = value
        wanted = [op.get("ret"), expected, op.get("pos")]
        seen = [list(result or ()), state(pool), position_of(pool, op) if "pos" in op else None]
        if seen != wanted:
            return checks, [number, op, seen, wanted]
    checks += 1
    return checks, end_differences(pool, record)


def position_of(pool: CLPool, op: dict[str, Any]) -> list[int]:
    """Return the position that an operation names, in the vectors' order."""
    args = op["args"]
    position = pool.positions[(args["owner"], args["tickLower"], args["tickUpper"])]
    return [
        position.liquidity,
        position.fee_growth_inside_0_last_x128,
        position.fee_growth_inside_1_last_x128,
        position.tokens_owed_0,
        position.tokens_owed_1,
    ]


def end_differences(pool: CLPool, record: dict[str, Any]) -> list[Any]:
    """Compare every tick, position and reward growth of a recorded pool's end; an empty list if all agree."""
    ticks = [[tick, *tick_row(pool, tick)] for tick in pool.ticks]
    if sorted(ticks) != sorted(record["ticks"]):
        return ["ticks", sorted(ticks), sorted(record["ticks"])]
    for owner, tick_lower, tick_upper, *wanted in record["positions"]:
        args = {"owner": owner, "tickLower": tick_lower, "tickUpper": tick_upper}
        seen = position_of(pool, {"args": args})
        if seen != wanted:
            return ["position", args, seen, wanted]
    for tick_lower, tick_upper, growth in record["rewardGrowthInside"]:
        if pool.get_reward_growth_inside(tick_lower, tick_upper) != growth:
            return ["reward growth inside", tick_lower, tick_upper, growth]
    return []


def tick_row(pool: CLPool, tick: int) -> list[Any]:
    """Return a tick in the vectors' order: as in V3, then the staked net and the rewards outside."""
    info = pool.ticks[tick]
    return [
        info.liquidity_gross,
        info.liquidity_net,
        info.fee_growth_outside_0_x128,
        info.fee_growth_outside_1_x128,
        info.tick_cumulative_outside,
        info.seconds_per_liquidity_outside_x128,
        info.seconds_outside,
        info.staked_liquidity_net,
        info.reward_growth_outside_x128,
        info.initialized,
    ]
