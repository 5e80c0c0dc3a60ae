from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import check_series, is_close

from miner.strategies.btr_plus import BtrPlus
from miner.strategies.paper import DEFAULT_COSTS, Paper
from miner.strategies.plus.optimizer import (
    AXES,
    SearchParams,
    daily_returns,
    objective,
    optimize,
    paired_gain,
    reflect,
    rule_at,
)
from miner.strategies.plus.walk_forward import FoldParams, Path, bootstrap, make_path
from miner.strategies.three_force.candles import M15_MS

INCUMBENT = BtrPlus()
QUICK = SearchParams(budget=30, folds=FoldParams(count=2, train_days=3, gap_days=1, test_days=3, embargo_days=1))


@pytest.fixture(scope="module")
def path() -> Path:
    """Eleven days of a trendless market whose fees pay twice for its losses."""
    record = [(M15_MS * i, *bar[1:]) for i, bar in enumerate(check_series(300, 900, 2000, 0.004, 0))]
    month = bootstrap(record, QUICK.folds.days, 3)
    return make_path(month, fee_rate=0.09, cost=0.0007, tick_spacing=10, is_stable=False)


def test_the_same_seed_finds_the_same_and_evaluates_no_more_than_it_may(path: Path) -> None:
    found = optimize(path, INCUMBENT, seed=1, params=QUICK)
    assert found == optimize(path, INCUMBENT, seed=1, params=QUICK)
    assert 20 <= found.evals <= QUICK.budget
    assert found.rule != optimize(path, INCUMBENT, seed=2, params=QUICK).rule or not found.is_replaced


def test_what_is_found_is_never_worse_on_its_objective(path: Path) -> None:
    for seed in range(3):
        found = optimize(path, INCUMBENT, seed=seed, params=QUICK)
        assert found.objective >= found.incumbent_objective
        if found.is_replaced:
            assert found.test_gain > 2.5 * found.test_gain_se > 0  # √(2 ln 30) = 2.6
        else:
            assert found.rule == INCUMBENT


def test_the_search_never_sees_a_test_fold(path: Path) -> None:
    """Another future changes whether the find is believed, not what is searched."""
    spoilt = list(path)
    fold_start = (QUICK.folds.train_days + QUICK.folds.gap_days) * 96
    for i in range(fold_start, fold_start + 96):
        spoilt[i] = (path[i][0], replace(path[i][1], fee_rate=0.0))
    one = replace(QUICK, folds=replace(QUICK.folds, count=1, test_days=7))
    assert len(path) == one.folds.days * 96
    a, b = (optimize(p, INCUMBENT, seed=1, params=one) for p in (path, tuple(spoilt)))
    assert a.incumbent_objective == b.incumbent_objective
    assert a.test_gain != b.test_gain


def test_an_incumbent_that_cannot_be_beaten_stays(path: Path) -> None:
    best = optimize(path, INCUMBENT, seed=1, params=QUICK)
    free = [(now_s, replace(view, fee_rate=0.0)) for now_s, view in path]
    found = optimize(tuple(free), INCUMBENT, seed=1, params=QUICK)  # nothing earns, so nobody enters
    assert (found.is_replaced, found.test_gain, found.rule) == (False, 0.0, INCUMBENT)
    assert best.incumbent_objective != 0


def test_risk_and_turnover_count_against_a_rule(path: Path) -> None:
    stretches = [slice(0, 300), slice(300, 700)]
    base = objective(INCUMBENT, path, stretches, SearchParams(risk=0, turnover_cost=0), DEFAULT_COSTS)
    assert objective(INCUMBENT, path, stretches, SearchParams(risk=1, turnover_cost=0), DEFAULT_COSTS) < base
    assert objective(INCUMBENT, path, stretches, SearchParams(risk=0, turnover_cost=0.1), DEFAULT_COSTS) < base


@given(st.floats(-50, 50))
def test_bounds_are_mirrors(u: float) -> None:
    assert 0 <= reflect(u) <= 1
    assert is_close(reflect(u), reflect(-u))
    if 0 <= u <= 1:
        assert is_close(reflect(u), u)
        assert is_close(reflect(2 - u), u)


def test_the_cube_reaches_exactly_its_bounds_and_the_incumbent_comes_back() -> None:
    low, high = rule_at([0.0] * 5, INCUMBENT), rule_at([1.0] * 5, INCUMBENT)
    for name, axis in AXES.items():
        assert is_close(getattr(low, name), axis.low) and is_close(getattr(high, name), axis.high)
    coordinates = [axis.coordinate(getattr(INCUMBENT, name)) for name, axis in AXES.items()]
    again = rule_at(coordinates, INCUMBENT)
    assert all(is_close(getattr(again, name), getattr(INCUMBENT, name)) for name in AXES)


def test_days_are_paired() -> None:
    assert daily_returns(Paper((0.5,) * 100, 0.0, ())) == [48.0, 2.0]
    gain, se = paired_gain([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], 7)
    assert (gain, paired_gain([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], 7)) == (2.0, (gain, se))
    assert 0.3 < se < 0.6  # sd 0.816 of three days: 0.471
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_gain([1.0], [], 7)
