"""What a miner remembers of one job between questions: small, bounded, and made of nothing but past queries.

Times never decrease: a query from the past makes what came after it unsaid, so nothing looks ahead, and one sane query
repairs whatever a strange one has done.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from miner.span import LOG_TICK, Span
from miner.strategies.plus.rates import full_range_fee_rate
from miner.strategies.three_force.candles import M15_MS, Candle
from protocol.messages import RebalanceQuery
from protocol.units import Q96, Q192

MAX_BARS = 400  # 24 bars of four hours are 384
MAX_EXPERTS = 32
_KEPT_PLANS = 2  # the last one, and the one before while that is still shown
_ABSURD_RATE = 1e6  # per year, of a full range: such a reading is an error of somebody
_HALF_LIVES_S = (6 * 3600.0, 3 * 86_400.0)


@dataclass(frozen=True, slots=True)
class FeeMean:
    """A decaying mean of full-range fee rates, weighted by the time in range that each was measured over."""

    weighted: float = 0.0
    squared: float = 0.0
    seconds: float = 0.0
    readings: float = 0.0

    def age(self, seconds: float, half_life_s: float) -> FeeMean:
        """Return the mean after some time: it counts for less, so that what was learned long ago is tried again."""
        decay = 0.5 ** (seconds / half_life_s)
        return FeeMean(self.weighted * decay, self.squared * decay, self.seconds * decay, self.readings * decay)

    def add(self, rate: float, seconds: float) -> FeeMean:
        """Return the mean with one more reading."""
        return FeeMean(
            self.weighted + rate * seconds,
            self.squared + rate**2 * seconds,
            self.seconds + seconds,
            self.readings + 1,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A position as it was shown last."""

    tick_lower: int
    tick_upper: int
    liquidity: int
    fees0: int
    fees1: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What was answered once: the ranges, the span they came from, and when."""

    ranges: tuple[tuple[int, int], ...]
    lower: float
    upper: float
    placed_s: int

    @property
    def span(self) -> Span:
        """Where the ranges came from."""
        return Span(self.lower, self.upper)


@dataclass(frozen=True, slots=True)
class Expert:
    """One policy of an ensemble: its weight as a logarithm, and the span that it would hold; none if empty."""

    name: str
    log_weight: float
    lower: float
    upper: float
    placed_s: int
    out_since_s: int | None = None

    @property
    def span(self) -> Span | None:
        """What it holds."""
        return Span(self.lower, self.upper) if self.lower < self.upper else None


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything kept of one job. `plans` are the last answers; the newest one whose ranges are shown is in force."""

    seen_s: int = 0
    tick: float = 0.0
    round_id: str = ""
    bars: tuple[Candle, ...] = ()
    positions: tuple[Seen, ...] = ()
    fees: tuple[FeeMean, FeeMean] = (FeeMean(), FeeMean())
    plans: tuple[Plan, ...] = ()
    out_since_s: int | None = None
    experts: tuple[Expert, ...] = ()

    @property
    def plan(self) -> Plan | None:
        """The plan that the positions shown last come from; None where they are not ours."""
        ranges = {(p.tick_lower, p.tick_upper) for p in self.positions}
        ours = [plan for plan in self.plans if ranges and ranges <= set(plan.ranges)]
        return ours[-1] if ours else None

    def with_plan(self, ranges: tuple[tuple[int, int], ...], span: Span) -> Memory:
        """Return the memory of having answered with these ranges now."""
        return replace(self, plans=(*self.plans, Plan(ranges, span.lower, span.upper, self.seen_s)))

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Memory:
        """Read what `to_json` wrote. Raises ValueError, and nothing else, on anything that is not that."""
        try:
            memory = cls(
                seen_s=int(value["seen_s"]),
                tick=_finite(value["tick"]),
                round_id=str(value["round_id"]),
                bars=tuple(_bar(bar) for bar in value["bars"][-MAX_BARS:]),
                positions=tuple(Seen(**{k: int(v) for k, v in p.items()}) for p in value["positions"]),
                fees=_pair([FeeMean(**{k: _finite(v) for k, v in mean.items()}) for mean in value["fees"]]),
                plans=tuple(_plan(plan) for plan in value["plans"][-_KEPT_PLANS:]),
                out_since_s=None if value["out_since_s"] is None else int(value["out_since_s"]),
                experts=tuple(_expert(expert) for expert in value["experts"][:MAX_EXPERTS]),
            )
        except (AttributeError, KeyError, IndexError, TypeError, OverflowError) as error:
            raise ValueError(f"malformed memory: {error!r}") from error
        if any(b[0] <= a[0] for a, b in zip(memory.bars, memory.bars[1:], strict=False)):
            raise ValueError("malformed memory: bars do not ascend")
        return memory


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"malformed memory: {number} is no number")
    return number


def _bar(value: Any) -> Candle:
    start, *rest = value
    first, high, low, close, volume = (_finite(part) for part in rest)
    if not min(first, high, low, close) > 0:
        raise ValueError("malformed memory: a price is not above 0")
    return int(start), first, high, low, close, volume


def _pair(means: list[FeeMean]) -> tuple[FeeMean, FeeMean]:
    fast, slow = means
    return fast, slow


def _plan(value: dict[str, Any]) -> Plan:
    ranges = tuple((int(lower), int(upper)) for lower, upper in value["ranges"])
    return Plan(ranges, _finite(value["lower"]), _finite(value["upper"]), int(value["placed_s"]))


def _expert(value: dict[str, Any]) -> Expert:
    out = value["out_since_s"]
    return Expert(
        str(value["name"]),
        _finite(value["log_weight"]),
        _finite(value["lower"]),
        _finite(value["upper"]),
        int(value["placed_s"]),
        None if out is None else int(out),
    )


def observe(memory: Memory, query: RebalanceQuery, tick: float) -> Memory:
    """Return the memory with what a query shows.

    Parameters: memory  of the same job   ·   query  any valid one   ·   tick  its price in ticks, finite
    Returns:    bars, fee rate and positions brought up to date; seeing the same query twice changes nothing more
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.5 for fees; fees are measured on positions of our own that did not change
    """
    now_s = query.context.timestamp
    positions = tuple(Seen(p.tick_lower, p.tick_upper, p.liquidity, p.fees0, p.fees1) for p in query.current_positions)
    in_range = any(p.tick_lower <= tick < p.tick_upper for p in positions)
    is_same = _ranges(positions) == _ranges(memory.positions)
    out_since_s = memory.out_since_s if is_same and memory.out_since_s is not None else now_s
    return replace(
        memory,
        seen_s=now_s,
        tick=tick,
        round_id=query.round_id,
        bars=_with_price(memory.bars, now_s, tick),
        positions=positions,
        fees=_with_fees(memory, query, tick),
        plans=tuple(plan for plan in memory.plans if plan.placed_s < now_s)[-_KEPT_PLANS:],
        out_since_s=None if in_range or not positions else min(out_since_s, now_s),
    )


def _ranges(positions: tuple[Seen, ...]) -> set[tuple[int, int]]:
    return {(p.tick_lower, p.tick_upper) for p in positions}


def _with_price(bars: tuple[Candle, ...], now_s: int, tick: float) -> tuple[Candle, ...]:
    """Return the M15 bars with one more price. A bar opens at its predecessor's close: one price alone has no span."""
    price = math.exp(tick * LOG_TICK)
    start = now_s * 1000 // M15_MS * M15_MS
    kept = tuple(bar for bar in bars if bar[0] <= start)
    if kept and kept[-1][0] == start:
        _, first, high, low, _, volume = kept[-1]
        return (*kept[:-1], (start, first, max(high, price), min(low, price), price, volume))
    first = kept[-1][4] if kept and kept[-1][0] + M15_MS == start else price
    bar = (start, first, max(first, price), min(first, price), price, 0.0)
    return (*kept, bar)[-MAX_BARS:]


def _with_fees(memory: Memory, query: RebalanceQuery, tick: float) -> tuple[FeeMean, FeeMean]:
    """Return the fee rates after the time since the last query, in which they age, with what it showed to be earned."""
    seconds = float(query.context.timestamp - memory.seen_s)
    if seconds <= 0:
        return memory.fees
    rate = _measured(memory, query, tick, seconds)
    fast, slow = (
        mean.age(seconds, half_life) if rate is None else mean.age(seconds, half_life).add(rate, seconds)
        for mean, half_life in zip(memory.fees, _HALF_LIVES_S, strict=True)
    )
    return fast, slow


def _measured(memory: Memory, query: RebalanceQuery, tick: float, seconds: float) -> float | None:
    """Return the full-range fee rate by our positions that stood in range since they were shown last, if any did."""
    if query.round_id != memory.round_id:
        return None
    before = {(p.tick_lower, p.tick_upper, p.liquidity): p for p in memory.positions}
    earned = liquidity = 0.0
    price = query.context.sqrt_price_x96**2
    for p in query.current_positions:
        seen = before.get((p.tick_lower, p.tick_upper, p.liquidity))
        if seen is None or not (p.tick_lower <= memory.tick < p.tick_upper and p.tick_lower <= tick < p.tick_upper):
            continue
        if p.fees0 >= seen.fees0 and p.fees1 >= seen.fees1:
            earned += float(p.fees1 - seen.fees1) + (p.fees0 - seen.fees0) * price / Q192
            liquidity += p.liquidity
    if liquidity <= 0:
        return None
    rate = full_range_fee_rate(earned / liquidity, seconds, query.context.sqrt_price_x96 / Q96)
    return rate if rate < _ABSURD_RATE else None
