"""degenbot 0.3, plain Python, on the question that stdin asks; run by that library's own interpreter."""

import json
import sys
import time

from degenbot.uniswap.types import UniswapV3LiquidityAtTick
from degenbot.uniswap.v3_liquidity_pool import UniswapV3Pool

LIMITS = (1461446703485210103287273052203988822378723970341, 4295128740)  # of a rising and a falling swap


def run(question):
    """Return the amounts of every swap, the state at the end, and the seconds."""
    pool = object.__new__(UniswapV3Pool)  # its constructor asks a node
    pool.address, pool.fee, pool.tick_spacing, pool.sparse_liquidity_map = (
        "",
        question["fee"],
        question["spacing"],
        False,
    )
    ticks = {t: UniswapV3LiquidityAtTick(int(net), int(gross)) for t, gross, net in question["ticks"]}

    def settle(price, tick, liquidity):
        pool._state = pool.PoolState("", liquidity, price, tick, {}, ticks)

    settle(int(question["sqrtPrice"]), question["tick"], int(question["liquidity"]))
    amounts = []
    begin = time.process_time()
    for kind, first, second, third in question["events"]:
        if kind == "liquidity":
            for tick, net in ((first, int(third)), (second, -int(third))):
                old = ticks.get(tick, UniswapV3LiquidityAtTick(0, 0))
                ticks[tick] = UniswapV3LiquidityAtTick(old.liquidity_net + net, old.liquidity_gross + int(third))
                if ticks[tick].liquidity_gross == 0:
                    del ticks[tick]
            inside = int(third) if first <= pool.tick < second else 0
            settle(pool.sqrt_price_x96, pool.tick, pool.liquidity + inside)
            continue
        limit = LIMITS[first] if third is None else int(third)
        amount0, amount1, price, liquidity, tick = pool._calculate_swap(first, int(second), limit)
        settle(price, tick, liquidity)
        amounts.append((str(amount0), str(amount1)))
    seconds = time.process_time() - begin
    return {
        "amounts": amounts,
        "end": [str(x) for x in (pool.sqrt_price_x96, pool.tick, pool.liquidity)],
        "seconds": seconds,
    }


asked = json.load(sys.stdin)
json.dump(min((run(asked) for _ in range(asked["repeats"])), key=lambda done: done["seconds"]), sys.stdout)
