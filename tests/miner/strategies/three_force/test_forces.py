import pytest
from support.check_series import check_series, is_close

from miner.strategies.three_force import forces
from miner.strategies.three_force.candles import Candle, frames
from miner.strategies.three_force.forces import Forces

A = check_series(60, 900, 2000, 0.004, 2e-5)
B = check_series(9000, 60, 2000, 0.002, 1e-6)


def flat(*closes: float) -> list[Candle]:
    return [(900_000 * i, c, c, c, c, 1.0) for i, c in enumerate(closes)]


def agrees(found: Forces, v: float, m: float, t: float) -> bool:
    return is_close(found.v, v) and is_close(found.m, m, 1e-7) and is_close(found.t, t)


@pytest.mark.parametrize(
    ("sigma", "expected"), [(0.0005, 2.955446645149), (0.004, 21.33721389334), (0.02, 69.88057880878)]
)
def test_volatility_is_scaled(sigma: float, expected: float) -> None:
    assert is_close(forces.scale_volatility(sigma), expected)


def test_the_forces_of_series_a() -> None:
    assert is_close(forces.parkinson_volatility(A, 24), 0.003193824661243)
    assert is_close(forces.parkinson_volatility(A, 10), 0.003303785630933)
    assert is_close(forces.volatility_force(A), 17.43872818806)
    assert is_close(forces.momentum_force(A), 51.35674503963)
    assert is_close(forces.momentum_force(A, 5), 53.1783485643)
    assert is_close(forces.trend_force(A), 50.37301130024)
    assert is_close(forces.trend_force(A, 12), 50.90927258193)


def test_the_first_bars_of_series_a() -> None:
    assert is_close(forces.trend_force(A[:5]), 50.28679476833)
    assert forces.momentum_force(A[:5]) == 50
    assert is_close(forces.momentum_force(A[:15]), 51.26146788991)
    assert is_close(forces.momentum_force(A[:20]), 56.74564887848)
    assert is_close(forces.volatility_force(A[:2]), 14.70821875002)
    assert forces.volatility_force(A[:1]) == 0


def test_momentum_of_single_closes() -> None:
    assert is_close(forces.momentum_force(flat(10, 11, 10.5, 11.5, 12, 11.8, 12.4), 3), 83.40611353712)
    assert forces.momentum_force(flat(7, 6, 5, 4, 3, 2), 3) == 0
    assert forces.momentum_force(flat(*[5] * 9), 3) == 100


def test_closes_stand_in_where_no_bar_has_a_span() -> None:
    assert is_close(forces.volatility_force(flat(10, 10.1, 9.9, 10.05, 10)), 0.6626622957753)


def test_bars_without_a_positive_low_are_left_out() -> None:
    bars: list[Candle] = [(0, 1, 1.02, 0.98, 1, 1), (1, 1, 1.02, 0, 1, 1), (2, 1, 1.03, 0.99, 1, 1)]
    assert is_close(forces.parkinson_volatility(bars), 0.02390697783047)
    assert is_close(forces.volatility_force(bars), 76.17461720972)
    assert forces.volatility_force(bars[:2]) == 0


@pytest.mark.parametrize(
    ("candles", "expected"),
    [
        (frames(B).m15, (15.91344550269, 50.77179855681, 50.34831724956)),
        (frames(B).h1, (16.88881133822, 70.41108170975, 50.84481302047)),
        (frames(B).h4, (17.5449041719, 74.51754455236, 51.49434128937)),
        (frames(B[:300]).h1, (16.90385477882, 50, 49.74854778229)),
        (frames(B[:300]).h4, (17.36976105838, 50, 50)),
    ],
)
def test_the_forces_of_the_frames_of_series_b(
    candles: tuple[Candle, ...], expected: tuple[float, float, float]
) -> None:
    assert agrees(forces.compute(candles), *expected)


def test_the_blend_of_series_b() -> None:
    assert agrees(forces.composite(B), 16.79302943766, 65.75123561665, 50.89072276987)
    assert agrees(forces.composite(B[:300]), 16.70308957187, 50.34851011797, 49.87399612284)
    assert tuple(forces.composite(B[:10])) == (0, 50, 50)


def test_forces_unpack_and_say_what_is_shown() -> None:
    found = forces.compute(flat(1, 2, 3, 2))
    assert (found.volatility, found.momentum, found.trend) == tuple(found)
    assert (found.mean, found.ups, found.downs) == (2.0, 2.0, 1.0)
    assert is_close(found.std, 0.5**0.5)
