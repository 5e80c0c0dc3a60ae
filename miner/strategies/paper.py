"""A rule on paper: what a span would have earned along a path of prices, in fractions of its value.

One step is used by the ensemble, which weighs its experts by it, and by the optimizer's back-test.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from miner.span import LOG_TICK, Span
from miner.strategies.plus.rates import concentration, relative
from miner.strategies.three_force.optimizer import value_per_liquidity
from miner.view import Rule, View

YEAR_S = 31_557_600


@dataclass(frozen=True, slots=True)
class Holding:
    """What a rule holds on paper. `out_since_s` is None while the price is inside."""

    span: Span
    placed_s: int
    out_since_s: int | None = None


@dataclass(frozen=True, slots=True)
class Costs:
    """What a move costs, as fractions: of everything, and of what is swapped."""

    move: float = 5e-6  # 0.05 of gas on 10,000
    swap: float = 0.0  # nothing is swapped


DEFAULT_COSTS = Costs()


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper back-test: hedged net returns per step, what was moved, and every span that was placed."""

    returns: tuple[float, ...]
    turnover: float
    placed: tuple[tuple[int, Span], ...]


def hedged_return(span: Span, x0: float, x1: float, fee_rate: float, seconds: float) -> float:
    """Return what a span earned over a step, with the luck of direction taken out.

    Parameters: span, x0, x1  ticks: price before and after   ·   fee_rate  f0 per year   ·   seconds  >= 0
    Returns:    a fraction of the value before: fees for the ends that lie inside, less x·ΔP − ΔV >= 0
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference C2 (discrete LVR), B2.5 (fees)
    """
    lower, upper = relative(span, x0)
    price = math.exp(min(max((x1 - x0) * LOG_TICK, -200.0), 200.0))  # of the price before
    before, after = value_per_liquidity(1.0, lower, upper), value_per_liquidity(price, lower, upper)
    if before <= 0:
        return 0.0
    token0 = max(1 / math.sqrt(max(lower, 1.0)) - 1 / math.sqrt(upper), 0.0)
    loss = max(token0 * (price - 1) - (after - before), 0.0) / before
    fees = fee_rate * seconds / YEAR_S * (concentration(span, x0) + concentration(span, x1)) / 2
    return fees - loss


def share0_of(span: Span, x: float) -> float:
    """Return the share of a span's value that is in token0.

    Parameters: span, x  ticks
    Returns:    0 above the span, 1 below it
    Rounding:   floats
    Raises:     nothing
    Source:     whitepaper eq. 6.29, 6.30
    """
    lower, upper = relative(span, x)
    whole = value_per_liquidity(1.0, lower, upper)
    return min(max(1 / math.sqrt(max(lower, 1.0)) - 1 / math.sqrt(max(upper, 1.0)), 0.0) / whole, 1.0) if whole else 0.5


def view_of(view: View, holding: Holding | None, now_s: int) -> View:
    """Return a market as somebody sees it who holds this.

    Parameters: view  of the same moment   ·   holding  on paper, None for nothing   ·   now_s  chain time
    Returns:    the view with portfolio and durations replaced
    Rounding:   floats
    Raises:     nothing
    Source:     ours
    """
    if holding is None:
        return replace(view, held=None, held_s=None, out_s=None, share0=0.5)
    out_s = None if holding.out_since_s is None else float(now_s - holding.out_since_s)
    share0 = share0_of(holding.span, view.x)
    return replace(view, held=holding.span, held_s=float(now_s - holding.placed_s), out_s=out_s, share0=share0)


def follow(holding: Holding | None, x: float, now_s: int) -> Holding | None:
    """Return a holding at a new price: since when it has been out of range, if it is."""
    if holding is None:
        return None
    if holding.span.holds(x):
        return replace(holding, out_since_s=None)
    return holding if holding.out_since_s is not None else replace(holding, out_since_s=now_s)


def run(rule: Rule, path: Sequence[tuple[int, View]], costs: Costs = DEFAULT_COSTS) -> Paper:
    """Return what a rule would have earned along a path.

    Parameters: rule  pure   ·   path  (chain time, view) ascending; portfolios in it are ignored   ·   costs  of moves
    Returns:    one hedged return per step, the cost of a move charged to the step that begins with it
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference C2; fees as the path's own rate says
    """
    returns: list[float] = []
    placed: list[tuple[int, Span]] = []
    holding: Holding | None = None
    for (now_s, view), (next_s, next_view) in itertools.pairwise(path):
        holding = follow(holding, view.x, now_s)
        span = rule.wish(view_of(view, holding, now_s))
        paid = 0.0
        if span is not None:
            paid = costs.move + costs.swap / 2
            placed.append((now_s, span))
            holding = follow(Holding(span, now_s), view.x, now_s)
        earned = 0.0
        if holding is not None:
            earned = hedged_return(holding.span, view.x, next_view.x, next_view.fee_rate, float(next_s - now_s))
        returns.append(earned - paid)
    return Paper(tuple(returns), float(len(placed)), tuple(placed))
