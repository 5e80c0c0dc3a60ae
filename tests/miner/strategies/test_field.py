import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close
from support.views import make_view, views

from miner.span import LOG_TICK, Span, around
from miner.strategies.avellaneda_stoikov import AvellanedaStoikov, optimal_spread, reservation_price
from miner.strategies.btr_compat import BtrCompat
from miner.strategies.btr_plus import BtrPlus
from miner.strategies.charm import Charm
from miner.strategies.edge import is_due
from miner.strategies.glft import Glft, half_spreads
from miner.strategies.kappa import Kappa
from miner.strategies.predictable_loss import PredictableLoss, log_growth, optimal_delta
from miner.strategies.static import Static
from miner.strategies.tau_reset import TauReset
from miner.strategies.three_force.candles import M15_MS
from miner.view import Rule, View

RULES: list[Rule] = [
    AvellanedaStoikov(),
    BtrCompat(),
    BtrPlus(),
    Charm(),
    Glft(),
    Kappa(),
    PredictableLoss(),
    Static(),
    TauReset(),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.name))
@given(view=views())
def test_a_wish_is_a_span_of_numbers(rule: Rule, view: View) -> None:
    span = rule.wish(view)
    if span is not None:
        assert math.isfinite(span.lower) and math.isfinite(span.upper) and span.lower < span.upper
    assert rule.wish(view) == span


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.name))
def test_with_nothing_held_everybody_enters_and_then_stays(rule: Rule) -> None:
    span = rule.wish(make_view())
    assert span is not None and span.holds(0.0)
    settled = make_view(held=span, held_s=7200.0)
    assert rule.wish(settled) is None


@pytest.mark.parametrize(
    ("inventory", "gamma", "sigma", "horizon", "k", "price", "spread"),
    [(1, 0.1, 2, 1, 1.5, 99.6, 1.690770422751), (-2, 0.05, 1.5, 0.5, 2, 100.1125, 1.043954503615)],
)
def test_avellaneda_stoikov(
    inventory: float, gamma: float, sigma: float, horizon: float, k: float, price: float, spread: float
) -> None:
    reserve = reservation_price(100, inventory, gamma, sigma, horizon)
    assert is_close(reserve, price)
    assert is_close(optimal_spread(gamma, sigma, horizon, k), spread)
    if inventory == 1:
        assert is_close(reserve - spread / 2, 98.754614788624)


@given(st.floats(0, 1), st.floats(1e-4, 0.01))
def test_the_quotes_move_continuously_away_from_a_full_hand(share0: float, step: float) -> None:
    rule = AvellanedaStoikov()
    here, there = (rule.target(make_view(share0=s)) for s in (share0, min(share0 + step, 1)))
    assert there.middle <= here.middle
    assert here.middle - there.middle <= 2 * step * 10 * 0.75**2 / 365 / LOG_TICK
    assert math.isclose(here.half, there.half)


def test_the_shift_of_the_quotes_is_bounded() -> None:
    target = AvellanedaStoikov(gamma=500.0, k=5000.0).target(make_view(share0=1.0))
    assert math.isclose(target.middle, -target.half / 2)


@pytest.mark.parametrize(
    ("inventory", "gamma", "sigma", "a", "k", "bid", "ask"),
    [
        (0, 0.1, 2, 140, 1.5, 0.671243819437, 0.671243819437),
        (2, 0.1, 2, 140, 1.5, 0.774678251681, 0.567809387193),
        (-1, 0.05, 1.5, 80, 2, 0.478299382703, 0.540510859122),
    ],
)
def test_glft(inventory: float, gamma: float, sigma: float, a: float, k: float, bid: float, ask: float) -> None:
    found = half_spreads(inventory=inventory, gamma=gamma, sigma=sigma, a=a, k=k)
    assert is_close(found[0], bid) and is_close(found[1], ask)


def test_a_full_hand_is_only_sold() -> None:
    rule = Glft()
    sell, buy = rule.target(make_view(share0=1.0)), rule.target(make_view(share0=0.0))
    assert sell.lower == 10 and buy.upper == -10
    skewed = rule.target(make_view(share0=0.8))
    assert -skewed.lower > skewed.upper > 0  # more token0 than wished: buying moves away
    assert rule.wish(make_view(share0=1.0, held=sell)) is None
    ran_away = make_view(x=-3000.0, share0=1.0, held=sell)
    assert rule.wish(ran_away) == rule.target(ran_away)


def test_predictable_loss() -> None:
    gamma = 2 * 0.0007 * 0.5625
    delta = optimal_delta(fee_rate=0.0844, sigma=0.75, gamma=gamma)
    assert delta is not None and is_close(delta, 0.027950310559)
    best = log_growth(delta=delta, fee_rate=0.0844, sigma=0.75, gamma=gamma)
    for other in (0.99, 1.01, 2.0, 0.5):
        assert log_growth(delta=delta * other, fee_rate=0.0844, sigma=0.75, gamma=gamma) < best
    assert optimal_delta(fee_rate=0.07, sigma=0.75, gamma=gamma) is None
    assert optimal_delta(fee_rate=0.0844, sigma=0.75, gamma=gamma, mu=0.02) is None  # ρ would pass 1


def test_predictable_loss_with_drift() -> None:
    """In days: π 2.5e-4, σ² 1.5e-3, μ 1e-3."""
    sigma = math.sqrt(1.5e-3)
    found = optimal_delta(fee_rate=2.5e-4, sigma=sigma, gamma=2.1e-6, mu=1e-3)
    assert found is not None
    assert is_close(found, (2 * 2.1e-6 + 1e-6 * 1.5e-3) / (1e-3 - 0.75e-3 + 1e-3 * (1e-3 - 0.75e-3)))


@pytest.mark.parametrize(
    ("fee_rate", "half_width"),
    [(0.084, 0.0143835616438), (0.06, 0.5), (0.0738, 0.5), (0.9, 0.005)],
)
def test_the_width_by_kappa(fee_rate: float, half_width: float) -> None:
    for rule in (Kappa(), PredictableLoss()):  # the same with γ = 2cσ²
        span = rule.wish(make_view(fee_rate=fee_rate))
        assert span is not None and is_close(span.log_half_width, half_width)


@pytest.mark.parametrize(
    ("rule", "still", "moves"),
    [
        (TauReset(w=0.05), 499.0, 501.0),
        (TauReset(w=0.05, tau=0.5), 249.0, 251.0),
        (Charm(w=0.05), 249.0, 251.0),
        (Static(w=0.05), 400.0, None),
    ],
)
def test_when_the_middle_is_left(rule: Rule, still: float, moves: float | None) -> None:
    held = around(0.0, 0.05, 0.05)
    assert rule.wish(make_view(x=still, held=held)) is None
    if moves is None:
        assert rule.wish(make_view(x=90_000.0, held=held)) is None
    else:
        span = rule.wish(make_view(x=moves, held=held))
        assert span is not None and math.isclose(span.middle, moves)


def test_charm_waits_for_its_period_and_for_a_settled_price() -> None:
    held = around(0.0, 0.05, 0.05)
    assert Charm().wish(make_view(x=300.0, held=held, held_s=899.0)) is None
    assert Charm().wish(make_view(x=300.0, held=held, held_s=900.0)) is not None
    assert Charm().wish(make_view(x=300.0, held=held, twap=199.0)) is None
    assert Charm().wish(make_view(x=300.0, held=held, twap=200.0)) is not None


def test_another_width_is_a_reason_to_move() -> None:
    view = make_view(held=Span(-100, 100))
    assert is_due(view, Span(-151, 151), shift=1.0)
    assert not is_due(view, Span(-149, 149), shift=1.0)


def test_the_published_system_holds_for_twelve_hours() -> None:
    bars = tuple((M15_MS * i, 1.0, 1.001, 0.999, 1.0, 0.0) for i in range(60))
    entered = BtrCompat().wish(make_view(bars=bars))
    assert entered is not None
    away = make_view(x=entered.upper + 10, held=entered, held_s=43_199.0, bars=bars)
    assert BtrCompat().wish(away) is None
    span = BtrCompat().wish(replace(away, held_s=43_200.0))
    assert span is not None and span.holds(away.x)
    assert 0.02 < span.log_half_width < 0.03
