import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import check_series, is_close

from miner import signals
from miner.signals import SignalParams, Signals
from miner.strategies.three_force.candles import M15_MS, Candle

A = check_series(60, 900, 2000, 0.004, 2e-5)
PARAMS = SignalParams()
BAR: Candle = (0, 100, 103, 99, 102, 0)


def aligned(bars: list[Candle]) -> list[Candle]:
    """Return the bars on quarters of an hour from 0 on."""
    return [(M15_MS * i, *bar[1:]) for i, bar in enumerate(bars)]


def test_one_bar_by_three_estimators() -> None:
    assert is_close(math.sqrt(signals.parkinson_variance(BAR)), 0.02378771167934)
    assert is_close(math.sqrt(signals.garman_klass_variance(BAR)), 0.02515867396927)
    assert is_close(math.sqrt(signals.rogers_satchell_variance(BAR)), 0.02425722885493)


def test_volatility_and_trend_of_series_a() -> None:
    assert is_close(math.sqrt(signals.range_variance(A[-24:]) * 35_064), 0.5980559270325)
    assert is_close(signals.trend_score(A), 0.08242562666781)


def test_one_wild_bar_counts_as_five_usual_ones() -> None:
    calm: list[Candle] = [(i, 1, 1.001, 1, 1, 0) for i in range(9)]
    wild: Candle = (9, 1, 3, 1, 1, 0)
    usual = math.log(1.001) ** 2 / (4 * math.log(2))
    assert is_close(signals.range_variance([*calm, wild]) / usual, (9 + 25) / 10)


def test_realised_variance_of_equal_moves_and_of_a_gap() -> None:
    bars: list[Candle] = [(M15_MS * i, 1, 1, 1, math.exp(0.01 * (i % 2)), 0) for i in range(10)]
    assert is_close(signals.realised_variance(bars) or 0, 1e-4 * 35_064)
    gap: list[Candle] = [(0, 1, 1, 1, 1, 0), (4 * M15_MS, 1, 1, 1, math.exp(0.02), 0)]
    assert is_close(signals.realised_variance(gap) or 0, 1e-4 * 35_064)
    assert signals.realised_variance(bars[:1]) is None


def test_only_complete_bars_are_looked_at() -> None:
    bars = aligned(A)
    wild = [*bars[:-1], replace_close(bars[-1], 9000.0)]
    before_its_end = bars[-1][0] + M15_MS - 1
    assert signals.annual_variance(wild, before_its_end) == signals.annual_variance(bars[:-1], before_its_end)
    assert signals.annual_variance(wild, before_its_end + 1) != signals.annual_variance(bars, before_its_end + 1)


def replace_close(bar: Candle, close: float) -> Candle:
    return (bar[0], bar[1], max(bar[2], close), bar[3], close, bar[5])


def test_frames_without_enough_bars_carry_no_weight() -> None:
    """With eleven quarters of an hour there is no frame, only the closes."""
    bars = aligned(A)[:11]
    now_ms = bars[-1][0] + M15_MS
    assert signals.annual_variance(bars, now_ms) == signals.realised_variance(bars)
    more = aligned(A)[:12]
    of_ranges = signals.range_variance(more) * 35_064
    realised = signals.realised_variance(more) or 0
    assert is_close(signals.annual_variance(more, more[-1][0] + M15_MS) or 0, (of_ranges + realised) / 2)


def test_a_flat_market_has_no_momentum_and_no_trend() -> None:
    flat: list[Candle] = [(M15_MS * i, 1, 1, 1, 1, 0) for i in range(100)]
    assert signals.momentum_score(flat) == 0
    assert signals.trend_score(flat) == 0
    assert signals.annual_variance(flat, M15_MS * 100) == 1e-8


@pytest.mark.parametrize(("is_stable", "sigma"), [(False, 0.6), (True, 0.02)])
def test_without_bars_the_prior_speaks(is_stable: bool, sigma: float) -> None:  # noqa: FBT001  # a table
    assert signals.read((), 0, is_stable=is_stable) == Signals(sigma, 0.0, 0.0)


def test_the_prior_fades() -> None:
    bars = aligned(check_series(400, 900, 1, 0.0002, 0))
    measured = math.sqrt(signals.annual_variance(bars, M15_MS * 400) or 0)
    errors = [
        abs(math.log(signals.read(bars[:n], M15_MS * n, is_stable=False).sigma / measured)) for n in (2, 24, 100, 400)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2


@given(st.lists(st.floats(1e-30, 1e30), min_size=0, max_size=60), st.booleans())
def test_any_prices_give_finite_signals(closes: list[float], is_stable: bool) -> None:  # noqa: FBT001  # drawn
    bars: list[Candle] = [(M15_MS * i, c, c, c, c, 0.0) for i, c in enumerate(closes)]
    found = signals.read(bars, M15_MS * (len(closes) + 1), is_stable=is_stable)
    assert found.sigma > 0
    assert all(math.isfinite(x) for x in (found.sigma, found.z_trend, found.z_momentum))


def test_signals_have_the_sign_of_the_move() -> None:
    def bars(step: float) -> list[Candle]:
        return [
            (M15_MS * i, 1.0, math.exp(step * i + 0.001), math.exp(step * i - 0.001), math.exp(step * i), 0.0)
            for i in range(30)
        ]

    up, down = (signals.read(bars(step), M15_MS * 30, is_stable=False) for step in (0.001, -0.001))
    assert up.z_trend > 0 > down.z_trend
    assert up.z_momentum > 0 > down.z_momentum
    assert replace(up, sigma=1.0) != replace(down, sigma=1.0)


def test_what_is_read_is_of_the_bars_that_are_complete_at_that_moment() -> None:
    """Asked within a quarter of an hour, after it, and as hours and four hours end: always as if asked for the first
    time.
    """
    draws = np.random.default_rng(3)
    closes = 2000 * np.exp(np.cumsum(0.002 * draws.normal(size=400)))
    bars = tuple(
        (n * M15_MS, c, c * (1 + 0.003 * abs(draws.normal())), c * 0.998, float(c), 0.0) for n, c in enumerate(closes)
    )
    seen = set()
    for quarter in range(380, 401):
        for within_ms in (0, 1, M15_MS - 1):
            now_ms = quarter * M15_MS + within_ms
            share = min(quarter, 400) / (min(quarter, 400) + 12)
            measured = signals.annual_variance(bars, now_ms) or 0.0
            found = signals.read(bars, now_ms, is_stable=False)
            assert is_close(found.sigma, math.sqrt(measured**share * 0.36 ** (1 - share)))
            seen.add(found)
    assert len(seen) == 21
