"""What a plan must pass before it may become an intent. Pure: values in, Allowed or Refused out; a bad plan is
refused, never clamped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Plan
from simulator.portfolio import Portfolio
from simulator.valuation import QuoteToken, quote_prices

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """An operator's bounds on one vault's plans. Shares are parts per million."""

    max_positions: int = 10
    max_swap_ppm: int = 500_000  # swapped value of the portfolio's value
    max_pool_share_ppm: int = 50_000  # own in-range liquidity of the pool's in-range liquidity, own included
    min_width_spacings: int = 2


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan together with the state on which it was made."""

    plan: Plan
    portfolio: Portfolio
    sqrt_price_x96: int
    tick: int
    foreign_liquidity: int  # in range, the vault's own excluded
    tick_spacing: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """The plan may be carried out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The plan must not be carried out. `is_plans` says that the plan itself is at fault, not the world or ourselves;
    `is_passing` that it may be allowed soon.
    """

    reason: str
    is_plans: bool = False
    is_passing: bool = False


Verdict: TypeAlias = Allowed | Refused


def check(proposal: Proposal, limits: Limits) -> Verdict:
    """Judge a plan.

    Parameters: proposal  plan and state at the checkpoint   ·   limits  see `Limits`
    Returns:    Allowed, or Refused naming the first limit that is exceeded and by what
    Rounding:   shares are floored
    Source:     execution reference §10
    """
    for reason in (
        _count(proposal, limits),
        _width(proposal, limits),
        _swap(proposal, limits),
        _share(proposal, limits),
    ):
        if reason is not None:
            return Refused(reason, is_plans=True)
    return Allowed()


def _count(proposal: Proposal, limits: Limits) -> str | None:
    count = len(proposal.plan.keep) + len(proposal.plan.open)
    return None if count <= limits.max_positions else f"{count} positions, at most {limits.max_positions}"


def _width(proposal: Proposal, limits: Limits) -> str | None:
    least = limits.min_width_spacings * proposal.tick_spacing
    narrow = (d.range for d in proposal.plan.open if d.range.tick_upper - d.range.tick_lower < least)
    found = next(narrow, None)
    return None if found is None else f"range {found.tick_lower}..{found.tick_upper} is narrower than {least} ticks"


def _swap(proposal: Proposal, limits: Limits) -> str | None:
    if proposal.plan.swap is None:
        return None
    prices = quote_prices(proposal.sqrt_price_x96, QuoteToken.TOKEN1)
    bought = proposal.plan.swap.amount_out
    swapped = prices.value(0, bought) if proposal.plan.swap.zero_for_one else prices.value(bought, 0)
    share = swapped * _MILLION // max(prices.value(*proposal.portfolio.total), 1)
    return (
        None if share <= limits.max_swap_ppm else f"swaps {share} ppm of the portfolio, at most {limits.max_swap_ppm}"
    )


def _share(proposal: Proposal, limits: Limits) -> str | None:
    own = 0
    for holding in proposal.portfolio.holdings:
        if holding.range in proposal.plan.keep and holding.range.tick_lower <= proposal.tick < holding.range.tick_upper:
            own += holding.liquidity
    for d in proposal.plan.open:
        if d.range.tick_lower <= proposal.tick < d.range.tick_upper:
            lower, upper = get_sqrt_ratio_at_tick(d.range.tick_lower), get_sqrt_ratio_at_tick(d.range.tick_upper)
            own += get_liquidity_for_amounts(proposal.sqrt_price_x96, lower, upper, d.amount0, d.amount1)
    share = own * _MILLION // max(proposal.foreign_liquidity + own, 1)
    return (
        None
        if share <= limits.max_pool_share_ppm
        else f"in-range share {share} ppm, at most {limits.max_pool_share_ppm}"
    )
