"""Every engine on a workload: what it answers, and how long it takes for it.

What runs on one thread is timed by that thread's processor time, so that others on the machine count little; several
threads by the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import ledgers
from benchmarks.peers import PEERS, Peer, question_of
from benchmarks.workload import Workload
from simulator.engine import AnyPool
from simulator.engine import Engine as OurEngine
from simulator.events import LiquidityEvent
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO

LIMITS = MAX_SQRT_RATIO - 1, MIN_SQRT_RATIO + 1  # of a rising and a falling swap without one
WARM_RUNS = 2  # of a peer in one process; its best counts
NATIVE_RUNS = 15  # of milliseconds each
Amounts = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Answers:
    """The amounts of every swap (None: it does not tell), the state at the end as far as it keeps one, the seconds.

    The state is (sqrt_price_x96, tick, liquidity), with our own engines also both fee growths and a ledger's sums.
    """

    amounts: Sequence[Amounts]
    end: tuple[int, ...]
    seconds: float

    def difference(self, truth: Answers) -> str | None:
        """Return the first difference from another engine's answers, in as much as both give any."""
        for index, (ours, theirs) in enumerate(zip(self.amounts, truth.amounts, strict=True)):
            if any(a is not None and a != b for a, b in zip(ours, theirs, strict=True)):
                return f"swap {index} gives {ours}, expected {theirs}"
        expected = truth.end[: len(self.end)]
        return None if self.end == expected else f"ends at {self.end}, expected {expected}"


@dataclass(frozen=True, slots=True)
class Engine:
    """One contestant."""

    name: str
    title: str
    run: Callable[[Workload], Answers]


def all_engines() -> tuple[Engine, ...]:
    """Return ours first, then the contract itself, then the peers."""
    ours = (
        Engine("native", "**native engine**", native),
        Engine("native_calls", "native engine, a call from Python each", partial(one_by_one, "native")),
        Engine("python", "Python engine", python),
        Engine("bytecode", "the contract's bytecode in revm", bytecode),
    )
    return (*ours, *(Engine(peer.name, peer.title, partial(ask, peer)) for peer in PEERS))


def end_of(pool: AnyPool) -> tuple[int, ...]:
    """Return what all exact engines must agree on at the end."""
    growths = pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128
    return (pool.sqrt_price_x96, pool.tick, pool.liquidity, *growths)


def play(pool: Any, workload: Workload, limits: tuple[int | None, int | None] = (None, None)) -> Answers:
    """Let everything happen on a pool, one call each; `limits` serve a rising and a falling swap that has none."""
    amounts: list[Amounts] = []
    begin = time.thread_time()
    for timestamp, event in workload.happened:
        pool.timestamp = timestamp
        if isinstance(event, LiquidityEvent):
            verb = pool.mint if event.liquidity_delta > 0 else pool.burn
            verb(0, event.tick_lower, event.tick_upper, abs(event.liquidity_delta))
            continue
        limit = event.sqrt_price_limit_x96 or limits[event.zero_for_one]
        amounts.append(pool.swap(event.zero_for_one, event.amount_specified, limit))
    return Answers(amounts, (), time.thread_time() - begin)


def one_by_one(engine: Any, workload: Workload) -> Answers:
    """Run one of our engines, a call from Python for every event."""
    pool = workload.pool(engine)
    answers = play(pool, workload)
    return Answers(answers.amounts, end_of(pool), answers.seconds)


def python(workload: Workload) -> Answers:
    """Run our engine in plain Python, with a ledger beside it; the better of two runs."""
    end, seconds = with_ledger("python", workload, runs=2)
    return Answers(one_by_one("python", workload).amounts, end, seconds)


def native(workload: Workload) -> Answers:
    """Run our engine in C, all events in one call, with a ledger beside it; the best of a few runs."""
    from simulator.native.batch import EventBatch, run_events  # only where it was compiled

    end, seconds = with_ledger("native", workload, runs=NATIVE_RUNS)
    base, batch = workload.pool("native"), EventBatch.of(workload.happened)
    [checked] = run_events([base], batch, keep_amounts=True)  # type: ignore[list-item]  # it is a native pool
    swaps = [i for i, (_, event) in enumerate(workload.happened) if not isinstance(event, LiquidityEvent)]
    return Answers([checked.amounts_at(index) for index in swaps], end, seconds)


def with_ledger(engine: OurEngine, workload: Workload, *, runs: int) -> tuple[tuple[int, ...], float]:
    """Return the state and the ledger at the end, and the least seconds that living through and booking it took."""
    steps, opening = ledgers.ready(engine, workload), ledgers.marked(workload).opening
    accounts = [ledgers.account_of(workload.pool(engine), workload, opening) for _ in range(runs)]
    seconds = min(ledgers.live(steps, account, workload) for account in accounts)
    end = end_of(accounts[-1].fork.pool)
    ledger = ledgers.close(accounts[-1], workload)
    return (*end, ledger.w_close_x192, ledger.lvr_x192, ledger.fees_x192, ledger.in_range_s), seconds


def bytecode(workload: Workload) -> Answers:
    """Run the published bytecode of the pool in revm. Raises ImportError where pyrevm is not installed."""
    from support.bytecode_pool import BytecodePool  # the harness of the differential fuzzer

    pool = BytecodePool(workload.fee_pips, workload.tick_spacing)
    workload.fill(pool)
    answers = play(pool, workload, LIMITS)
    scalars = pool.scalars()
    names = ("sqrt_price_x96", "tick", "liquidity", "fee_growth_global_0_x128", "fee_growth_global_1_x128")
    return Answers(answers.amounts, tuple(scalars[name] for name in names), answers.seconds)


def ask(peer: Peer, workload: Workload) -> Answers:
    """Run a peer in its own process. Raises OSError or subprocess.SubprocessError."""
    told = peer.answer(question_of(workload.pool("python"), workload.happened, repeats=WARM_RUNS))
    amounts = [tuple(None if amount is None else int(amount) for amount in pair) for pair in told["amounts"]]
    return Answers(amounts, tuple(map(int, told["end"])), told["seconds"])  # type: ignore[arg-type]  # pairs
