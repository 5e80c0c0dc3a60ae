"""The contract authors' tests of the whole pool, replayed with the full state compared after every operation."""

from __future__ import annotations

from typing import Any

from support.vectors import load_vectors

from simulator.math.oracle import EMPTY_OBSERVATION
from simulator.pool import Pool, PoolRevert

MAX_UINT128 = 2**128 - 1


def state(pool: Pool) -> list[Any]:
    """Return the pool's state in the vectors' order."""
    return [
        pool.sqrt_price_x96,
        pool.tick,
        pool.observation_index,
        pool.observation_cardinality,
        pool.observation_cardinality_next,
        pool.fee_protocol,
        pool.sqrt_price_x96 != 0,
        pool.liquidity,
        pool.fee_growth_global_0_x128,
        pool.fee_growth_global_1_x128,
        pool.protocol_fees_0,
        pool.protocol_fees_1,
        pool.balance0,
        pool.balance1,
    ]


def everything(pool: Pool) -> list[Any]:
    """Return all that a pool remembers, for proving that nothing was touched."""
    return [*state(pool), dict(pool.ticks), dict(pool.tick_bitmap), dict(pool.positions), list(pool.observations)]


def test_the_swaps_of_the_specification() -> None:
    checks = 0
    for case in load_vectors("pool_swaps"):
        base = Pool(case["fee"], case["tickSpacing"])
        base.timestamp = 1601906400
        base.initialize(case["sqrtPriceX96"])
        for tick_lower, tick_upper, liquidity in case["positions"]:
            base.mint(0, tick_lower, tick_upper, liquidity)
        assert state(base) == case["stateAfterMints"]
        checks += 1
        for swap in case["swaps"]:
            checks += replay_swap(base, swap)
    assert checks == 15 + 240 + 576


def replay_swap(base: Pool, swap: dict[str, Any]) -> int:
    """Replay one swap on a copy, then burn and collect every position. Returns the number of states compared."""
    before = everything(base)
    pool = base.copy()
    checks = 1
    try:
        quote = pool.quote(swap["zeroForOne"], swap["amountSpecified"], swap["sqrtPriceLimitX96"])
        assert everything(pool) == before
        amounts = pool.swap(swap["zeroForOne"], swap["amountSpecified"], swap["sqrtPriceLimitX96"])
        reached = (quote.amount0, quote.amount1, quote.sqrt_price_x96, quote.tick, quote.liquidity)
        assert reached == (*amounts, pool.sqrt_price_x96, pool.tick, pool.liquidity)
        assert state(pool) == swap["stateAfter"], swap["name"]
    except PoolRevert as revert:
        assert revert.reason == swap["revert"], swap["name"]
        assert everything(pool) == before
    for op in swap["burnCollectAfter"]:
        if op["op"] == "burn":
            pool.burn(0, op["tickLower"], op["tickUpper"], op["amount"])
        else:
            pool.collect(0, op["tickLower"], op["tickUpper"], MAX_UINT128, MAX_UINT128)
        assert state(pool) == op["state"], swap["name"]
        checks += 1
    assert everything(base) == before
    return checks


def call(pool: Pool, op: dict[str, Any]) -> Any:
    """Carry out one recorded operation. Test hooks of the specification set fields directly."""
    name = op["op"]
    position = [op.get("owner"), op.get("tickLower"), op.get("tickUpper")]
    if name in ("mint", "burn"):
        return getattr(pool, name)(*position, op["amount"])
    if name == "collect":
        return pool.collect(*position, op["amount0Requested"], op["amount1Requested"])
    if name in ("swap", "swapPay"):
        return pool.swap(op["zeroForOne"], op["amountSpecified"], op["sqrtPriceLimitX96"])
    if name == "setFeeGrowthGlobal0X128":
        pool.fee_growth_global_0_x128 = op["value"]
        return None
    if name == "setFeeGrowthGlobal1X128":
        pool.fee_growth_global_1_x128 = op["value"]
        return None
    verb, arguments = {
        "initialize": ("initialize", ["sqrtPriceX96"]),
        "flash": ("flash", ["amount0", "amount1", "pay0", "pay1"]),
        "setFeeProtocol": ("set_fee_protocol", ["feeProtocol0", "feeProtocol1"]),
        "collectProtocol": ("collect_protocol", ["amount0Requested", "amount1Requested"]),
        "increaseObservationCardinalityNext": ("increase_observation_cardinality_next", ["n"]),
        "observe": ("observe", ["secondsAgos"]),
        "snapshotCumulativesInside": ("snapshot_cumulatives_inside", ["tickLower", "tickUpper"]),
    }[name]
    return getattr(pool, verb)(*(op[argument] for argument in arguments))


def read(pool: Pool, op: dict[str, Any]) -> list[Any]:
    """Return what a public getter of the contract would return."""
    what, args = op["what"], op["args"]
    full = state(pool)
    answers: dict[str, list[Any]] = {
        "slot0": full[:7],
        "liquidity": full[7:8],
        "feeGrowthGlobal0X128": full[8:9],
        "feeGrowthGlobal1X128": full[9:10],
        "protocolFees": full[10:12],
        "fee": [pool.fee_pips],
        "tickSpacing": [pool.tick_spacing],
        "maxLiquidityPerTick": [pool.max_liquidity_per_tick],
    }
    if what in answers:
        return answers[what]
    if what == "observations":
        return list(pool.observations[args[0]] if args[0] < len(pool.observations) else EMPTY_OBSERVATION)
    if what == "ticks":
        return list(pool.ticks[args[0]])
    position = pool.positions[(args[0], args[1], args[2])]
    return [
        position.liquidity,
        position.fee_growth_inside_0_last_x128,
        position.fee_growth_inside_1_last_x128,
        position.tokens_owed_0,
        position.tokens_owed_1,
    ]


def impossible_here(op: dict[str, Any]) -> bool:
    """The engine's payers always pay and its caller is always the owner: such reverts cannot occur in it."""
    return not op.get("ok", True) and (op["reason"] in ("IIA", "M0", "M1") or op.get("byOwner") is False)


def replay_trace(trace: dict[str, Any]) -> tuple[int, int]:
    """Replay one trace. Returns how many answers or states were compared and how many operations were left out."""
    pool = Pool(trace["fee"], trace["tickSpacing"])
    last = state(pool)
    compared = left_out = 0
    for op in trace["ops"]:
        if op["op"] == "read":
            assert read(pool, op) == op["ret"], (trace["id"], op)
            compared += 1
            continue
        if impossible_here(op):
            left_out += 1
            continue
        pool.timestamp = op["t"]
        compared += compare(pool, op, trace["id"])
        if "state" in op:
            last = state(pool) if op["state"] == "same" else op["state"]
            if op["op"] == "swapPay":
                # The specification overpays on purpose; the engine's payers do not.
                pool.balance0, pool.balance1 = last[12:]
        assert state(pool) == last, (trace["id"], op)
    return compared, left_out


def compare(pool: Pool, op: dict[str, Any], trace_id: int) -> int:
    """Carry out one operation and compare its answer; a dry one on a copy. Returns the number of comparisons."""
    target = pool.copy() if op.get("dry") else pool
    before = everything(pool)
    try:
        result = call(target, op)
    except PoolRevert as revert:
        assert (False, revert.reason) == (op["ok"], op.get("reason")), (trace_id, op)
        assert everything(pool) == before
        return 1
    assert op["ok"], (trace_id, op)
    if "ret" in op:
        assert [list(part) if isinstance(part, tuple) else part for part in result or ()] == op["ret"], (trace_id, op)
    if op.get("dry"):
        assert target.sqrt_price_x96 == op.get("sqrtPriceX96After", target.sqrt_price_x96)
        assert everything(pool) == before
    return 1


def test_the_specification() -> None:
    traces = load_vectors("pool_traces")["spec"]
    assert len(traces) == 166
    totals = [sum(column) for column in zip(*map(replay_trace, traces), strict=True)]
    assert totals == [843, 10]


def test_the_arbitrage_specification() -> None:
    traces = load_vectors("pool_traces")["arbitrage"]
    assert len(traces) == 48
    totals = [sum(column) for column in zip(*map(replay_trace, traces), strict=True)]
    assert totals == [520, 0]
