"""The published simplex search, with its own steps, limits and ties: others walk another path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from miner.strategies.three_force.sums import clamp, total

Vector: TypeAlias = tuple[float, ...]
Objective: TypeAlias = Callable[[Vector], float]
_Vertex: TypeAlias = tuple[Vector, float]


@dataclass(frozen=True, slots=True)
class Box:
    """The search space: bounds per coordinate, and to which side the first simplex leaves the start."""

    low: Vector
    high: Vector
    signs: Vector

    def clamp(self, x: Sequence[float]) -> Vector:
        """Return the nearest vector inside."""
        return tuple(clamp(value, lo, hi) for value, lo, hi in zip(x, self.low, self.high, strict=True))


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where a search ended, and how often it evaluated the objective."""

    x: Vector
    value: float
    evals: int


@dataclass(slots=True)
class _Counted:
    """The objective, counting."""

    objective: Objective
    box: Box
    evals: int = 0

    def at(self, x: Sequence[float]) -> _Vertex:
        inside = self.box.clamp(x)
        self.evals += 1
        return inside, self.objective(inside)


def maximise(
    objective: Objective, start: Sequence[float], box: Box, *, budget: int = 300, tolerance: float = 1e-8
) -> Optimum:
    """Return the best vertex of a simplex search.

    Parameters: objective  may return -inf   ·   start  clamped into the box   ·   budget  the bound that shrinks with
                every evaluation, so that about half to two thirds of it are made   ·   tolerance  of values at the end
    Returns:    the last vertex in ascending order; on a plateau that is not the start
    Rounding:   floats
    Raises:     whatever the objective raises
    Source:     Nelder, Mead 1965; strategy reference A4
    """
    count = _Counted(objective, box)
    simplex = _first_simplex(count, box.clamp(start), box)
    iteration = 0
    while iteration < budget - count.evals:
        simplex.sort(key=lambda vertex: vertex[1])
        if abs(simplex[-1][1] - simplex[0][1]) < tolerance:
            break
        _step(simplex, count)
        iteration += 1
    simplex.sort(key=lambda vertex: vertex[1])
    return Optimum(*simplex[-1], count.evals)


def _first_simplex(count: _Counted, start: Vector, box: Box) -> list[_Vertex]:
    simplex = [count.at(start)]
    for d, (lo, hi, sign) in enumerate(zip(box.low, box.high, box.signs, strict=True)):
        moved = clamp(start[d] + sign * 0.1 * (hi - lo), lo, hi)
        if abs(moved - start[d]) < 1e-6 * (hi - lo):
            moved = clamp(start[d] - sign * 0.1 * (hi - lo), lo, hi)
        simplex.append(count.at((*start[:d], moved, *start[d + 1 :])))
    return simplex


def _step(simplex: list[_Vertex], count: _Counted) -> None:
    """Replace the worst vertex, or shrink all towards the best. The simplex is sorted, worst first."""
    (worst, f_worst), f_second, (best, f_best) = simplex[0], simplex[1][1], simplex[-1]
    others = [vertex for vertex, _ in simplex[1:]]
    centre = [total(column) / len(others) for column in zip(*others, strict=True)]

    def along(factor: float) -> _Vertex:
        return count.at([c + factor * (c - w) for c, w in zip(centre, worst, strict=True)])

    reflected = along(1)
    if f_second <= reflected[1] <= f_best:
        simplex[0] = reflected
    elif reflected[1] > f_best:
        expanded = along(2)
        simplex[0] = expanded if expanded[1] > reflected[1] else reflected
    else:
        contracted = count.at([c + 0.5 * (w - c) for c, w in zip(centre, worst, strict=True)])
        if contracted[1] > f_worst:
            simplex[0] = contracted
        else:
            for i in range(len(simplex) - 1):
                simplex[i] = count.at([b + 0.5 * (x - b) for x, b in zip(simplex[i][0], best, strict=True)])
