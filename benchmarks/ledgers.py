"""A ledger beside a workload: one of its positions becomes a vault's, read and booked every 300 seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from benchmarks.workload import Workload
from simulator.engine import AnyPool, Engine, default_engine
from simulator.events import LiquidityEvent
from simulator.fork import Fork
from simulator.gas import DEFAULT_GAS_TABLE
from simulator.ledger import Account, GasPolicy, Ledger
from simulator.opening import RESTRIKE_S
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.stretch import MARK, Changes, Step, Steps, steps_on, take_step
from simulator.valuation import Numeraire, Prices, QuoteToken, Target

_FREE = GasPolicy(0, token_is_0=False, rate_numerator=1, rate_denominator=1, table=DEFAULT_GAS_TABLE)


@dataclass(frozen=True, slots=True)
class Marked:
    """A workload's events with marks, and what prices do at them, as a round's base fork would tell all its forks."""

    steps: tuple[Step, ...]
    opening: Prices
    first: Prices
    last: Prices
    changes: Changes


@lru_cache(maxsize=2)
def marked(workload: Workload) -> Marked:
    """Return a workload with a mark every 300 seconds and one at the end."""
    base = workload.pool(default_engine())
    numeraire = Numeraire(Target.MAX_VALUE, QuoteToken.TOKEN1, 0, 0, base.sqrt_price_x96)
    opening, due = numeraire.prices(base.sqrt_price_x96), workload.start_time + RESTRIKE_S
    steps: list[Step] = []
    prices: dict[int, Prices] = {}
    ended: tuple[int, None] = (workload.happened[-1][0] + RESTRIKE_S, None)
    for timestamp, event in (*workload.happened, ended):
        if timestamp >= due:
            prices[len(steps)] = numeraire.prices(base.sqrt_price_x96)
            steps.append((timestamp, MARK))
            due += (timestamp - due) // RESTRIKE_S * RESTRIKE_S + RESTRIKE_S
        steps.append((timestamp, event))
        take_step(base, steps[-1])
    at = list(prices.values())
    changes = {step: after.less(now) for step, (now, after) in zip(prices, pairwise([*at, at[-1]]), strict=True)}
    return Marked(tuple(steps), opening, at[0], at[-1], changes)


def account_of(pool: AnyPool, workload: Workload, opening: Prices) -> Account:
    """Return the account of a vault that owns the first position which nobody else changes."""
    changed = {(e.tick_lower, e.tick_upper) for _, e in workload.happened if isinstance(e, LiquidityEvent)}
    lower, upper = next((low, high) for low, high, _ in workload.positions[1:] if (low, high) not in changed)
    position = pool.positions[(0, lower, upper)]
    inside = position.fee_growth_inside_0_last_x128, position.fee_growth_inside_1_last_x128
    owned = VaultPosition(Range(lower, upper), position.liquidity, *inside, 0, 0)
    fork = Fork.with_vault(pool, VaultState(0, 0, (owned,), in_pool=True))
    return Account(fork, _FREE, opening, workload.start_time)


def ready(engine: Engine, workload: Workload) -> Steps:
    """Return the steps of a workload, packed where the engine wants that."""
    return steps_on(engine, marked(workload).steps)


def live(steps: Steps, account: Account, workload: Workload) -> float:
    """Let everything happen to an account, and book it; return the seconds of this thread."""
    given = marked(workload)
    begin = time.thread_time()
    [lived] = steps.run([account.fork], [0], len(given.steps), given.changes)
    account.mark_all(lived.marks, given.first, given.last, given.changes[max(given.changes)])
    account.let_pass(account.fork.pool.timestamp, lived.in_range_s)
    return time.thread_time() - begin


def close(account: Account, workload: Workload) -> Ledger:
    """Return the ledger. Raises SimulationError unless it adds up."""
    return account.close(marked(workload).last)
