import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import check_series
from support.queries import Shape, make_query, shown
from support.views import make_view

from miner.memory import Memory, observe
from miner.remembering import decide
from miner.span import LOG_TICK, Span, around, tick_of
from miner.strategies.btr_plus import BtrPlus
from miner.strategies.paper import Costs, run
from miner.strategies.plus.optimizer import rule_at
from miner.strategies.plus.walk_forward import make_path
from miner.strategies.three_force.candles import M15_MS, Candle
from miner.strategy import Positions
from protocol.messages import ShownPosition
from simulator.math.tick_math import get_sqrt_ratio_at_tick

RULE = BtrPlus()
W = 0.07804243010167  # σ 75 %
HELD = around(0.0, W, W)


def test_the_width_is_the_reference_s() -> None:
    span = RULE.wish(make_view())
    assert span is not None and math.isclose(span.log_half_width, W, rel_tol=1e-9)


@given(st.floats(0.05, 3), st.floats(1.1, 3))
def test_a_wilder_market_gets_a_wider_range(sigma: float, factor: float) -> None:
    def half(s: float) -> float:
        return RULE.target(make_view(sigma=s, fee_rate=3 * s**2 / 8)).half

    assert half(sigma) < half(sigma * factor)


def test_where_fees_do_not_pay_nothing_is_opened() -> None:
    assert RULE.wish(make_view(fee_rate=0.06)) is None
    assert RULE.target(make_view(fee_rate=0.06)).log_half_width == pytest.approx(0.5)


def test_nothing_is_done_as_moving_becomes_dear() -> None:
    dear = replace(RULE, move_cost=1e9)
    assert dear.wish(make_view()) is None
    assert dear.wish(make_view(x=5000.0, held=HELD, out_s=1e9)) is None


def test_doubt_about_fees_keeps() -> None:
    assert RULE.wish(make_view(fee_rate_se=0.001)) is not None
    assert RULE.wish(make_view(fee_rate_se=0.02)) is None


def test_a_cooldown_holds_only_while_in_range() -> None:
    moved = make_view(x=HELD.half * 0.95, held=replace(HELD, lower=-HELD.half * 3), held_s=3599.0)
    assert RULE.wish(moved) is None
    assert RULE.wish(replace(moved, held_s=3600.0)) is not None
    out = make_view(x=HELD.upper + 1, held=HELD, held_s=300.0, out_s=0.0)
    assert RULE.wish(out) is not None


def test_out_of_range_for_the_limit_overrides_every_guard() -> None:
    """Doubt, a price that has not settled, and the cost of later re-centring count no more."""
    x = HELD.upper + 1
    view = make_view(x=x, held=HELD, held_s=300.0, out_s=1799.0, twap=x - 101, fee_rate_se=1.0)
    assert RULE.wish(view) is None
    assert RULE.wish(replace(view, out_s=1800.0)) is not None


@given(st.floats(0.05, 3), st.floats(1.06, 5), st.floats(1, 50_000), st.booleans())
def test_out_of_range_is_never_held_longer_than_the_limit(
    sigma: float,
    kappa: float,
    away: float,
    above: bool,  # noqa: FBT001  # drawn
) -> None:
    x = HELD.upper + away if above else HELD.lower - away
    view = make_view(x=x, sigma=sigma, fee_rate=kappa * sigma**2 / 8, held=HELD, held_s=0.0, out_s=1800.0)
    assert RULE.wish(view) is not None


def test_hysteresis_keeps_nearly_the_same_width() -> None:
    view = make_view(held=around(0.0, W / 1.4, W / 1.4))
    assert RULE.wish(view) is None
    assert RULE.wish(replace(view, held=around(0.0, W * 1.6, W * 1.6))) is not None


def test_a_move_of_the_price_that_has_not_settled_is_waited_out() -> None:
    assert RULE.wish(make_view(twap=101.0)) is None
    assert RULE.wish(make_view(twap=99.0)) is not None
    assert RULE.wish(make_view(twap=11.0, is_stable=True)) is None


QUARTERS = [(M15_MS * (2_000_000 + i), *bar[1:]) for i, bar in enumerate(check_series(160, 900, 1.0, 0.002, 2e-3))]


def live_spans(rule: BtrPlus, bars: list[Candle]) -> list[tuple[int, Span]]:
    """Return what the live strategy placed: it sees the close of every bar, is asked then, and shown what it placed."""
    memory, placed = Memory(), []
    positions: tuple[ShownPosition, ...] = ()
    for bar in bars:
        tick = round(math.log(bar[4]) / LOG_TICK)
        now_s = (bar[0] + M15_MS) // 1000
        last_second = make_query(Shape(tick=tick, timestamp=now_s - 1, positions=positions))
        memory = observe(memory, last_second, tick_of(last_second.context.sqrt_price_x96))
        query = make_query(Shape(tick=tick, timestamp=now_s, positions=positions, idle0=10**18, idle1=10**18))
        decision, memory = decide(rule, query, memory)
        if isinstance(decision, Positions):
            placed.append((now_s, memory.plans[-1].span))
            positions = tuple(shown_at(d.range.tick_lower, d.range.tick_upper) for d in decision.desired)
    return placed


def shown_at(lower: int, upper: int) -> ShownPosition:
    return replace_liquidity(shown(lower, upper, 1, 1, fees=0))


def replace_liquidity(position: ShownPosition) -> ShownPosition:
    return position.model_copy(update={"liquidity": 0})  # no fees are measured: the rate stays the prior


@pytest.mark.parametrize(
    "rule",
    [RULE, rule_at([0.1, 0.5, 0.5, 0.2, 0.1], RULE), BtrPlus(tilt=0.25, kappa_w=0.5, shift=0.3)],
    ids=["default", "found", "narrow"],
)
def test_live_and_back_test_place_the_same_ranges(rule: BtrPlus) -> None:
    """One range function: the same prices give the same spans, whether asked live or on paper."""
    bars: list[Candle] = []
    for i, bar in enumerate(QUARTERS):
        close = get_price(round(math.log(bar[4]) / LOG_TICK))
        first = bars[-1][4] if i else close
        bars.append((bar[0], first, max(first, close), min(first, close), close, 0.0))
    live = live_spans(rule, QUARTERS)
    path = []
    for now_s, view in make_path(bars, fee_rate=0.0, cost=0.0007, tick_spacing=10, is_stable=False):
        path.append((now_s, replace(view, fee_rate=1.2 * view.sigma**2 / 8)))
    paper = run(rule, [*path, path[-1]], Costs())
    assert len(live) > 3
    assert [now_s for now_s, _ in live] == [now_s for now_s, _ in paper.placed]
    for (_, a), (_, b) in zip(live, paper.placed, strict=True):
        assert math.isclose(a.lower, b.lower, abs_tol=1e-3) and math.isclose(a.upper, b.upper, abs_tol=1e-3)


def get_price(tick: int) -> float:
    return float((get_sqrt_ratio_at_tick(tick) / 2**96) ** 2)


def test_a_setting_changes_what_is_minted() -> None:
    """The published system searched for settings that no mint ever saw."""
    query, ranges = make_query(), set()
    for rule in (RULE, replace(RULE, kappa_w=3.0), replace(RULE, horizon_days=3.0)):
        decision, _ = decide(rule, query, Memory())
        assert isinstance(decision, Positions)
        ranges.add(decision.desired[0].range)
    assert len(ranges) == 3
