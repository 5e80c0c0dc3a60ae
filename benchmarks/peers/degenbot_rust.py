"""degenbot 0.6, whose pools are in Rust, on the question that stdin asks; run by that library's own interpreter."""

import json
import sys
import time

from degenbot._ffi import Bot


def address(digit):
    """Return an address of one digit."""
    return "0x" + digit * 40


def run(question):
    """Return the amounts of every swap, the state at the end, and the seconds."""
    bot = Bot(1)
    for digit in "12":
        bot.register_token(address(digit), "token", "T" + digit, 18, 1)
    ticks = {tick: (int(gross), int(net), 1) for tick, gross, net in question["ticks"]}
    kind = address("3"), address("1"), address("2"), question["fee"], question["spacing"], address("4")
    state = int(question["sqrtPrice"]), int(question["liquidity"]), question["tick"]
    pool = bot.get_pool(bot.register_v3_pool(*kind, *state, ticks, 1, "tracked"))
    amounts, end = [], {}
    begin = time.process_time()
    for block, (what, first, second, third) in enumerate(question["events"], start=2):
        if what == "liquidity":
            pool.apply_liquidity_update(first, second, int(third), block)
            if end and first <= end["tick"] < second:
                end["liquidity"] += int(third)
            continue
        limit = None if third is None else int(third)
        end = pool.simulate(first, -int(second), block, limit)  # it counts what the swapper receives
        pool.apply_swap(end["sqrt_price_x96"], end["liquidity"], end["tick"], block)
        amounts.append((str(end["amount0_delta"]), str(end["amount1_delta"])))
    seconds = time.process_time() - begin
    return {
        "amounts": amounts,
        "end": [str(end[k]) for k in ("sqrt_price_x96", "tick", "liquidity")],
        "seconds": seconds,
    }


asked = json.load(sys.stdin)
json.dump(min((run(asked) for _ in range(asked["repeats"])), key=lambda done: done["seconds"]), sys.stdout)
