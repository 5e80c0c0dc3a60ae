"""Capital of one job family over its pools: the cash that stays, the caps that hold, and what each pool gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from miner.strategies.plus.allocation import Pool, water_fill
from miner.strategies.three_force import allocation as published
from miner.strategies.three_force.risk import c_score, cash_buffer_bp, weights
from miner.strategies.three_force.sums import total

Method = Literal["marginal", "score", "waterfill", "cscore"]
_BP = 10_000


@dataclass(frozen=True, slots=True)
class FamilyPool:
    """A pool as the allocation command is told of it. `scores` are trust, liquidity, performance in basis points."""

    name: str
    pool: Pool
    scores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """How capital is spread. `max_share_bp` is one cap for all pools; None is the published one for their number."""

    method: Method = "marginal"
    cash_rate: float = 0.0
    horizon_days: float = 30.0
    max_share_bp: int | None = _BP
    keeps_cash: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What one pool gets: a share of all capital, and what it earns per year on that, diluted, less LVR."""

    name: str
    share: float
    amount: float
    rate: float
    cap: float
    c_score: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The whole allocation; shares and cash add up to 1. `income` is a fraction of all capital per year."""

    rows: tuple[Row, ...]
    cash: float
    cash_buffer_bp: int
    income: float


def spread(pools: Sequence[FamilyPool], capital: float, settings: Settings) -> Spread:
    """Return how capital is spread over a family's pools.

    Parameters: pools  in any order   ·   capital  in the unit of tvl (USD for the published caps and buffer), > 0
    Returns:    rows in the order of the pools; what the caps and the buffer leave stays cash
    Rounding:   floats; caps and buffer in basis points
    Raises:     ValueError for a capital or horizon that is not above 0, fees below 0, or scores out of range
    Source:     strategy reference B2.7, A5, A7
    """
    buffer_bp = cash_buffer_bp(capital) if settings.keeps_cash else 0
    deployable = 1 - buffer_bp / _BP
    limit = settings.max_share_bp
    limit = published.max_weight_bp(len(pools), capital) if limit is None else limit
    capped = [replace(p.pool, cap=min(p.pool.cap, limit / _BP)) for p in pools]
    marks = [c_score(p.scores) for p in pools]
    shares = [share * deployable for share in _shares(capped, marks, capital * deployable, limit, settings)]
    rates = [
        pool.apr * pool.tvl / (pool.tvl + share * capital) - pool.lvr if pool.tvl > 0 else pool.apr - pool.lvr
        for pool, share in zip(capped, shares, strict=True)
    ]
    rows = tuple(
        Row(p.name, share, share * capital, rate, pool.cap, mark)
        for p, pool, share, rate, mark in zip(pools, capped, shares, rates, marks, strict=True)
    )
    income = total(row.share * row.rate for row in rows)
    return Spread(rows, max(1 - total(shares), 0.0), buffer_bp, income)


def _shares(
    pools: Sequence[Pool], marks: Sequence[int], capital: float, limit_bp: int, settings: Settings
) -> list[float]:
    """Return shares of the deployable capital. Only the marginal method keeps every cap exactly."""
    if settings.method == "marginal":
        filling = water_fill(pools, capital, cash_rate=settings.cash_rate, horizon_days=settings.horizon_days)
        return list(filling.shares)
    if settings.method == "cscore":
        return [weight / _BP for weight in weights(marks, limit_bp)] if pools else []
    known = [published.Pool(pool.apr, pool.tvl) for pool in pools]
    params = published.AllocationParams(max_positions=max(len(pools), 1))
    chooser = published.allocate if settings.method == "score" else published.water_fill
    shares = [0.0] * len(pools)
    for target in chooser(known, capital, params).targets:
        shares[target.pool] = target.pct
    return shares
