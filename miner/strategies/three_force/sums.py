"""Sums in one fixed order: later Pythons compensate `sum()`, which moves an optimizer at ties."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def total(values: Iterable[float]) -> float:
    """Return the plain left-to-right sum of doubles.

    Parameters: values  any number of them
    Returns:    their sum, 0 for none
    Rounding:   one rounding a step, in order
    Raises:     nothing
    Source:     strategy reference §0
    """
    result = 0.0
    for value in values:
        result += value
    return result


def mean(values: Sequence[float]) -> float:
    """Return the average.

    Parameters: values  any number of them
    Returns:    the average, 0 for none
    Rounding:   as `total`
    Raises:     nothing
    Source:     strategy reference §0
    """
    return total(values) / len(values) if values else 0.0


def std(values: Sequence[float]) -> float:
    """Return the population standard deviation.

    Parameters: values  any number of them
    Returns:    the deviation, 0 for none
    Rounding:   as `total`
    Raises:     nothing
    Source:     strategy reference §0
    """
    centre = mean(values)
    return math.sqrt(mean([(value - centre) ** 2 for value in values]))


def round_half_up(value: float) -> int:
    """Return the nearest integer.

    Parameters: value  finite
    Returns:    floor(value + 0.5)
    Rounding:   halves go up, also below 0
    Raises:     nothing
    Source:     strategy reference §0
    """
    return math.floor(value + 0.5)


def clamp(value: float, low: float, high: float) -> float:
    """Return the value cut to [low, high].

    Parameters: value  any   ·   low, high  low <= high
    Returns:    min(max(value, low), high)
    Rounding:   none
    Raises:     nothing
    Source:     strategy reference §0
    """
    return min(max(value, low), high)
