import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close

from miner.strategies.plus.decision import Candidate, choose, is_rewidth_worth, recentring_cost

W = 0.07804243010167
RATE = 0.357658985166
LATER = recentring_cost(0.0007, 2, 0.75, W)
VALUE = 10_000


def test_the_move_of_the_reference() -> None:
    assert is_close(LATER * VALUE, 1.76998169121)
    cost = (0.05 + 3.50) / VALUE + LATER
    verdict = choose(0.0, [Candidate("shift_with_swap", RATE, 0.0, cost)], 2)
    assert verdict.action == "shift_with_swap"
    assert is_close(verdict.benefit * VALUE, 19.58433868126)
    assert is_close(verdict.cost * VALUE, 5.31998169121)


def test_no_swap_is_preferred_where_it_costs_less() -> None:
    candidates = [
        Candidate("shift_with_swap", RATE, 0.0, 5.32e-4),
        Candidate("shift", RATE, 0.0, 1.82e-4),
        Candidate("withdraw", 0.0, 0.0, 5e-6),
    ]
    assert choose(0.0, candidates, 2).action == "shift"


@pytest.mark.parametrize(("se", "action"), [(0.0, "shift"), (0.2, "shift"), (0.4, "keep")])
def test_doubt_keeps(se: float, action: str) -> None:
    assert choose(0.0, [Candidate("shift", RATE, se, 1e-4)], 2).action == action


def test_a_losing_position_is_withdrawn() -> None:
    assert choose(-0.5, [Candidate("withdraw", 0.0, 0.0, 5e-6)], 1).action == "withdraw"


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(-10, 10))
def test_nothing_is_done_as_the_cost_rises(rate: float, se: float, now: float) -> None:
    assert choose(now, [Candidate("shift", rate, se, 1e6)], 1).action == "keep"
    assert choose(rate, [Candidate("shift", rate, se, 0.0)], 1).action == "keep"


@pytest.mark.parametrize(("new", "expected"), [(1.51, True), (1.49, False), (1 / 1.51, True), (1 / 1.49, False)])
def test_widths_within_the_hysteresis_are_the_same(new: float, expected: bool) -> None:  # noqa: FBT001  # a table
    assert is_rewidth_worth(new, 1.0, 1.5) is expected


def test_re_centring_costs_half_a_swap_every_time_the_range_is_left() -> None:
    assert math.isclose(recentring_cost(0.001, 365.25, 0.5, 0.05), 0.001 / 2 * 0.5**2 / 0.05**2)
