"""Capital over the pools of one family so that the last unit earns the same in each: the marginal water-fill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from miner.strategies.three_force.sums import clamp, total

_DUST = 0.001  # a share below 0.1 % is not worth its gas
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of the family. Rates per year, shares of the capital."""

    apr: float  # what liquidity like ours earns in fees now
    tvl: float  # the in-range liquidity that shares it, valued at our own range
    lvr: float = 0.0
    cap: float = 1.0
    held: float = 0.0  # share held now
    move_cost: float = 0.0  # fraction of what is moved


@dataclass(frozen=True, slots=True)
class Filling:
    """Shares in the order of the pools; the rest stays cash. `level` is what the last unit earns per year."""

    shares: tuple[float, ...]
    cash: float
    level: float
    income: float  # what all shares earn per year less LVR, as a fraction of the capital


def water_fill(pools: Sequence[Pool], capital: float, *, cash_rate: float = 0.0, horizon_days: float = 30.0) -> Filling:
    """Return the shares that earn most together, our own dilution, losses and moving costs included.

    Parameters: pools  caps and held shares within 0 and 1   ·   capital  > 0, in the unit of tvl
                cash_rate  per year   ·   horizon_days  over which a move must pay for itself, > 0
    Returns:    shares within their caps, together at most 1; those below 0.1 % are dropped and the rest solved again
    Rounding:   floats; the level is bisected until it is one double wide, from above
    Raises:     ValueError for a capital or horizon that is not above 0, fees or liquidity below 0
    Source:     strategy reference B2.7
    """
    if not (capital > 0 and horizon_days > 0):
        raise ValueError(f"capital {capital} and horizon {horizon_days} must be above 0")
    if any(pool.apr < 0 or pool.tvl < 0 for pool in pools):
        raise ValueError("fees and liquidity of a pool cannot be below 0")
    dropped: set[int] = set()
    while True:
        open_pools = [Pool(0.0, 1.0, cap=0.0) if i in dropped else pool for i, pool in enumerate(pools)]
        level = _level(open_pools, capital, cash_rate, horizon_days)
        shares = [_share(pool, level, capital, horizon_days) for pool in open_pools]
        dust = [(share, i) for i, share in enumerate(shares) if 0 < share < _DUST]
        if not dust:
            break
        dropped.add(min(dust)[1])
    income = total(
        share * (_diluted(pool, share, capital) - pool.lvr) for pool, share in zip(open_pools, shares, strict=True)
    )
    return Filling(tuple(shares), max(1 - total(shares), 0.0), level, income)


def _diluted(pool: Pool, share: float, capital: float) -> float:
    return pool.apr * pool.tvl / (pool.tvl + share * capital) if share > 0 else pool.apr


def _level(pools: Sequence[Pool], capital: float, cash_rate: float, horizon_days: float) -> float:
    def filled(level: float) -> float:
        return total(_share(pool, level, capital, horizon_days) for pool in pools)

    if filled(cash_rate) <= 1:
        return cash_rate
    years = horizon_days / _YEAR_DAYS
    low, high = cash_rate, max(pool.apr for pool in pools) + max(pool.move_cost for pool in pools) / years
    high = max(high, low)
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if filled(middle) > 1 else (low, middle)
    return high


def _share(pool: Pool, level: float, capital: float, horizon_days: float) -> float:
    """Return the share at a level: where the last unit earns that, or what is held if neither way pays the cost."""
    cost = pool.move_cost * _YEAR_DAYS / horizon_days
    return min(clamp(pool.held, _wanted(pool, level + cost, capital), _wanted(pool, level - cost, capital)), pool.cap)


def _wanted(pool: Pool, margin: float, capital: float) -> float:
    hurdle = margin + pool.lvr
    if hurdle < 0 or (hurdle == 0 < pool.apr):
        return pool.cap
    if pool.apr == 0:
        return 0.0
    return clamp(pool.tvl / capital * (math.sqrt(pool.apr / hurdle) - 1), 0.0, pool.cap)
