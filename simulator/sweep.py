"""What any number of ranges would have earned on one path of the price, in one pass: an estimate for optimisers.

At a fee rate f a rising swap pays f/(1-f) of token1 for every unit of sqrt price it passes and unit of liquidity there,
a falling swap as much token0 for every unit of 1/sqrt price, whoever provides the liquidity. So the fees inside a range
are the difference between its ends of one function of the price: the length of path below it. So are its tokens, and
the sums over the marks of which its LVR consists. These functions are built once; a range then costs two look-ups.

Everything is a float, and a range does not move the price. Scores never come from here (an import contract says
so); `docs/what-if.md` states the error against exact forks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocol.errors import SimulationError
from protocol.units import Q96, Q192
from simulator.engine import Engine, default_engine
from simulator.flow import Flow
from simulator.math.tick_math import max_usable_tick, min_usable_tick
from simulator.opening import Schedule
from simulator.sweep_path import Path, Piece, walk
from simulator.valuation import Numeraire

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

_LOG_SQRT_TICK = math.log1p(1e-4) / 2  # of the ratio of two neighbouring ticks' sqrt prices
_CHUNK = 8192  # ranges at a time, so that their columns stay in the cache


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of each range, shape (n_ranges,), named as the columns of a replay: tokens in raw units, values in
    raw units of the numéraire, closing amounts with fees.

    `share` is a position's own part of the liquidity that shared its fees, averaged over them.
    """

    liquidity: Floats
    opening_amount0: Floats
    opening_amount1: Floats
    closing_amount0: Floats
    closing_amount1: Floats
    w_open_value: Floats
    w_close_value: Floats
    hold_value: Floats
    fees0: Floats
    fees1: Floats
    fees_value: Floats
    lvr_value: Floats
    in_range_s: Floats
    share: Floats

    @property
    def excess_value(self) -> Floats:
        """Fees less LVR: the change of value without the luck of direction. Costs are not part of a sweep."""
        return self.fees_value - self.lvr_value


class Sweep:
    """A flow, ready to say what ranges opened at its snapshot would have earned by its end."""

    def __init__(
        self, flow: Flow, numeraire: Numeraire, schedule: Schedule | None = None, *, engine: Engine | None = None
    ) -> None:
        """Walk the flow once.

        Parameters: numeraire  in what values are measured   ·   engine  None: the fastest there is
                    schedule  of marks and the end, as for a replay; None for the whole flow and the usual marks
        Returns:    a sweep, for any number of ranges
        Rounding:   floats from exact prices
        Raises:     PoolRevert where the flow does not run on its own snapshot
        Source:     whitepaper 6.3 (fee growth inside a range); strategy reference C2 (LVR at a horizon)
        """
        path = walk(flow, schedule, engine=engine or default_engine())
        prices = [numeraire.prices(mark) for mark in path.marks]
        price0 = np.array([p.price0_x192 / Q192 for p in prices], dtype=np.float64)
        price1 = np.array([p.price1_x192 / Q192 for p in prices], dtype=np.float64)
        marks = np.array([mark / Q96 for mark in path.marks])
        self._spacing = flow.snapshot.tick_spacing
        self._open, self._close = (_Moment(marks[at], price0[at], price1[at]) for at in (0, -1))
        ways0, weights0 = _paid(path.falls, price0)
        ways1, weights1 = _paid(path.rises, price1)
        self._falls = _Ramps.of(-1 / ways0, weights0, -1 / marks[0])
        self._rises = _Ramps.of(ways1, weights1, marks[0])
        # A position at sqrt price s holds what its range has above s as token0, and what it has below as token1.
        before, nothing = marks[:-1], np.zeros(len(marks) - 1)
        self._held0 = _Ramps.of(np.stack((-1 / before, nothing)), np.diff(price0)[None], 0.0)
        self._held1 = _Ramps.of(np.stack((nothing, before)), np.diff(price1)[None], 0.0)
        self._steps = _Steps.of(path, price0, price1)

    def evaluate(self, tick_lower: ArrayLike, tick_upper: ArrayLike, w_open_value: ArrayLike) -> Swept:
        """Return what each range would have earned.

        Parameters: tick_lower, tick_upper  integers on the spacing, shape (n_ranges,)
                    w_open_value  put into each at the opening price, in the right mix already and without cost: raw
                    units of the numéraire, > 0, one for all or shape (n_ranges,)
        Returns:    columns, in the ranges' order
        Rounding:   floats, about 1e-9 relative; the error of the method itself is on the page
        Raises:     SimulationError for a range or a value that no position can have
        Source:     the functions of the price at both ends of a range
        """
        lower, upper = self._checked(np.atleast_1d(tick_lower), np.atleast_1d(tick_upper))
        value = np.asarray(w_open_value, dtype=np.float64)
        if value.shape not in ((), lower.shape) or not np.all((value > 0) & np.isfinite(value)):
            raise SimulationError("opening values must be positive, one for all or one for each range")
        value = np.broadcast_to(value, lower.shape)
        numbers, at_lower, at_upper = _distinct(lower // self._spacing, upper // self._spacing)
        below = self._below(numbers * self._spacing)
        out = np.empty((len(fields(Swept)), len(lower)))
        room = np.empty((2, len(below), min(_CHUNK, len(lower))))  # once: fresh pages cost more than the arithmetic
        for start in range(0, len(lower), _CHUNK):
            part = slice(start, start + _CHUNK)
            inside, outside = room[:, :, : len(value[part])]
            np.take(below, at_upper[part], axis=1, out=inside, mode="clip")
            np.take(below, at_lower[part], axis=1, out=outside, mode="clip")
            inside -= outside
            self._measure(inside, value[part], out[:, part])
        return Swept(*out)

    def _checked(self, lower: NDArray[Any], upper: NDArray[Any]) -> tuple[Integers, Integers]:
        if not all(np.issubdtype(ticks.dtype, np.integer) or not ticks.size for ticks in (lower, upper)):
            raise SimulationError("ticks are integers")
        if lower.shape != upper.shape or lower.ndim != 1:
            raise SimulationError(f"as many upper ticks as lower ones, not {upper.shape} and {lower.shape}")
        lower, upper, spacing = lower.astype(np.int64), upper.astype(np.int64), self._spacing
        bad = (lower >= upper) | (lower < min_usable_tick(spacing)) | (upper > max_usable_tick(spacing))
        bad |= (lower % spacing != 0) | (upper % spacing != 0)
        if bad.any():
            first = int(np.argmax(bad))
            raise SimulationError(f"range {first} is impossible: {lower[first]} .. {upper[first]}")
        return lower, upper

    def _below(self, ticks: Integers) -> Floats:
        """Return what a unit of liquidity, from the lowest price up to each tick, has of all that `_measure` needs."""
        sqrt_prices = np.exp(ticks * _LOG_SQRT_TICK)
        steps = self._steps(ticks)
        fees0, fees1 = self._falls(-1 / sqrt_prices) + steps[:3], self._rises(sqrt_prices) + steps[3:6]
        delta = self._held0(-1 / sqrt_prices) + self._held1(sqrt_prices)
        opened, closed = (moment.amounts_below(sqrt_prices) for moment in (self._open, self._close))
        return np.vstack((fees0, fees1, delta, steps[6:], opened, closed))

    def _measure(self, inside: Floats, value: Floats, out: Floats) -> None:
        """Write the columns of ranges with so much inside for each unit of liquidity."""
        fees0, fees0_value, thinned0, fees1, fees1_value, thinned1, delta, seconds = inside[:8]
        liquidity = value / self._open.value(*inside[8:10])
        opening0, opening1, closing0, closing1 = inside[8:] * liquidity
        principal = self._close.value(closing0, closing1)
        kept0, kept1 = _kept(fees0, liquidity * thinned0), _kept(fees1, liquidity * thinned1)
        undiluted = liquidity * (fees0_value + fees1_value)
        fees_value = liquidity * (fees0_value * kept0 + fees1_value * kept1)
        fees0, fees1 = liquidity * fees0 * kept0, liquidity * fees1 * kept1
        columns = (
            liquidity,
            opening0,
            opening1,
            closing0 + fees0,
            closing1 + fees1,
            value,
            principal + self._close.value(fees0, fees1),
            self._close.value(opening0, opening1),
            fees0,
            fees1,
            fees_value,
            value - principal + liquidity * delta,
            seconds,
            _ratio(undiluted - fees_value, undiluted),
        )
        for row, column in zip(out, columns, strict=True):
            row[:] = column


@dataclass(frozen=True, slots=True)
class _Moment:
    """A sqrt price and what both tokens are worth there."""

    sqrt_price: float
    price0: float
    price1: float

    def value(self, amount0: Floats, amount1: Floats) -> Floats:
        return amount0 * self.price0 + amount1 * self.price1

    def amounts_below(self, sqrt_prices: Floats) -> Floats:
        """Return the tokens that a unit of liquidity up to other prices holds, but for a constant, shape (2, n)."""
        return np.stack((-1 / np.maximum(sqrt_prices, self.sqrt_price), np.minimum(sqrt_prices, self.sqrt_price)))


def _paid(pieces: Sequence[Piece], price: Floats) -> tuple[Floats, Floats]:
    """Return (ways, weights) of a token's fees: sqrt prices from and to, shape (2, n); what is paid along the way, its
    value, and the first over the pool's liquidity, shape (3, n).
    """
    table = np.array(pieces, dtype=np.float64).reshape(-1, len(Piece._fields)).T
    rate, liquidity, mark = table[2:]
    return table[:2], np.stack((rate, rate * price[mark.astype(int)], _ratio(rate, liquidity)))


@dataclass(frozen=True, slots=True)
class _Ramps:
    """Sums of functions of the price that rise evenly from 0, from one point to another, and stay."""

    points: Floats  # (n,)
    values: Floats  # (k, n), at the points
    slopes: Floats  # (k, n), after them
    origin: int  # among the points

    @classmethod
    def of(cls, ways: Floats, weights: Floats, origin: float) -> _Ramps:
        """Return k sums of ramps: `ways` (2, n) from where to where, `weights` (k, n) how steeply.

        They are summed up from the origin outwards, because digits are lost where a function has become large: for fees
        at the end of all prices, where a swap may run once; for tokens held near the price, when a range is far away.
        """
        ways = np.hstack((ways, [[origin], [origin]]))  # a ramp of nothing, so that the origin is a point
        weights = np.hstack((weights, np.zeros((len(weights), 1))))
        points = ways.ravel()
        order = np.argsort(points, kind="stable")
        points = points[order]
        slopes = np.cumsum(np.hstack((weights, -weights))[:, order], axis=1)
        counts = np.hstack((weights != 0, -1 * (weights != 0)))[:, order]
        slopes[np.cumsum(counts, axis=1) == 0] = 0  # exactly, or there would be traces of fees where nobody passed
        rises = slopes[:, :-1] * np.diff(points)
        at = int(np.searchsorted(points, origin))
        above = np.cumsum(rises[:, at:], axis=1)
        below = -np.cumsum(rises[:, :at][:, ::-1], axis=1)[:, ::-1]
        return cls(points, np.hstack((below, np.zeros((len(weights), 1)), above)), slopes, at)

    def __call__(self, at: Floats) -> Floats:
        at = np.clip(at, self.points[0], self.points[-1])  # nothing changes beyond
        index = np.searchsorted(self.points, at, side="right") - 1
        nearer = index + (index < self.origin)
        return self.values[:, nearer] + self.slopes[:, index] * (at - self.points[nearer])


@dataclass(frozen=True, slots=True)
class _Steps:
    """What happens at one tick: flashes as fees of both tokens (three rows each, as `_Ramps`), and seconds."""

    ticks: Integers  # (n,)
    sums: Floats  # (7, n + 1), of all before

    @classmethod
    def of(cls, path: Path, price0: Floats, price1: Floats) -> _Steps:
        """Return the sums."""
        rows = [(tick, *(0.0,) * 6, seconds) for tick, seconds in path.seconds.items()]
        for tick, growth0, growth1, liquidity, mark in path.flashes:
            fees0 = growth0, growth0 * price0[mark], growth0 / liquidity
            fees1 = growth1, growth1 * price1[mark], growth1 / liquidity
            rows.append((tick, *fees0, *fees1, 0))
        table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 8).T
        return cls(table[0].astype(np.int64), np.insert(np.cumsum(table[1:], axis=1), 0, 0.0, axis=1))

    def __call__(self, ticks: Integers) -> Floats:
        return self.sums[:, np.searchsorted(self.ticks, ticks)]


def _distinct(lower: Integers, upper: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the distinct numbers, ascending, and where among them the lower and the upper ones are. No sorting."""
    most = int(upper.max(initial=0))
    least = int(lower.min(initial=most))
    occurs = np.zeros(most - least + 1, dtype=bool)
    occurs[lower - least] = occurs[upper - least] = True
    place = np.cumsum(occurs) - 1
    return np.flatnonzero(occurs) + least, place[lower - least], place[upper - least]


def _kept(fees: Floats, thinned: Floats) -> Floats:
    """Return what sharing with one's own liquidity leaves of fees: exact where the pool's liquidity did not change."""
    return np.where(fees > 0, _ratio(fees, fees + thinned), 1.0)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return quotients, 0 for a denominator of 0."""
    out = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)
