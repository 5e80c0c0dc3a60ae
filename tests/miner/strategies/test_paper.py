import math

from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close
from support.views import make_view

from miner.signals import Signals
from miner.span import LOG_TICK, Span, around
from miner.strategies.paper import Costs, Holding, follow, hedged_return, run, share0_of, view_of
from miner.strategies.static import Static
from miner.strategies.tau_reset import TauReset

YEAR_S = 31_557_600.0


def tick(price: float) -> float:
    return math.log(price) / LOG_TICK


def test_the_loss_of_a_step_is_the_reference_s() -> None:
    """C3: L 1000 on [1900, 2150], 2000 → 2040 → 1980: D 4.427965901790 and 9.914151631615."""
    span = Span(tick(1900), tick(2150))
    first = hedged_return(span, tick(2000), tick(2040), 0.0, 900)
    assert is_close(-first * 2720.620383209, 4.427965901790)
    second = hedged_return(span, tick(2040), tick(1980), 0.0, 900)
    assert is_close(-second * 2747.957422680, 9.914151631615)


def test_fees_count_at_the_ends_that_lie_inside() -> None:
    span = around(0.0, 0.05, 0.05)
    multiple = 1 / (1 - math.exp(-0.025))
    assert is_close(hedged_return(span, 0.0, 0.0, 0.08, YEAR_S), 0.08 * multiple)
    leaving = hedged_return(span, 0.0, 10_000.0, 0.08, YEAR_S) - hedged_return(span, 0.0, 10_000.0, 0.0, YEAR_S)
    assert is_close(leaving, 0.04 * multiple)
    assert hedged_return(span, 20_000.0, 20_100.0, 0.08, YEAR_S) == 0


@given(st.floats(-1e6, 1e6), st.floats(-3000, 3000), st.floats(1, 10_000), st.floats(-1000, 1000))
def test_a_step_never_gains_by_the_price(x: float, move: float, half: float, off: float) -> None:
    span = Span(x + off - half, x + off + half)
    assert -1 <= hedged_return(span, x, x + move, 0.0, 900) <= 0
    assert 0 <= share0_of(span, x) <= 1


def test_shares() -> None:
    span = around(0.0, 0.05, 0.05)
    assert is_close(share0_of(span, 0.0), 0.5)
    assert share0_of(span, -501.0) == 1 and share0_of(span, 501.0) == 0


def test_a_holding_knows_since_when_it_is_out() -> None:
    inside = Holding(Span(-10, 10), 5)
    out = follow(inside, 20.0, 7)
    assert out == Holding(Span(-10, 10), 5, 7)
    assert follow(out, 30.0, 9) == out
    assert follow(out, 0.0, 9) == inside
    assert follow(None, 0.0, 9) is None
    view = view_of(make_view(x=20.0), out, 17)
    assert (view.held, view.held_s, view.out_s, view.share0) == (Span(-10, 10), 12.0, 10.0, 0.0)
    assert view_of(view, None, 17).held is None


def test_a_run_charges_moves_and_counts_them() -> None:
    path = [(900 * i, make_view(x=600.0 * i, signals=Signals(0.5, 0, 0))) for i in range(5)]
    costs = Costs(move=0.001, swap=0.004)
    tended = run(TauReset(w=0.05), path, costs)
    left = run(Static(w=0.05), path, costs)
    assert [now_s for now_s, _ in tended.placed] == [0, 900, 1800, 2700]
    assert (tended.turnover, left.turnover, len(left.returns)) == (4.0, 1.0, 4)
    assert is_close(left.returns[0], hedged_return(around(0.0, 0.05, 0.05), 0.0, 600.0, 0.084, 900) - 0.003)
    assert left.returns[2:] == (0.0, 0.0)
