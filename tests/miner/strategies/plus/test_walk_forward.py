import itertools
import math

import pytest
from support.check_series import check_series

from miner.signals import read
from miner.span import LOG_TICK
from miner.strategies.plus.walk_forward import (
    BARS_PER_DAY,
    FoldParams,
    bootstrap,
    make_folds,
    make_path,
    seed_of,
)
from miner.strategies.three_force.candles import M15_MS, Candle

RECORD = [(M15_MS * i, *bar[1:]) for i, bar in enumerate(check_series(300, 900, 2000, 0.004, 2e-5))]


def test_a_seed_belongs_to_its_round_pool_and_version() -> None:
    seeds = {
        seed_of("r1", "0xaa", "1"),
        seed_of("r2", "0xaa", "1"),
        seed_of("r1", "0xab", "1"),
        seed_of("r1", "0xaa", "2"),
    }
    assert len(seeds) == 4
    assert seed_of("r1", "0xaa", "1") == seed_of("r1", "0xaa", "1") < 2**64


def moves(bars: list[Candle]) -> list[float]:
    return [round(math.log(b[4] / a[4]), 9) for a, b in itertools.pairwise(bars)]


def test_a_month_is_made_of_the_record_s_own_days() -> None:
    month = bootstrap(RECORD, 30, 5)
    assert len(month) == 30 * BARS_PER_DAY
    assert [bar[0] for bar in month] == [RECORD[0][0] + M15_MS * i for i in range(len(month))]
    days = {tuple(moves(RECORD[i : i + BARS_PER_DAY])) for i in range(1, len(RECORD) - BARS_PER_DAY + 1)}
    for start in range(0, len(month), BARS_PER_DAY):
        assert tuple(moves(month[start : start + BARS_PER_DAY])) in days
    assert all(low <= min(first, close) and high >= max(first, close) for _, first, high, low, close, _ in month)


def test_the_same_seed_gives_the_same_month() -> None:
    assert bootstrap(RECORD, 3, 5) == bootstrap(RECORD, 3, 5) != bootstrap(RECORD, 3, 6)
    with pytest.raises(ValueError, match="no day to draw from"):
        bootstrap(RECORD[:96], 3, 5)


def test_a_view_on_a_path_knows_nothing_of_what_comes_later() -> None:
    path = make_path(RECORD[:200], fee_rate=0.05, cost=0.0007, tick_spacing=10, is_stable=False)
    shorter = make_path(RECORD[:150], fee_rate=0.05, cost=0.0007, tick_spacing=10, is_stable=False)
    assert path[:150] == shorter
    now_s, view = path[149]
    assert now_s * 1000 == RECORD[149][0] + M15_MS
    assert math.isclose(view.x, math.log(RECORD[149][4]) / LOG_TICK)
    assert view.signals == read(RECORD[:150], now_s * 1000, is_stable=False)


def test_folds_are_purged() -> None:
    params = FoldParams()
    steps = params.days * BARS_PER_DAY
    folds = make_folds(steps, params)
    assert (len(folds), params.days) == (5, 37)
    for fold in folds:
        assert fold.train.stop - fold.train.start == 14 * BARS_PER_DAY
        assert fold.test.start - fold.train.stop == 4 * BARS_PER_DAY  # what a signal looks back
        assert fold.test.stop - fold.test.start == 3 * BARS_PER_DAY
    for before, fold in itertools.pairwise(folds):
        assert fold.test.start - before.test.stop == BARS_PER_DAY
    assert (folds[0].train.start, folds[-1].test.stop) == (0, steps)
    with pytest.raises(ValueError, match="are shorter than the 37 of the folds"):
        make_folds(steps - 1, params)
