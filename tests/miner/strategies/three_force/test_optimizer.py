import math

import pytest
from support.check_series import check_series, is_close, mulberry32

from miner.strategies.three_force.nelder_mead import Vector, maximise
from miner.strategies.three_force.optimizer import (
    BOX,
    DEFAULT_VECTOR,
    Context,
    fitness,
    hodl_value,
    optimize,
    simulate,
    value_per_liquidity,
)

CONTEXT = Context(base_apr=0.25, pool_fee=0.0005, gas=0.05, position_value=20_000)
DOCS = Context(base_apr=0.25, pool_fee=0.0005, gas=0.05, position_value=20_000, docs_fitness=True)
S = check_series(400, 900, 1, 0.0006, 0)
R = check_series(400, 900, 2000, 0.004, 2e-4)
START = (0.001, 0.05, -0.5, 400, 0.2)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (1800, 2.475033743463),
        (1900, 2.6125356181),
        (2000, 2.720620383209),
        (2150, 2.779103042072),
        (2300, 2.779103042072),
    ],
)
def test_value_per_liquidity(price: float, expected: float) -> None:
    assert is_close(value_per_liquidity(price, 1900, 2150), expected)


@pytest.mark.parametrize(("price", "expected"), [(1800, 2.561795356347), (2300, 2.958857923503)])
def test_hodl_value(price: float, expected: float) -> None:
    assert is_close(hodl_value(price, 2000, 1900, 2150), expected)


def test_a_quiet_market_with_the_defaults() -> None:
    trained = simulate(S[:320], DEFAULT_VECTOR, CONTEXT)
    assert is_close(trained.net, 0.3235438025261, 1e-7)
    assert is_close(trained.fee, 0.4740861747547, 1e-7)
    assert is_close(trained.lvr, 0.1505423722286, 1e-7)
    assert is_close(fitness(S, DEFAULT_VECTOR, CONTEXT), 0.3194281646615, 1e-7)
    assert is_close(fitness(S, DEFAULT_VECTOR, DOCS), 0.2499955893209, 1e-7)


def test_a_validation_that_does_not_follow_is_no_fitness() -> None:
    x = (0.001, 0.012, -0.9, 120, 0.12)
    assert is_close(simulate(S[:320], x, CONTEXT).net, 0.4854790405605, 1e-7)
    assert is_close(simulate(S[320:], x, CONTEXT).net, -0.1779113324087, 1e-7)
    assert fitness(S, x, CONTEXT) == -math.inf


def test_a_drifting_market_with_the_defaults() -> None:
    trained = simulate(R[:320], DEFAULT_VECTOR, CONTEXT)
    assert is_close(trained.net, -7.045716566548, 1e-7)
    assert trained.shifts == (19, 90, 161, 232, 308)
    validated = simulate(R[320:], DEFAULT_VECTOR, CONTEXT)
    assert validated.shifts == (32,)
    assert is_close(validated.net, -6.675877117315, 1e-7)
    assert fitness(R, DEFAULT_VECTOR, CONTEXT) == validated.net


def test_a_drifting_market_with_a_narrow_range() -> None:
    x = (1e-4, 0.005, -1, 50, 0.35)
    trained = simulate(R[:320], x, CONTEXT)
    assert is_close(trained.net, -50.21773710475, 1e-7)
    assert is_close(trained.fee, 2.346633117959, 1e-7)
    assert is_close(trained.lvr, 32.0588411157, 1e-7)
    assert is_close(trained.cost, 20.50552910701, 1e-7)
    assert trained.bars_in_range == 218
    assert trained.shifts == tuple(range(0, 320, 4))
    assert is_close(simulate(R[:320], x, DOCS).net, -20.33613090204, 1e-7)


def test_little_or_nothing_to_judge_by() -> None:
    assert simulate(S[:1], DEFAULT_VECTOR, CONTEXT).net == 0
    assert fitness(S[:19], DEFAULT_VECTOR, CONTEXT) == -math.inf
    assert math.isfinite(fitness(S[:20], DEFAULT_VECTOR, CONTEXT))


def test_the_search_on_a_bowl() -> None:
    target = (0.003, 0.06, -0.6, 500, 0.3)

    def bowl(x: Vector) -> float:
        spans = [hi - lo for lo, hi in zip(BOX.low, BOX.high, strict=True)]
        result = 0.0
        for value, goal, span in zip(x, target, spans, strict=True):
            result -= ((value - goal) / span) ** 2
        return result

    found = maximise(bowl, START, BOX)
    assert is_close(found.value, -7.996724391749e-8)
    assert abs(found.value / -7.996724391749e-8 - 1) < 1e-6
    assert found.evals == 189


@pytest.mark.parametrize(("value", "evals"), [(7.0, 6), (-math.inf, 153)])
def test_a_plateau_returns_the_last_perturbed_vertex(value: float, evals: int) -> None:
    found = maximise(lambda _x: value, START, BOX)
    assert [round(x, 12) for x in found.x] == [0.001, 0.05, -0.5, 400, 0.225]
    assert found.evals == evals


@pytest.mark.parametrize(
    ("start", "value", "evals"), [(START, 2.076475692908, 194), (DEFAULT_VECTOR, 2.076536181004, 201)]
)
def test_the_search_on_the_fitness(start: Vector, value: float, evals: int) -> None:
    found = maximise(lambda x: fitness(S, x, CONTEXT), start, BOX)
    assert is_close(found.value, value, 1e-6)
    assert found.evals == evals


def test_optimize_cold_and_warm() -> None:
    uniform = mulberry32(2024)
    cold = optimize(S, CONTEXT, uniform)
    assert is_close(cold.fitness, 2.078818591969, 1e-6)
    assert (cold.evals, cold.warm_start, cold.is_default) == (590, cold.x, False)
    warm = optimize(S, CONTEXT, uniform, cold.warm_start)
    assert is_close(warm.fitness, 2.078891413526, 1e-6)
    assert warm.evals == 605


def test_where_nothing_beats_the_defaults_they_stay() -> None:
    found = optimize(S[:10], CONTEXT, mulberry32(1), START)
    assert (found.x, found.warm_start, found.is_default) == (DEFAULT_VECTOR, DEFAULT_VECTOR, True)
