"""From an approved plan and the chain as it is to one call of the vault, and what must come of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from executor.guards import Limits, Proposal, Refused, check
from executor.live_guards import LiveLimits, Situation, Used, check_situation
from executor.reading import VaultReading
from executor.standing import Standing, standing_of
from executor.vault_adapter import Order, Step, VaultAdapter
from executor.vault_plan import interval_around
from simulator.chain.abi import keccak256
from simulator.fork import VAULT, Fork
from simulator.plan import Execution, Plan, check_desired, execute_plan
from simulator.valuation import QuoteToken, quote_prices

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """All that an operator allows. `slack_ticks` is how far the price may go until the call is mined, `deadline_s`
    how long that may take.
    """

    live: LiveLimits
    plan: Limits = field(default_factory=Limits)
    slack_ticks: int = 30
    deadline_s: int = 120


@dataclass(frozen=True, slots=True)
class Wish:
    """An intent's plan: whose, for which vault, since when, and what plans before it came to: in its round, and in the
    last day. The day's loss counts where the vault does not count itself; `since_due_s` is the time between this plan
    and its round's last one, as they were due.
    """

    execution_id: str
    vault: str
    plan: Plan
    effective_block: int
    round: Used
    day: Used
    since_due_s: int | None = None
    external_price_x96: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The calls, the vault before them, and after them as the simulator says. Shares are parts per million of its
    worth. The call of a number has so many times `deadline_s` from the block on that was read.
    """

    steps: tuple[Step, ...]
    deadlines_s: tuple[int, ...]
    before: Standing
    predicted: Standing
    turnover_ppm: int
    loss_ppm: int


def prepare(wish: Wish, reading: VaultReading, adapter: VaultAdapter, bounds: Bounds) -> Prepared | Refused:
    """Turn a plan into the vault's calls on the chain as it is.

    Parameters: wish  made by `simulator.plan.make_plan` at a checkpoint   ·   reading  of the vault, now
    Returns:    the calls with what must come of them, or why there are none. The plan is carried out as on a miner's
                fork at its effective block: what was to be kept is kept, a swap happens only if it was planned,
                allocations are scaled to what is owned
    Rounding:   shares are ceiled
    Raises:     SimulationError when the fork contradicts the plan
    Source:     design §4.6, §4.11
    """
    order = _order(wish, reading, adapter, bounds)
    if isinstance(order, Refused):
        return order
    fork, plan = order.fork, order.plan
    after = fork.copy()
    execution = execute_plan(after, plan)
    used = Used(_turnover_ppm(fork, execution), _loss_ppm(fork, after))
    situation = _situation(wish, reading, fork, used)
    for verdict in (check_situation(situation, bounds.live), check(_proposal(fork, plan), bounds.plan)):
        if isinstance(verdict, Refused):
            return verdict
    steps = adapter.steps(reading.listing, order)
    if isinstance(steps, Refused):
        return steps
    deadlines = tuple(reading.header.timestamp + bounds.deadline_s * number for number in range(1, len(steps) + 1))
    return Prepared(steps, deadlines, standing_of(fork), standing_of(after), used.turnover_ppm, used.loss_ppm)


def _order(wish: Wish, reading: VaultReading, adapter: VaultAdapter, bounds: Bounds) -> Order | Refused:
    """Return the order as the vault's family can carry it out, or why it cannot."""
    plan = wish.plan
    problem = _misfit(reading.fork, plan)
    if problem is not None:
        return Refused(problem)
    if plan.is_keep:
        return Refused("the plan keeps everything")
    fork = _with_gifts(reading, plan)
    deadline_s = reading.header.timestamp + bounds.deadline_s
    interval = interval_around(fork.pool.tick, bounds.slack_ticks)
    return adapter.fit(Order(fork, plan, interval, keccak256(wish.execution_id.encode()), deadline_s))


def _situation(wish: Wish, reading: VaultReading, fork: Fork, used: Used) -> Situation:
    counted = reading.daily_loss_x18
    day = wish.day if counted is None else replace(wish.day, loss_ppm=-(-counted // 10**12))
    return Situation(
        vault=wish.vault,
        age_blocks=reading.header.number - wish.effective_block,
        tick=fork.pool.tick,
        mean_tick=reading.mean_tick,
        sqrt_price_x96=fork.pool.sqrt_price_x96,
        plan=used,
        round=wish.round,
        day=day,
        vault_limits=reading.limits,
        since_due_s=wish.since_due_s,
        external_price_x96=wish.external_price_x96,
    )


def _misfit(fork: Fork, plan: Plan) -> str | None:
    """Return why a plan cannot be for this vault, or None."""
    problem = check_desired(plan.open, fork.pool.tick_spacing)
    if problem is not None:
        return problem
    if sorted((*plan.keep, *plan.close)) != list(fork.ranges):
        return "the vault holds other positions than the plan was made for"
    if not set(plan.collect) <= set(plan.keep) or {d.range for d in plan.open} & set(plan.keep):
        return "the plan contradicts itself"
    return None


def _with_gifts(reading: VaultReading, plan: Plan) -> Fork:
    """Return the fork with strangers' liquidity in the ranges to be closed as owed: the contract burns it on its own,
    beside the vault's, and both are floored.
    """
    fork = reading.fork.copy()
    for r, liquidity in reading.gifts:
        if r in plan.close:
            key = (VAULT, r.tick_lower, r.tick_upper)
            held = fork.pool.positions[key]
            fork.pool.positions[key] = replace(held, liquidity=held.liquidity + liquidity)
            fork.pool.burn(*key, liquidity)
    return fork


def _proposal(fork: Fork, plan: Plan) -> Proposal:
    return Proposal(
        plan=plan,
        portfolio=fork.portfolio(),
        sqrt_price_x96=fork.pool.sqrt_price_x96,
        tick=fork.pool.tick,
        foreign_liquidity=fork.foreign_liquidity(),
        tick_spacing=fork.pool.tick_spacing,
    )


def _turnover_ppm(fork: Fork, execution: Execution) -> int:
    """Return the share of the vault that the plan's swap pays away."""
    if execution.swapped is None:
        return 0
    prices = quote_prices(fork.pool.sqrt_price_x96, QuoteToken.TOKEN1)
    paid = prices.value(max(execution.swapped.amount0, 0), max(execution.swapped.amount1, 0))
    return _ppm(paid, prices.value(*fork.portfolio().total))


def _loss_ppm(fork: Fork, after: Fork) -> int:
    """Return the share of the vault that the plan costs, at the price before it."""
    prices = quote_prices(fork.pool.sqrt_price_x96, QuoteToken.TOKEN1)
    before = prices.value(*fork.portfolio().total)
    return max(_ppm(before - prices.value(*after.portfolio().total), before), 0)


def _ppm(part: int, whole: int) -> int:
    return -(-part * _MILLION // max(whole, 1))
