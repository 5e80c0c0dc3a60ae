"""What a decision is worth on average over alternative futures, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap  # type: ignore[import-untyped]  # scipy ships no types

from protocol.errors import SimulationError

_RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Expectation:
    """A mean with its standard error, and the interval that holds the true mean at the level asked for.

    It speaks of the futures that could have been drawn from the same past, not of a past that was not recorded.
    """

    count: int
    mean: float
    standard_error: float
    low: float
    high: float


def expect(values: ArrayLike, *, seed: int, level: float = 0.95) -> Expectation:
    """Return what the values of one decision, one a future, tell about its expected value.

    Parameters: values  shape (n_futures,), at least 2, finite, any unit   ·   seed  of the resampling, >= 0
                level  between 0 and 1
    Returns:    mean, s/√n with s from n - 1, and the bias-corrected and accelerated bootstrap interval, because the
                results of a range are skewed: often a little, now and then a large loss
    Rounding:   floats; the same seed gives the same interval
    Raises:     SimulationError for too few values, one that is no number, or such a seed or level
    Source:     Efron 1987
    """
    drawn = np.asarray(values, dtype=np.float64)
    if drawn.ndim != 1 or len(drawn) < 2 or not np.isfinite(drawn).all():
        raise SimulationError("an expectation needs a row of at least two finite values", shape=drawn.shape)
    if seed < 0 or not 0 < level < 1:
        raise SimulationError("a seed is at least 0, a level between 0 and 1", seed=seed, level=level)
    mean, error = float(drawn.mean()), float(drawn.std(ddof=1)) / math.sqrt(len(drawn))
    if (drawn == drawn[0]).all():
        return Expectation(len(drawn), float(drawn[0]), 0.0, float(drawn[0]), float(drawn[0]))
    draws = np.random.Generator(np.random.PCG64(seed))
    found = bootstrap((drawn,), np.mean, n_resamples=_RESAMPLES, confidence_level=level, method="BCa", rng=draws)
    return Expectation(len(drawn), mean, error, *map(float, found.confidence_interval))


def compare(values: ArrayLike, others: ArrayLike, *, seed: int, level: float = 0.95) -> Expectation:
    """Return the expected advantage of one decision over another, future by future.

    Parameters: values, others  shape (n_futures,), of the same futures in the same order   ·   seed, level  as `expect`
    Returns:    `expect` of the differences: what both share, the luck of the draw above all, cancels
    Rounding:   floats
    Raises:     SimulationError where there are not as many of both
    Source:     strategy reference C4 (pairing)
    """
    first, second = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if first.shape != second.shape:
        raise SimulationError("decisions are compared on the same futures", shapes=(first.shape, second.shape))
    return expect(first - second, seed=seed, level=level)
