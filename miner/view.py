"""What a strategy decides on: one query and what is remembered of its job, as a handful of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from miner.memory import FeeMean, Memory
from miner.placement import value_in_token1
from miner.signals import Signals
from miner.signals import read as read_signals
from miner.span import LOG_TICK, Span
from miner.strategies.three_force.candles import M15_MS, Candle
from miner.strategies.three_force.regime import is_stable_pair
from miner.strategies.three_force.sums import mean
from miner.strategy import owned
from protocol.messages import RebalanceQuery

PRIOR_FEE_TO_LVR = 1.2  # κ where no fee has been measured yet; real pools lie around 1
_PRIOR_S = 7200.0  # how much time in range the prior weighs
_TWAP_MS = 2 * M15_MS
_IMPACT = 0.0002  # of a swap, beside the pool's fee


@dataclass(frozen=True, slots=True)
class View:
    """A market and a portfolio at one moment. Prices are ticks with fractions, rates per year, durations seconds."""

    x: float
    signals: Signals
    fee_rate: float  # f0: of a full range
    fee_rate_se: float
    twap: float | None  # mean price of the last half hour, None if nothing is remembered
    cost: float  # of a swap, a fraction of what is swapped
    share0: float  # of the value that is in token0
    tick_spacing: int
    is_stable: bool
    held: Span | None = None
    held_s: float | None = None  # since the last move of ours, None if there was none
    out_s: float | None = None  # out of range for so long, None if in range or nothing is held
    bars: tuple[Candle, ...] = ()

    @property
    def sigma(self) -> float:
        """Volatility per square root of a year."""
        return self.signals.sigma

    @property
    def fee_to_lvr(self) -> float:
        """κ: what liquidity earns for each unit that it loses to the informed."""
        return self.fee_rate / (self.sigma**2 / 8)

    @property
    def inventory(self) -> float:
        """z, from -1 (all token1) to 1 (all token0)."""
        return 2 * self.share0 - 1


class Rule(Protocol):
    """A strategy without its bookkeeping: from a view to the span that it wants to hold now, None to keep."""

    @property
    def name(self) -> str: ...

    def wish(self, view: View) -> Span | None: ...


def look(query: RebalanceQuery, memory: Memory) -> View:
    """Return the view of a query.

    Parameters: query  any valid one   ·   memory  that has observed it
    Returns:    sane from the first query on: volatility and fees start from priors and lean on what was measured
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2; the priors are ours
    """
    pool, now_s = query.context, query.context.timestamp
    is_stable = is_stable_pair(pool.token0.symbol, pool.token1.symbol)
    signals = read_signals(memory.bars, now_s * 1000, is_stable=is_stable)
    fee_rate, fee_rate_se = fee_rate_of(memory.fees, signals.sigma)
    amount0, amount1 = owned(query)
    value0 = value_in_token1(amount0, 0, pool.sqrt_price_x96)
    whole = value0 + amount1
    held, plan = _held(query, memory), memory.plan
    return View(
        x=memory.tick,
        signals=signals,
        fee_rate=fee_rate,
        fee_rate_se=fee_rate_se,
        twap=_twap(memory.bars, now_s * 1000),
        cost=pool.fee_pips / 1e6 + _IMPACT,
        share0=value0 / whole if whole else 0.5,
        tick_spacing=pool.tick_spacing,
        is_stable=is_stable,
        held=held,
        held_s=None if plan is None else float(now_s - plan.placed_s),
        out_s=float(now_s - memory.out_since_s) if held is not None and memory.out_since_s is not None else None,
        bars=memory.bars,
    )


def fee_rate_of(fees: Sequence[FeeMean], sigma: float) -> tuple[float, float]:
    """Return the full-range fee rate and its standard error.

    Parameters: fees  means of several half-lives   ·   sigma  per square root of a year, > 0
    Returns:    the mean of the means, drawn towards κ = 1.2 while little time in range was seen
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.5; the prior is ours
    """
    prior = PRIOR_FEE_TO_LVR * sigma**2 / 8
    rate = mean([(m.weighted + prior * _PRIOR_S) / (m.seconds + _PRIOR_S) for m in fees])
    fast = fees[0]
    if fast.seconds <= 0 or fast.readings <= 0:
        return rate, 0.0
    variance = max(fast.squared / fast.seconds - (fast.weighted / fast.seconds) ** 2, 0.0)
    return rate, math.sqrt(variance / max(fast.readings, 1.0)) * fast.seconds / (fast.seconds + _PRIOR_S)


def _twap(bars: Sequence[Candle], now_ms: int) -> float | None:
    """Return the mean close, in ticks, of bars before the present one that overlap the last half hour."""
    start = now_ms // M15_MS * M15_MS
    recent = [math.log(bar[4]) / LOG_TICK for bar in bars if start - _TWAP_MS <= bar[0] < start]
    return mean(recent) if recent else None


def _held(query: RebalanceQuery, memory: Memory) -> Span | None:
    """Return the span that our last plan came from; of a portfolio that we did not make, its widest position."""
    if memory.plan is not None:
        return memory.plan.span
    ranges = [(p.tick_upper - p.tick_lower, p.tick_lower, p.tick_upper) for p in query.current_positions]
    if not ranges:
        return None
    _, lower, upper = max(ranges)
    return Span(float(lower), float(upper))
