import pytest
from support.check_series import is_close

from miner.strategies.three_force.allocation import (
    AllocationParams,
    Pool,
    allocate,
    interval_apr,
    max_weight_bp,
    water_fill,
    weights,
)

FOUR = [Pool(0.30, 0.8e6), Pool(0.18, 4e6), Pool(0.12, 15e6), Pool(0.05, 40e6)]
THREE = [Pool(0.30, 0.8e6), Pool(0.28, 4e6), Pool(0.27, 15e6)]
UP_TO_4 = AllocationParams(max_positions=4)


@pytest.mark.parametrize(
    ("now", "previous", "fee", "tvl", "expected"),
    [
        (2.4e6, 2.37e6, 0.0005, 5e6, 0.105192),
        (2.4e6, 2.5e6, 0.003, 5e6, 0.52596),
        (2.4e6, None, 0, 0, 438_300),
    ],
)
def test_interval_apr(now: float, previous: float | None, fee: float, tvl: float, expected: float) -> None:
    assert is_close(interval_apr(volume_24h=now, previous_24h=previous, fee=fee, tvl=tvl), expected)


@pytest.mark.parametrize(
    ("pools", "capital", "expected"),
    [
        (7, None, 3725),
        (11, None, 2869),
        (9, 300e3, 3172),
        (9, 1.6e6, 1392),
        (13, 4e6, 824),
        (2, 5.5e6, 5000),
        (1, 1e9, 10000),
        (0, 1e9, 10000),
    ],
)
def test_max_weight(pools: int, capital: float | None, expected: int) -> None:
    assert max_weight_bp(pools, capital) == expected


@pytest.mark.parametrize(
    ("scores", "capital", "expected"),
    [
        ((9000, 7000, 3000), None, [5323, 3652, 1025]),
        ((9000, 7000, 3000), 1.2e6, [3334, 3334, 3332]),
        ((10000, 500, 400, 300), None, [5512, 2058, 1473, 957]),
        ((), None, []),
    ],
)
def test_weights(scores: tuple[int, ...], capital: float | None, expected: list[int]) -> None:
    assert weights(scores, capital) == expected


def test_score_allocator_without_capital() -> None:
    found = allocate(FOUR)
    assert [(t.pool, round(t.pct, 9)) for t in found.targets] == [(0, 0.128), (1, 0.2918), (2, 0.5802)]
    assert is_close(found.portfolio_apr, 0.160548)


def test_score_allocator_with_capital() -> None:
    found = allocate(FOUR, 250e3, UP_TO_4)
    assert [round(t.pct, 9) for t in found.targets] == [0.0786, 0.1792, 0.3564, 0.3858]
    expected = [0.2928079058135, 0.1780063291139, 0.1192914090304, 0.04987972750705]
    assert all(is_close(t.expected_apr, apr) for t, apr in zip(found.targets, expected, strict=True))
    assert is_close(found.portfolio_apr, 0.1166724926248)


def test_a_lone_score_gets_company() -> None:
    found = allocate([Pool(0.30, 0.8e6), Pool(0, 5e6)], 25e3)
    assert [round(t.pct, 9) for t in found.targets] == [0.5636, 0.4364]
    assert is_close(found.portfolio_apr, 0.1661536193787)


def test_pools_without_a_score() -> None:
    assert allocate([]).targets == ()
    assert allocate([Pool(0, 1e6), Pool(0, 2e6)]).targets == ()
    assert [t.pool for t in allocate([Pool(-0.1, 1e6), Pool(0.2, 2e6)]).targets] == [1]


@pytest.mark.parametrize(
    ("pools", "capital", "params", "expected", "apr"),
    [
        (FOUR, None, AllocationParams(), [1.0], 0.2962962962965),
        (FOUR, 250e3, UP_TO_4, [1.0], 0.2285714285389),
        ([Pool(0.30, 0.8e6), Pool(0, 5e6)], 25e3, AllocationParams(), [1.0], 0.30),
        (THREE, 1e6, AllocationParams(), [0.1227356747017, 0.3060998151889, 0.5711645101094], 0.2600961538502),
    ],
)
def test_water_fill(
    pools: list[Pool], capital: float | None, params: AllocationParams, expected: list[float], apr: float
) -> None:
    found = water_fill(pools, capital, params)
    assert all(is_close(t.pct, pct) for t, pct in zip(found.targets, expected, strict=True))
    assert all(is_close(t.expected_apr, apr) for t in found.targets)
    assert is_close(found.portfolio_apr, apr)


def test_water_fill_of_nothing() -> None:
    assert water_fill([Pool(-1, 5), Pool(0, 5)]).targets == ()
