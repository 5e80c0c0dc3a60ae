"""Expectations: the textbook's mean and error, an interval that holds the truth as often as it says, pairing."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest

from protocol.errors import SimulationError
from simulator.expectation import Expectation, compare, expect


def test_mean_and_standard_error_are_the_textbooks() -> None:
    found = expect([1.0, 2.0, 4.0, 9.0], seed=1)
    assert (found.count, found.mean, found.standard_error) == (4, 4.0, pytest.approx(math.sqrt(38 / 3 / 4)))
    assert 1.0 < found.low < found.mean < found.high < 9.0


def test_a_seed_gives_one_interval() -> None:
    values = np.random.Generator(np.random.PCG64(3)).exponential(size=40)
    assert expect(values, seed=1) == expect(values, seed=1) != expect(values, seed=2)
    narrow, wide = expect(values, seed=1, level=0.5), expect(values, seed=1, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_of_a_skewed_result_holds_the_truth_as_often_as_it_says() -> None:
    """A small gain mostly, a large loss now and then: of mean 0."""
    draws = np.random.Generator(np.random.PCG64(11))
    samples = 1 - draws.exponential(size=(150, 64))
    intervals = [expect(sample, seed=seed, level=0.9) for seed, sample in enumerate(samples)]
    missed_low = sum(found.high < 0 for found in intervals)
    missed_high = sum(found.low > 0 for found in intervals)
    assert 6 <= missed_low + missed_high <= 25  # 15 of 150 by the level
    assert max(missed_low, missed_high) <= 16


def test_the_interval_leans_toward_the_rare_large_losses() -> None:
    """What resampling alone says lies too high where losses are rare and large, and too low where gains are."""
    draws = np.random.Generator(np.random.PCG64(2))
    losses = 1 - draws.exponential(size=40)
    means = draws.choice(losses, size=(4000, 40)).mean(axis=1)
    plain = np.quantile(means, [0.025, 0.975])
    found, mirrored = expect(losses, seed=1), expect(-losses, seed=1)
    assert found.low < plain[0] - 0.02 and found.high < plain[1] - 0.02
    assert mirrored.high > 0.02 - plain[0] and mirrored.low > 0.02 - plain[1]


def test_pairing_finds_a_small_advantage_under_large_common_luck() -> None:
    draws = np.random.Generator(np.random.PCG64(5))
    luck = 100 * draws.normal(size=50)
    ours, theirs = luck + 0.3 + draws.normal(size=50), luck
    found = compare(ours, theirs, seed=1)
    assert found == expect(ours - theirs, seed=1)
    assert found.standard_error < 0.2
    assert expect(ours, seed=1).standard_error > 10
    mirrored = compare(theirs, ours, seed=1)
    assert (mirrored.mean, mirrored.standard_error) == (-found.mean, found.standard_error)


def test_equal_results_are_certain() -> None:
    assert astuple(expect([2.5] * 3, seed=0)) == astuple(Expectation(3, 2.5, 0.0, 2.5, 2.5))
    assert compare([1.0, 2.0], [1.0, 2.0], seed=0) == Expectation(2, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, float("nan")], [1.0, float("inf")], 1.0])
def test_what_tells_nothing_is_refused(values: object) -> None:
    with pytest.raises(SimulationError, match="at least two"):
        expect(values, seed=1)  # type: ignore[arg-type]  # on purpose


def test_different_futures_are_not_compared() -> None:
    with pytest.raises(SimulationError, match="same futures"):
        compare([1.0, 2.0], [1.0, 2.0, 3.0], seed=1)


@pytest.mark.parametrize(("seed", "level"), [(-1, 0.95), (1, 0.0), (1, 1.0), (1, 2.0), (1, float("nan"))])
def test_a_seed_or_level_that_is_none_is_refused(seed: int, level: float) -> None:
    with pytest.raises(SimulationError, match="level between 0 and 1"):
        expect([1.0, 2.0], seed=seed, level=level)
