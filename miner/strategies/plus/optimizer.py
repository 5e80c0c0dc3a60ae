"""The search for better settings of `btr_plus`: seeded, bounded, chosen on one stretch and believed on a later one.

For a background process or a back-test; no query waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]  # scipy ships no types

from miner.strategies.btr_plus import BtrPlus
from miner.strategies.paper import DEFAULT_COSTS, Costs, Paper, run
from miner.strategies.plus.walk_forward import BARS_PER_DAY, Fold, FoldParams, Path, make_folds

_PENALTY = -1e3
_TILT_T = 2.0  # below this a tilt is not believed
_BOOTSTRAPS = 999


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How long is searched and how results are judged."""

    budget: int = 200
    risk: float = 1.0  # λ
    turnover_cost: float = 0.0007  # τ
    folds: FoldParams = field(default_factory=FoldParams)


DEFAULTS = SearchParams()


@dataclass(frozen=True, slots=True)
class Found:
    """What to use from now on and why. Objectives are of the train folds, the gain of the test folds, all per day."""

    rule: BtrPlus
    objective: float
    incumbent_objective: float
    test_gain: float
    test_gain_se: float
    evals: int
    is_replaced: bool


@dataclass(frozen=True, slots=True)
class _Axis:
    """One setting as a coordinate from 0 to 1."""

    low: float
    high: float
    is_log: bool

    def value(self, u: float) -> float:
        if self.is_log:
            return self.low * math.exp(u * math.log(self.high / self.low))
        return self.low + u * (self.high - self.low)

    def coordinate(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            return math.log(inside / self.low) / math.log(self.high / self.low)
        return (inside - self.low) / (self.high - self.low)


AXES = {
    "kappa_w": _Axis(0.5, 8.0, is_log=True),
    "tilt": _Axis(0.0, 0.5, is_log=False),
    "horizon_days": _Axis(0.25, 7.0, is_log=True),
    "shift": _Axis(0.3, 1.0, is_log=False),
    "hysteresis": _Axis(1.05, 3.0, is_log=False),
}


def reflect(u: float) -> float:
    """Return a coordinate folded back into 0 to 1, as a mirror at each bound would.

    Parameters: u  finite
    Returns:    0 to 1
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.6
    """
    return 1 - abs(1 - u % 2)


def rule_at(u: Iterable[float], incumbent: BtrPlus) -> BtrPlus:
    """Return the rule at a point of the unit cube.

    Parameters: u  five coordinates, reflected at the bounds   ·   incumbent  gives all other settings
    Returns:    a rule
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.6
    """
    values = {name: axis.value(reflect(float(x))) for (name, axis), x in zip(AXES.items(), u, strict=True)}
    return replace(incumbent, **values)


def objective(rule: BtrPlus, path: Path, stretches: Sequence[slice], params: SearchParams, costs: Costs) -> float:
    """Return how good a rule was on several stretches of the past: the mean, less doubt, less turnover.

    Parameters: path, stretches  at least a step each   ·   params  λ and τ   ·   costs  of moves
    Returns:    net return per day: mean − λ·sd/√K − τ·turnover; -1000 where it is no number
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.6
    """
    papers = [run(rule, path[stretch], costs) for stretch in stretches]
    per_day = np.array([math.fsum(paper.returns) * BARS_PER_DAY / max(len(paper.returns), 1) for paper in papers])
    moves = math.fsum(paper.turnover for paper in papers) * BARS_PER_DAY / max(sum(len(p.returns) for p in papers), 1)
    value = float(per_day.mean() - params.risk * per_day.std() / math.sqrt(len(per_day)) - params.turnover_cost * moves)
    return value if math.isfinite(value) else _PENALTY


def optimize(
    path: Path, incumbent: BtrPlus, *, seed: int, params: SearchParams = DEFAULTS, costs: Costs = DEFAULT_COSTS
) -> Found:
    """Return better settings if there is good evidence that they are, else the incumbent.

    Parameters: path  long enough for the folds   ·   seed  see `seed_of`   ·   params  budget and judgement
    Returns:    the same for the same arguments. The search sees train folds only; the incumbent is replaced only if
                the paired daily difference on the test folds exceeds √(2 ln N) standard errors, N the evaluations
    Rounding:   floats
    Raises:     ValueError where the path is too short
    Source:     Nelder, Mead 1965; Gao, Han 2012 (coefficients by dimension); strategy reference B2.6
    """
    folds = make_folds(len(path), params.folds)
    generator = np.random.default_rng(seed)

    def judge(rule: BtrPlus) -> float:
        return objective(rule, path, [fold.train for fold in folds], params, costs)

    f_incumbent = judge(incumbent)
    starts = [np.array([axis.coordinate(getattr(incumbent, name)) for name, axis in AXES.items()])]
    starts += [generator.random(len(AXES)) for _ in range(2)]
    best, f_best, evals = incumbent, f_incumbent, 1
    for i, start in enumerate(starts):
        left = (params.budget - evals) // (len(starts) - i)
        rule, value, used = _search(lambda u: judge(rule_at(u, incumbent)), start, left)
        evals += used
        if value > f_best:
            best, f_best = rule_at(rule, incumbent), value
    best = _without_idle_tilt(best, path, folds, costs, seed)
    gain, se = paired_gain(_daily(best, path, folds, costs), _daily(incumbent, path, folds, costs), seed)
    if best != incumbent and f_best > f_incumbent and gain > math.sqrt(2 * math.log(evals)) * se and gain > 0:
        return Found(best, f_best, f_incumbent, gain, se, evals, is_replaced=True)
    return Found(incumbent, f_incumbent, f_incumbent, gain, se, evals, is_replaced=False)


def _search(
    value_at: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64], budget: int
) -> tuple[NDArray[np.float64], float, int]:
    """Return (point, value, evaluations) of one adaptive simplex search of at most `budget` evaluations."""
    if budget < 1:
        return start, -math.inf, 0
    options = {"adaptive": True, "maxfev": budget, "maxiter": 10 * budget, "xatol": 1e-4, "fatol": 1e-12}
    simplex = np.vstack([start, *(start + 0.15 * row for row in np.eye(len(start)))])
    result = minimize(
        lambda u: -value_at(u), start, method="Nelder-Mead", options={**options, "initial_simplex": simplex}
    )
    return result.x, -float(result.fun), int(result.nfev)


def _without_idle_tilt(rule: BtrPlus, path: Path, folds: Sequence[Fold], costs: Costs, seed: int) -> BtrPlus:
    """Return the rule without its tilt, unless the tilt alone earned more than chance on the test folds."""
    straight = replace(rule, tilt=0.0)
    gain, se = paired_gain(_daily(rule, path, folds, costs), _daily(straight, path, folds, costs), seed)
    return rule if gain > _TILT_T * se and gain > 0 else straight


def _daily(rule: BtrPlus, path: Path, folds: Sequence[Fold], costs: Costs) -> list[float]:
    return [day for fold in folds for day in daily_returns(run(rule, path[fold.test], costs))]


def daily_returns(paper: Paper) -> list[float]:
    """Return the net return of each day of a paper run.

    Parameters: paper  one step a bar
    Returns:    one sum a day, the last day maybe shorter
    Rounding:   exact sums
    Raises:     nothing
    Source:     strategy reference C4 (day blocks)
    """
    return [math.fsum(paper.returns[i : i + BARS_PER_DAY]) for i in range(0, len(paper.returns), BARS_PER_DAY)]


def paired_gain(ours: Sequence[float], theirs: Sequence[float], seed: int) -> tuple[float, float]:
    """Return by how much one list of days beats another, and the standard error of that.

    Parameters: ours, theirs  the same days   ·   seed  any
    Returns:    (mean difference, its deviation over 999 resamples of days)
    Rounding:   floats
    Raises:     ValueError for lists of different length or none
    Source:     strategy reference B2.6
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} and {len(theirs)} days cannot be paired")
    differences = np.array(ours) - np.array(theirs)
    draws = np.random.default_rng(seed).integers(0, len(differences), size=(_BOOTSTRAPS, len(differences)))
    return float(differences.mean()), float(differences[draws].mean(axis=1).std())
