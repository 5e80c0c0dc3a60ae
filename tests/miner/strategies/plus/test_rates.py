import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close

from miner.span import Span, around
from miner.strategies.plus import rates


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [(1960, 2000 / 0.98, 7.959797974645), (1000, 4000, 0.273137084990), (1900, 2150, 2.630068337413)],
)
def test_loss_to_the_informed(lower: float, upper: float, expected: float) -> None:
    assert is_close(rates.lvr_rate(0.8, 2000, lower, upper), expected)
    assert rates.lvr_rate(0.8, 900, lower, upper) == 0


@given(st.floats(0.001, 1.0), st.floats(-800_000, 800_000))
def test_loss_is_concentration_times_an_eighth_of_variance(w: float, x: float) -> None:
    multiple = rates.concentration(around(x, w, w), x)
    assert math.isclose(multiple, 1 / (1 - math.exp(-w / 2)), rel_tol=1e-6)
    assert math.isclose(rates.lvr_rate(0.8, 1.0, math.exp(-w), math.exp(w)), multiple * 0.8**2 / 8, rel_tol=1e-6)


def test_the_loss_rate_is_what_a_simulated_price_costs() -> None:
    """8.04 per year by the formula, 16 by the published system (σ .8, ±2 %): 40,000 steps of 10 s."""
    generator, sigma, step_s = random.Random(7), 0.8, 10.0
    lower, upper = 0.98, 1 / 0.98
    lost, step = 0.0, sigma * math.sqrt(step_s / 31_557_600)
    for _ in range(40_000):
        price = math.exp(step * generator.gauss(0, 1))
        x0 = 1 - 1 / math.sqrt(upper)
        before, after = (2 * math.sqrt(p) - math.sqrt(lower) - p / math.sqrt(upper) for p in (1.0, price))
        lost += (x0 * (price - 1) - (after - before)) / before
    per_year = lost / 40_000 * 31_557_600 / step_s
    assert abs(per_year / rates.lvr_rate(sigma, 1.0, lower, upper) - 1) < 0.03


def test_fee_growth_wraps() -> None:
    q128 = 2**128
    assert rates.fee_growth_value((2**256 - q128, 5 * q128), (2 * q128, 7 * q128), 10.0) == 32.0


def test_fee_rate_of_a_full_range() -> None:
    assert is_close(rates.full_range_fee_rate(0.5, 31_557_600 / 4, 50.0), 0.02)
    assert is_close(rates.fee_to_lvr(0.084, 0.75), 1.194666667, 1e-8)


def test_net_rate_and_time_to_leave() -> None:
    span = around(0.0, 0.07804243010167, 0.07804243010167)
    assert is_close(rates.net_rate(0.084, 0.75, span, 0.0), 0.357658985166)
    assert rates.net_rate(0.084, 0.75, span, 5000.0) == 0
    assert is_close(rates.years_to_leave(0.75, 0.05, 0.05) * 365.25, 1.6233, 1e-4)


@given(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7), st.floats(1, 1e6))
def test_no_price_overflows(x: float, lower: float, width: float) -> None:
    span = Span(lower, lower + width)
    assert math.isfinite(rates.concentration(span, x))
    assert all(0 < edge < math.inf for edge in rates.relative(span, x))
