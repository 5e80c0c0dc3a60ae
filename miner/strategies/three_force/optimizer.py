"""The published optimizer: five parameters, judged by a coarse back-test on M15 candles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from miner.strategies.three_force import range as ranges
from miner.strategies.three_force.candles import Candle
from miner.strategies.three_force.forces import parkinson_volatility, scale_volatility
from miner.strategies.three_force.nelder_mead import Box, Vector, maximise
from miner.strategies.three_force.sums import clamp

YEAR_S = 31_557_600
BAR_S = 900
_BARS_PER_YEAR = YEAR_S / BAR_S  # 35,064
_SIGMA_BARS = 25
_MIN_CANDLES = 20
_MIN_BARS_BETWEEN_SHIFTS = 4
_REFERENCE_FORCE = 50.0  # the width of the opening range

BOX = Box(
    low=(1e-4, 5e-3, -1.0, 50.0, 0.10),  # baseMin, baseMax, alpha_r, D, rsThreshold
    high=(5e-3, 0.1, -0.05, 1000.0, 0.35),
    signs=(1.0, -1.0, 1.0, -1.0, 1.0),
)
DEFAULT_VECTOR: Vector = (0.0005, 0.028, -0.4, 300.0, 0.25)


@dataclass(frozen=True, slots=True)
class Context:
    """What a pair earns and costs. Rates are per year, fees fractions, gas and value in one currency."""

    base_apr: float = 0.0
    pool_fee: float = 0.0005
    gas: float = 0.0
    position_value: float = 10_000.0
    docs_fitness: bool = False  # the variant of the published documents

    @property
    def value(self) -> float:
        """The position's value; without one, 10,000."""
        return self.position_value if self.position_value > 0 else 10_000.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """A back-test: rates per year of position value, `net` = fee - lvr - cost."""

    net: float
    fee: float
    lvr: float
    cost: float
    shifts: tuple[int, ...]
    bars_in_range: int


@dataclass(frozen=True, slots=True)
class Optimized:
    """What to use from now on, and how many evaluations it took."""

    x: Vector
    fitness: float
    evals: int
    warm_start: Vector
    is_default: bool


@dataclass(frozen=True, slots=True)
class _Bars:
    """What a back-test needs of candles and does not depend on the parameters."""

    closes: tuple[float, ...]
    sigmas: tuple[float, ...]
    forces: tuple[float, ...]


def value_per_liquidity(price: float, lower: float, upper: float) -> float:
    """Return what a position of liquidity 1 is worth, in token1.

    Parameters: price  > 0   ·   lower, upper  prices; below 1e-18 they are taken as that
    Returns:    token0 at the price plus token1
    Rounding:   floats
    Raises:     nothing
    Source:     whitepaper eq. 6.29, 6.30; strategy reference A4
    """
    root_lower, root_upper = math.sqrt(max(lower, 1e-18)), math.sqrt(max(upper, lower + 1e-18, 1e-18))
    if price <= lower:
        return price * (1 / root_lower - 1 / root_upper)
    if price >= upper:
        return root_upper - root_lower
    return 2 * math.sqrt(price) - root_lower - price / root_upper


def hodl_value(price: float, entry_price: float, lower: float, upper: float) -> float:
    """Return what the tokens of a position of liquidity 1 are worth if they were kept from its entry on.

    Parameters: price, entry_price  > 0, the entry inside the range   ·   lower, upper  prices > 0
    Returns:    token1
    Rounding:   floats
    Raises:     ZeroDivisionError for prices of 0
    Source:     strategy reference A4
    """
    return (1 / math.sqrt(entry_price) - 1 / math.sqrt(upper)) * price + math.sqrt(entry_price) - math.sqrt(lower)


def simulate(candles: Sequence[Candle], x: Sequence[float], context: Context) -> Simulation:
    """Return what the published width rule would have earned on these bars, by its own measure.

    Parameters: candles  M15, ascending   ·   x  [baseMin, baseMax, alpha_r, D, rsThreshold], clamped to the bounds
    Returns:    rates per year; all 0 for fewer than two candles. LVR is twice the true one and the fee multiple is
                arbitrary: published defects
    Rounding:   floats
    Raises:     ZeroDivisionError for prices of 0
    Source:     strategy reference A4
    """
    return _simulate(_prepare(candles), BOX.clamp(x), context)


def _prepare(candles: Sequence[Candle]) -> _Bars:
    sigmas = tuple(
        parkinson_volatility(candles[max(0, i - _SIGMA_BARS + 1) : i + 1], _SIGMA_BARS) for i in range(len(candles))
    )
    return _Bars(tuple(bar[4] for bar in candles), sigmas, tuple(scale_volatility(sigma) for sigma in sigmas))


def _simulate(bars: _Bars, x: Vector, context: Context) -> Simulation:
    n = len(bars.closes)
    if n < 2:
        return Simulation(0.0, 0.0, 0.0, 0.0, (), 0)
    params = ranges.RangeParams(base_min=x[0], base_max=x[1], alpha_r=x[2], d=x[3], rs_threshold=x[4])
    per_year = _BARS_PER_YEAR / n
    around = clamp(100 * context.pool_fee, 0.01, 0.5)  # half-width of the range that earns baseApr
    annual = 1.0 if context.docs_fitness else math.sqrt(_BARS_PER_YEAR)
    lower, upper = _symmetric(bars.closes[0], _REFERENCE_FORCE, params)
    last, in_range, shifts = -_MIN_BARS_BETWEEN_SHIFTS - 1, 0, []
    fee = lvr = cost = 0.0
    for i, (price, sigma, force) in enumerate(zip(bars.closes, bars.sigmas, bars.forces, strict=True)):
        target = _symmetric(price, force, params)
        if lower <= price <= upper:
            in_range += 1
            fee += context.base_apr * (1 if context.docs_fitness else _multiple(price, around, lower, upper))
            span = math.sqrt(max(upper, 0)) - math.sqrt(max(lower, 0))
            if span > 1e-18:
                lvr += (sigma * annual) ** 2 / 2 * math.sqrt(price) / span / _BARS_PER_YEAR
        is_due = upper > lower and i - last >= _MIN_BARS_BETWEEN_SHIFTS
        if is_due and ranges.divergence((lower, upper), target) > params.rs_threshold:
            cost += context.gas + (2 * context.pool_fee + 0.001) * (1 + force / 100) * context.value
            (lower, upper), last = target, i
            shifts.append(i)
    if context.docs_fitness and context.position_value <= 0:
        cost = 0.0
    fee, lvr, cost = fee / n, lvr * per_year, cost / context.value * per_year
    return Simulation(fee - lvr - cost, fee, lvr, cost, tuple(shifts), in_range)


def _symmetric(price: float, force: float, params: ranges.RangeParams) -> tuple[float, float]:
    width = price * max(ranges.base_width(force, params), params.base_min)
    return price - width, price + width


def _multiple(price: float, around: float, lower: float, upper: float) -> float:
    reference = value_per_liquidity(price, price * (1 - around), price * (1 + around))
    return min(reference / max(value_per_liquidity(price, lower, upper), 1e-18), 20)


def fitness(candles: Sequence[Candle], x: Sequence[float], context: Context) -> float:
    """Return how good parameters are: their net yield on the last fifth, unless the rest contradicts it.

    Parameters: candles  M15, ascending   ·   x  as for `simulate`
    Returns:    net rate per year of the validation slice, or -inf
    Rounding:   floats
    Raises:     ZeroDivisionError for prices of 0
    Source:     strategy reference A4
    """
    return _fitness(candles)(tuple(x), context)


def _fitness(candles: Sequence[Candle]) -> Callable[[Vector, Context], float]:
    if len(candles) < _MIN_CANDLES:
        return lambda _x, _context: -math.inf
    cut = 8 * len(candles) // 10
    training, validation = _prepare(candles[:cut]), _prepare(candles[cut:])

    def judge(x: Vector, context: Context) -> float:
        inside = BOX.clamp(x)
        trained = _simulate(training, inside, context).net
        validated = _simulate(validation, inside, context).net
        is_lucky = trained <= 0 < validated and not context.docs_fitness
        if is_lucky or (trained > 0 and validated < 0.8 * trained):
            return -math.inf
        return validated

    return judge


def optimize(
    candles: Sequence[Candle], context: Context, uniform: Callable[[], float], warm_start: Sequence[float] | None = None
) -> Optimized:
    """Return the best of three searches, or the defaults if none beats them.

    Parameters: candles  M15 of the last 60 days   ·   uniform  draws from [0, 1); five before each of runs 2 and 3
                warm_start  what the last call returned as that
    Returns:    parameters, fitness, evaluations of the searches (the judgement of the defaults not counted)
    Rounding:   floats
    Raises:     ZeroDivisionError for prices of 0
    Source:     strategy reference A4
    """
    judge = _fitness(candles)

    def objective(x: Vector) -> float:
        return judge(x, context)

    f_default = objective(DEFAULT_VECTOR)
    best = maximise(objective, DEFAULT_VECTOR if warm_start is None else warm_start, BOX)
    evals = best.evals
    for _ in range(2):
        start = [lo + uniform() * (hi - lo) for lo, hi in zip(BOX.low, BOX.high, strict=True)]
        found = maximise(objective, start, BOX)
        evals += found.evals
        if found.value > best.value:
            best = found
    if best.value <= f_default:
        return Optimized(DEFAULT_VECTOR, f_default, evals, DEFAULT_VECTOR, is_default=True)
    return Optimized(best.x, best.value, evals, best.x, is_default=False)
