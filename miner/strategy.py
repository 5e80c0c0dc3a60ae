"""What a strategy is: one pure method from a query to a decision.

A decision names the whole portfolio wanted: what `Positions` leaves out is closed. Amounts are raw token units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from protocol.messages import RebalanceQuery
from simulator.plan import Desired, check_desired
from simulator.portfolio import Range


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave everything as it is."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not take part; at the first ask of a round nothing is scored, later the portfolio stays and is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Positions:
    """Hold exactly these from the effective block on; empty = withdraw everything."""

    desired: tuple[Desired, ...]


Decision: TypeAlias = Keep | Refuse | Positions


class Strategy(Protocol):
    """A frozen dataclass whose fields are its settings and whose `decide` depends on the query alone."""

    @property
    def name(self) -> str: ...

    def decide(self, query: RebalanceQuery) -> Decision: ...


def owned(query: RebalanceQuery) -> tuple[int, int]:
    """Return all that a query shows as owned.

    Parameters: query  any valid one
    Returns:    (token0, token1) raw: positions + uncollected fees + idle; allocations and fees are floored as shown
    Rounding:   none, sums of integers
    Raises:     nothing
    Source:     design §4.5
    """
    shown, idle = query.current_positions, query.inventory_remaining
    return (
        sum(p.allocation0 + p.fees0 for p in shown) + idle.amount0,
        sum(p.allocation1 + p.fees1 for p in shown) + idle.amount1,
    )


def shown_ranges(query: RebalanceQuery) -> frozenset[Range]:
    """Return the ranges that are held."""
    return frozenset(Range(p.tick_lower, p.tick_upper) for p in query.current_positions)


def check_decision(query: RebalanceQuery, decision: Decision) -> str | None:
    """Return why the validator would call a decision invalid, or None as far as a miner can tell.

    Parameters: query  the one decided on   ·   decision  whatever a strategy returned
    Returns:    one line, or None. Whether one net swap can pay for a shortfall is only known to the pool's ticks,
                which a query does not carry; a shortfall of both tokens never can.
    Rounding:   none
    Raises:     nothing
    Source:     design §4.6
    """
    if not isinstance(decision, Positions):
        return None
    spacing, limits = query.context.tick_spacing, query.context.limits
    problem = check_desired(decision.desired, spacing)
    if problem is not None:
        return problem
    if len(decision.desired) > limits.max_positions:
        return f"{len(decision.desired)} positions, at most {limits.max_positions} are allowed"
    if any(d.range.tick_upper - d.range.tick_lower < limits.min_width for d in decision.desired):
        return f"a range is narrower than {limits.min_width} ticks"
    kept = {(p.tick_lower, p.tick_upper, p.allocation0, p.allocation1) for p in query.current_positions}
    opens = [d for d in decision.desired if (d.range.tick_lower, d.range.tick_upper, d.amount0, d.amount1) not in kept]
    if any(d.amount0 == d.amount1 == 0 for d in opens):
        return "a new position is offered no tokens"
    have0, have1 = owned(query)
    if sum(d.amount0 for d in decision.desired) > have0 and sum(d.amount1 for d in decision.desired) > have1:
        return "offers more of both tokens than is owned"
    return None
