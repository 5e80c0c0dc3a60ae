import math

import pytest
from support.queries import DAI, Shape, make_query, shown

from miner.memory import FeeMean, Memory, observe
from miner.span import LOG_TICK, Span, around, tick_of
from miner.view import View, fee_rate_of, look
from protocol.messages import RebalanceQuery


def view_of(*shapes: Shape) -> View:
    memory, query = Memory(), make_query()
    for shape in shapes:
        query = make_query(shape)
        memory = observe(memory, query, tick_of(query.context.sqrt_price_x96))
    return look(query, memory)


def test_the_first_view_is_sane() -> None:
    view = view_of(Shape())
    assert (view.sigma, view.twap, view.held, view.held_s, view.out_s) == (0.6, None, None, None, None)
    assert math.isclose(view.fee_to_lvr, 1.2)
    assert view.fee_rate_se == 0
    assert math.isclose(view.x, -196_200, abs_tol=1e-3)
    assert math.isclose(view.cost, 0.0007)
    assert math.isclose(view.share0, 0.501, abs_tol=1e-3)  # 10 WETH at 3,014 beside 30,000 USDC


@pytest.mark.parametrize(
    ("idle0", "idle1", "share0", "inventory"),
    [(0, 10**9, 0.0, -1.0), (10**19, 0, 1.0, 1.0), (0, 0, 0.5, 0.0)],
)
def test_inventory(idle0: int, idle1: int, share0: float, inventory: float) -> None:
    view = view_of(Shape(idle0=idle0, idle1=idle1))
    assert (view.share0, view.inventory) == (share0, inventory)


def test_two_dollars_are_a_stable_pair() -> None:
    view = view_of(Shape(token0=DAI, tick=-276_324))
    assert (view.is_stable, view.sigma) == (True, 0.02)


def test_a_portfolio_that_nobody_planned_is_held_by_its_widest_position() -> None:
    positions = (shown(-196_300, -196_100, 1, 1), shown(-200_000, -190_000, 1, 1))
    view = view_of(Shape(positions=positions))
    assert (view.held, view.held_s, view.out_s) == (Span(-200_000, -190_000), None, None)
    out = (shown(0, 10, 1, 1),)
    view = view_of(Shape(positions=out), Shape(positions=out, timestamp=1_700_000_300))
    assert (view.held, view.held_s, view.out_s) == (Span(0, 10), None, 300.0)


def test_a_planned_portfolio_is_held_by_the_span_it_came_from() -> None:
    query = make_query(Shape())
    memory = observe(Memory(), query, -196_200.0).with_plan(((-196_300, -196_100),), Span(-196_295.5, -196_104.5))
    later: RebalanceQuery = make_query(
        Shape(timestamp=1_700_000_600, positions=(shown(-196_300, -196_100, 10**18, 10**9),))
    )
    view = look(later, observe(memory, later, -196_200.0))
    assert (view.held, view.held_s, view.out_s) == (Span(-196_295.5, -196_104.5), 600.0, None)


def test_the_mean_price_is_that_of_the_last_half_hour() -> None:
    start = 1_700_000_100
    view = view_of(*(Shape(tick=100 * i, timestamp=start + 900 * i) for i in range(5)))
    assert view.twap is not None and math.isclose(view.twap, 250, abs_tol=0.01)
    gone = view_of(Shape(tick=0, timestamp=start), Shape(tick=500, timestamp=start + 7200))
    assert gone.twap is None


def test_measured_fees_outweigh_the_prior_with_time() -> None:
    sigma = 0.8  # σ²/8 = 0.08, the prior rate 0.096
    assert math.isclose(fee_rate_of((FeeMean(), FeeMean()), sigma)[0], 0.096)
    two_hours = FeeMean().add(0.2, 7200.0)
    assert math.isclose(fee_rate_of((two_hours, two_hours), sigma)[0], 0.148)
    rate, se = fee_rate_of((FeeMean().add(0.1, 72_000.0).add(0.3, 72_000.0),) * 2, sigma)
    assert math.isclose(rate, (0.2 * 144_000 + 0.096 * 7200) / 151_200)
    assert math.isclose(se, 0.1 / math.sqrt(2) * 144_000 / 151_200)


def test_spans() -> None:
    span = around(0.0, 0.01, 0.02)
    assert math.isclose(span.lower, -0.01 / LOG_TICK)
    assert math.isclose(span.log_half_width, 0.015)
    assert math.isclose(span.middle, 0.005 / LOG_TICK)
    assert [Span(0, 10).holds(x) for x in (-1, 0, 9.9, 10)] == [False, True, True, False]
    assert math.isclose(tick_of(2**96), 0.0)
