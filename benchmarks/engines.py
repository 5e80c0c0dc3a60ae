"""Every engine on the workload: what it answers, and how long it takes for it.

What runs on one thread is timed by that thread's processor time, so that others on the machine do not count; several
threads by the wall clock.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.workload import FEE_PIPS, SPACING, START_TIME, Workload
from simulator.engine import AnyPool, make_pool

SDK = "@uniswap/v3-sdk"
SDK_VERSION = "3.31.5"
PEERS = Path(__file__).parent.parent / ".cache" / "peers"


class Swapper(Protocol):
    """Any pool with a clock and the contract's swap."""

    timestamp: int

    def swap(
        self,
        zero_for_one: bool,  # noqa: FBT001 the contract's own order
        amount_specified: int,
        sqrt_price_limit_x96: Any,
        /,
    ) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Answers:
    """The amounts of every swap, the state at the end, and the seconds that the swaps alone took."""

    amounts: list[tuple[int, int]]
    end: tuple[int, ...]
    seconds: float


def end_of(pool: AnyPool) -> tuple[int, ...]:
    """Return what all exact engines must agree on at the end."""
    growths = pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128
    return (pool.sqrt_price_x96, pool.tick, pool.liquidity, *growths)


def one_call_each(pool: Swapper, workload: Workload, limits: tuple[int | None, int | None] = (None, None)) -> Answers:
    """Swap by swap through a pool's own verb; `limits` are passed to a rising and a falling swap."""
    amounts = []
    begin = time.thread_time()
    for timestamp, call in workload.swaps:
        pool.timestamp = timestamp
        amounts.append(pool.swap(call.zero_for_one, call.amount_specified, limits[call.zero_for_one]))
    return Answers(amounts, (), time.thread_time() - begin)


def python(workload: Workload) -> Answers:
    """Run our engine in plain Python."""
    return _own(workload, engine="python")


def native_calls(workload: Workload) -> Answers:
    """Run our engine in C, a call from Python for every swap."""
    return _own(workload, engine="native")


def _own(workload: Workload, *, engine: Any) -> Answers:
    pool = make_pool(FEE_PIPS, SPACING, engine=engine)
    workload.fill(pool)
    answers = one_call_each(pool, workload)
    return Answers(answers.amounts, end_of(pool), answers.seconds)


def native_batch(workload: Workload, *, forks: int = 1, threads: int = 1, keep_amounts: bool = False) -> Answers:
    """Run our engine in C, all swaps in one call, on forks of one pool; seconds are for all forks."""
    from simulator.native.batch import EventBatch, run_events  # only where it was compiled
    from simulator.native.pool import NativePool

    base = NativePool(FEE_PIPS, SPACING)
    workload.fill(base)
    batch = EventBatch.of(workload.swaps)
    pools = [base.copy() for _ in range(forks)]
    clock = time.thread_time if threads == 1 else time.perf_counter
    begin = clock()
    runs = run_events(pools, batch, threads=threads, keep_amounts=keep_amounts)
    seconds = clock() - begin
    amounts = [runs[0].amounts_at(index) for index in range(len(batch))] if keep_amounts else []
    return Answers(amounts, end_of(pools[-1]), seconds)


def bytecode(workload: Workload) -> Answers:
    """Run the published bytecode of the pool in revm. Raises ImportError where pyrevm is not installed."""
    from support.bytecode_pool import BytecodePool  # the harness of the differential fuzzer

    from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO

    pool = BytecodePool(FEE_PIPS, SPACING)
    pool.timestamp = START_TIME
    pool.initialize(workload.sqrt_price_x96)
    for position in workload.positions:
        pool.mint(0, *position)
    answers = one_call_each(pool, workload, (MAX_SQRT_RATIO - 1, MIN_SQRT_RATIO + 1))
    scalars = pool.scalars()
    names = ("sqrt_price_x96", "tick", "liquidity", "fee_growth_global_0_x128", "fee_growth_global_1_x128")
    return Answers(answers.amounts, tuple(scalars[name] for name in names), answers.seconds)


def install_sdk() -> None:
    """Fetch the TypeScript peer with npm. Raises OSError or CalledProcessError where there is no npm or no network."""
    PEERS.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(PEERS), f"{SDK}@{SDK_VERSION}"]
    subprocess.run(command, check=True, capture_output=True)


def has_sdk() -> bool:
    """Return whether the TypeScript peer is installed."""
    return (PEERS / "node_modules" / SDK).exists()


def typescript_sdk(workload: Workload) -> Answers:
    """Run the quoting pool of Uniswap's own SDK in Node.js; it keeps no fee growth."""
    pool = make_pool(FEE_PIPS, SPACING)
    workload.fill(pool)
    question = {
        "fee": FEE_PIPS,
        "sqrtPrice": str(pool.sqrt_price_x96),
        "liquidity": str(pool.liquidity),
        "tick": pool.tick,
        "ticks": [[t, str(info.liquidity_gross), str(info.liquidity_net)] for t, info in sorted(pool.ticks.items())],
        "swaps": [[call.zero_for_one, str(call.amount_specified)] for _, call in workload.swaps],
    }
    script = Path(__file__).parent / "v3_sdk.js"
    done = subprocess.run(
        ["node", str(script), str(PEERS / "node_modules")],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    amounts = [(int(amount0), int(amount1)) for amount0, amount1 in answer["amounts"]]
    return Answers(amounts, (int(answer["sqrtPrice"]), answer["tick"], int(answer["liquidity"])), answer["seconds"])


def best_of(count: int, run: Callable[[], Answers]) -> Answers:
    """Run several times and return the fastest, as least disturbed by others on the machine."""
    return min((run() for _ in range(count)), key=lambda answers: answers.seconds)
