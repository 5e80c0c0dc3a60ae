"""From a plan to the vault's call: the same plan, with the amounts below which it must not happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from executor.guards import Refused
from executor.vault import VaultCall, VaultClose, VaultOpen, VaultSwap
from protocol.units import MAX_TICK, MIN_TICK, Q192
from simulator.fork import Fork, amounts_for_liquidity
from simulator.math.full_math import mul_div_rounding_up
from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Desired, Execution, Plan, execute_plan, scale_to_owned
from simulator.portfolio import Holding

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class PriceInterval:
    """The prices at which a plan may be carried out, as square roots Q64.96, both included."""

    lower_x96: int
    upper_x96: int

    def __contains__(self, sqrt_price_x96: int) -> bool:
        return self.lower_x96 <= sqrt_price_x96 <= self.upper_x96


@dataclass(frozen=True, slots=True)
class Ticket:
    """What makes one call of a plan: its id (32 bytes, used once), its last second, the positions it was made for."""

    plan_id: bytes
    deadline_s: int
    positions_hash: bytes


def interval_around(tick: int, ticks: int) -> PriceInterval:
    """Return the prices of all ticks at most so far away.

    Parameters: tick  of the pool   ·   ticks  >= 0
    Returns:    an interval that ends where the next tick begins, cut off at the lowest and the highest price
    Source:     ours
    """
    lower, upper = max(tick - ticks, MIN_TICK), min(tick + ticks + 1, MAX_TICK)
    return PriceInterval(get_sqrt_ratio_at_tick(lower) + (lower == MIN_TICK), get_sqrt_ratio_at_tick(upper) - 1)


def make_call(
    fork: Fork, plan: Plan, interval: PriceInterval, ticket: Ticket, *, owns_fees: bool = True
) -> VaultCall | Refused:
    """Turn a plan into the vault's call.

    Parameters: fork  the pool and the vault as they are now, not changed   ·   plan  made by `simulator.plan`
                interval  where the price may be before and after   ·   ticket  see `Ticket`
                owns_fees  whether the vault itself gets the fees of what it closes
    Returns:    the call, or Refused when there is nothing to do, or when the price is outside or would be afterwards,
                or when the swap would cost more than is owned
    Rounding:   minimum amounts floored, the cost of the swap ceiled: what happens within the interval is never refused
    Raises:     SimulationError when the fork contradicts the plan
    Source:     execution reference §6
    """
    if plan.is_keep:
        return Refused("the plan keeps everything")
    if fork.pool.sqrt_price_x96 not in interval:
        return Refused("the price is outside the allowed interval")
    after = fork.copy()
    execution = execute_plan(after, plan)
    if after.pool.sqrt_price_x96 not in interval:
        return Refused("the plan's own swap moves the price out of the allowed interval", is_plans=True)
    if not _is_filled(fork, plan, execution):
        return Refused("what the opens lack costs more than is owned", is_plans=True)
    swap = _swap(fork, plan, interval)
    holdings = {h.range: h for h in fork.portfolio().holdings}
    closing = [holdings[r] for r in plan.close]
    fees = [holdings[r] for r in (*plan.close, *plan.collect)] if owns_fees else []
    return VaultCall(
        ticket.plan_id,
        ticket.deadline_s,
        ticket.positions_hash,
        tuple(_close(holding, interval) for holding in closing),
        plan.collect,
        swap,
        _opens(plan.open, _least_owned(fork, plan.open, closing, fees, swap, interval), interval),
    )


def _is_filled(fork: Fork, plan: Plan, execution: Execution) -> bool:
    """Return whether the swap bought what the vault's contract would insist on."""
    if plan.swap is None:
        return True
    idle0 = fork.idle0 + sum(c.principal0 + c.fees0 for c in execution.closed) + sum(c[1] for c in execution.collected)
    idle1 = fork.idle1 + sum(c.principal1 + c.fees1 for c in execution.closed) + sum(c[2] for c in execution.collected)
    short0, short1 = sum(d.amount0 for d in plan.open) - idle0, sum(d.amount1 for d in plan.open) - idle1
    bought0, bought1 = (0, 0) if execution.swapped is None else (-execution.swapped.amount0, -execution.swapped.amount1)
    short, bought = (short1, bought1) if plan.swap.zero_for_one else (short0, bought0)
    return bought == max(min(short, plan.swap.amount_out), 0)


def _close(holding: Holding, interval: PriceInterval) -> VaultClose:
    return VaultClose(holding.range, *_least_of(holding, interval))


def _least_of(holding: Holding, interval: PriceInterval) -> tuple[int, int]:
    """Return the least of each token that a position holds: token0 at the highest price, token1 at the lowest."""
    amount0, _ = amounts_for_liquidity(interval.upper_x96, holding.range, holding.liquidity)
    _, amount1 = amounts_for_liquidity(interval.lower_x96, holding.range, holding.liquidity)
    return amount0, amount1


def _swap(fork: Fork, plan: Plan, interval: PriceInterval) -> VaultSwap | None:
    """Return the plan's swap with its cost if all of it happened at the worst allowed price."""
    if plan.swap is None:
        return None
    out, zero_for_one = plan.swap.amount_out, plan.swap.zero_for_one
    limit = interval.lower_x96 if zero_for_one else interval.upper_x96
    net = (
        mul_div_rounding_up(out, Q192, limit * limit) if zero_for_one else mul_div_rounding_up(out, limit * limit, Q192)
    )
    cost = mul_div_rounding_up(net, _MILLION, _MILLION - fork.pool.fee_pips)
    return VaultSwap(zero_for_one, out, cost, limit)


def _least_owned(
    fork: Fork,
    opens: Sequence[Desired],
    closing: Sequence[Holding],
    fees: Sequence[Holding],
    swap: VaultSwap | None,
    interval: PriceInterval,
) -> tuple[int, int]:
    """Return the least of each token that the vault can own when it opens: each at its own worst price."""
    least = [_least_of(holding, interval) for holding in closing]
    owned0 = fork.idle0 + sum(amount0 for amount0, _ in least) + sum(h.fees0 for h in fees)
    owned1 = fork.idle1 + sum(amount1 for _, amount1 in least) + sum(h.fees1 for h in fees)
    if swap is None:
        return owned0, owned1
    if swap.zero_for_one:
        need = sum(d.amount1 for d in opens)
        return max(owned0 - swap.amount_in_max, 0), max(owned1, min(need, owned1 + swap.amount_out))
    need = sum(d.amount0 for d in opens)
    return max(owned0, min(need, owned0 + swap.amount_out)), max(owned1 - swap.amount_in_max, 0)


def _opens(opens: Sequence[Desired], owned: tuple[int, int], interval: PriceInterval) -> tuple[VaultOpen, ...]:
    """Return the opens with what each takes at least: of the least offered, token0 at the highest price and token1 at
    the lowest.
    """
    answer = []
    for wanted, least in zip(opens, scale_to_owned(opens, *owned), strict=True):
        amount0, _ = _taken(least, interval.upper_x96)
        _, amount1 = _taken(least, interval.lower_x96)
        answer.append(VaultOpen(wanted.range, wanted.amount0, wanted.amount1, max(amount0 - 1, 0), max(amount1 - 1, 0)))
    return tuple(answer)


def _taken(offered: Desired, sqrt_price_x96: int) -> tuple[int, int]:
    lower, upper = (get_sqrt_ratio_at_tick(t) for t in (offered.range.tick_lower, offered.range.tick_upper))
    liquidity = get_liquidity_for_amounts(sqrt_price_x96, lower, upper, offered.amount0, offered.amount1)
    return amounts_for_liquidity(sqrt_price_x96, offered.range, liquidity)
