import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close

from miner.signals import Signals
from miner.span import LOG_TICK, Span, around
from miner.strategies.plus import band
from miner.strategies.plus.band import BandParams
from simulator.portfolio import Range

PARAMS = BandParams()
SIGMAS = st.floats(0.01, 5)
SCORES = st.floats(-6, 6)


@pytest.mark.parametrize(
    ("sigma", "w"),
    [
        (0.05, 0.008826516869306),
        (0.2, 0.021768188894285),
        (0.4, 0.041874316273312),
        (0.75, 0.078042430101671),
        (1.5, 0.144082451550015),
    ],
)
def test_width(sigma: float, w: float) -> None:
    assert is_close(band.width(sigma, PARAMS), w)


@pytest.mark.parametrize(
    ("z_trend", "z_momentum", "expected"),
    [(1, 1, 0.094815548462841), (2, -1, 0.078596887793796), (1, 0, 0.077019526210002)],
)
def test_bias(z_trend: float, z_momentum: float, expected: float) -> None:
    assert is_close(band.bias(z_trend, z_momentum, PARAMS), expected)


def test_ticks_of_both_token_orders() -> None:
    w, b = 0.078042430101671, 0.094815548462841
    x = math.log(2000e-12) / LOG_TICK
    assert abs(x - -200311.2014563) < 1e-6
    assert band.align(around(x, w * (1 - b), w * (1 + b)), 100) == Range(-201_100, -199_400)
    assert band.align(around(-x, w * (1 + b), w * (1 - b)), 100) == Range(199_400, 201_100)


@given(SIGMAS, st.floats(1.001, 3))
def test_width_rises_strictly_with_volatility_within_bounds(sigma: float, factor: float) -> None:
    narrow, wide = band.width(sigma, PARAMS), band.width(sigma * factor, PARAMS)
    assert PARAMS.w_lo < narrow < wide < PARAMS.w_hi


@given(SCORES, SCORES)
def test_bias_is_odd_and_bounded(z_trend: float, z_momentum: float) -> None:
    b = band.bias(z_trend, z_momentum, PARAMS)
    assert abs(b) <= PARAMS.b_max
    assert b == -band.bias(-z_trend, -z_momentum, PARAMS)
    assert b * z_trend >= 0


@given(st.floats(-800_000, 800_000), SIGMAS, SCORES, SCORES)
def test_the_price_is_inside_and_the_width_does_not_depend_on_the_tilt(
    x: float, sigma: float, z_trend: float, z_momentum: float
) -> None:
    span = band.compute(x, Signals(sigma, z_trend, z_momentum), PARAMS)
    assert span.lower < x < span.upper
    assert math.isclose(span.log_half_width, band.width(sigma, PARAMS), rel_tol=1e-6)


@given(SIGMAS, SCORES, SCORES, st.sampled_from([0, 1, 2]))
def test_small_changes_of_signals_move_edges_a_little(
    sigma: float, z_trend: float, z_momentum: float, which: int
) -> None:
    step = 1e-4
    before = [sigma, z_trend, z_momentum]
    after = [value + (step if i == which else 0) for i, value in enumerate(before)]
    a, b = (band.compute(0.0, Signals(*values), PARAMS) for values in (before, after))
    assert max(abs(a.lower - b.lower), abs(a.upper - b.upper)) * LOG_TICK <= step * 1.0


@pytest.mark.parametrize(
    ("fee_to_lvr", "expected"),
    [(None, 0.02), (0.5, 0.5), (1.05, 0.5), (1.06, 0.0466666666667), (3.0, 0.02), (1.0501, 0.0558882235529)],
)
def test_fees_widen_and_never_narrow(fee_to_lvr: float | None, expected: float) -> None:
    assert is_close(band.economic_width(0.02, fee_to_lvr, 0.0007, PARAMS), expected)


@given(
    st.floats(-900_000, 900_000),
    st.floats(0.01, 20_000),
    st.sampled_from([1, 10, 60, 200, 16_383]),
    st.sampled_from([1, 60, 5000]),
)
def test_an_aligned_range_holds_the_span_and_is_never_too_narrow(
    x: float, half: float, spacing: int, min_width: int
) -> None:
    found = band.align(Span(x - half, x + half), spacing, min_width)
    if found is None:
        assert abs(x) > 800_000
        return
    assert found.tick_lower % spacing == found.tick_upper % spacing == 0
    assert found.tick_upper - found.tick_lower >= min_width
    inner = 887_272 - 2 * half - 2 * spacing - min_width
    if abs(x) < inner:
        assert found.tick_lower <= x - half and x + half <= found.tick_upper
        assert found.tick_upper - found.tick_lower >= 2 * spacing


def test_bounds_follow_the_pool() -> None:
    assert BandParams.for_pool(10, is_stable=False).w_lo == 0.005
    assert BandParams.for_pool(60, is_stable=False).w_lo == 120 * LOG_TICK
    stable = BandParams.for_pool(1, is_stable=True)
    assert (stable.w_lo, stable.w_hi) == (0.0003, 0.02)
    coarse = BandParams.for_pool(16_383, is_stable=False)
    assert coarse.w_lo < band.width(0.6, coarse) < coarse.w_hi


def test_every_parameter_changes_the_range() -> None:
    """The published system optimized parameters that nothing read."""
    signals, base = Signals(0.75, 1.0, 0.5), band.compute(0.0, Signals(0.75, 1.0, 0.5), PARAMS)
    for name, value in {"kappa_w": 3.0, "horizon_days": 2.0, "w_lo": 0.01, "w_hi": 0.4, "b_max": 0.1}.items():
        assert band.compute(0.0, signals, replace(PARAMS, **{name: value})) != base, name
    assert band.compute(0.0, signals, replace(PARAMS, momentum_weight=0.1)) != base
    assert band.compute(0.0, signals, replace(PARAMS, margin=0.3), fee_to_lvr=1.2) != base
