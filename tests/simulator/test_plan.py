"""Plans: what is covered, kept, swapped and scaled."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import Chain, make_snapshot

from protocol.errors import SimulationError
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO
from simulator.plan import Desired, InvalidPlan, NetSwap, Plan, check_desired, execute_plan, make_plan, scale_to_owned
from simulator.portfolio import Range

UNIT = 10**18
WIDE = Range(-6000, 6000)
NARROW = Range(-60, 60)
ABOVE = Range(600, 1200)
BELOW = Range(-1200, -600)


def make_fork(idle0: int = 10 * UNIT, idle1: int = 10 * UNIT, *positions: tuple[Range, int, int]) -> Fork:
    """Return a fork at price 1 holding these positions and about these idle amounts."""
    snapshot = make_snapshot()
    total0, total1 = idle0 + sum(p[1] for p in positions), idle1 + sum(p[2] for p in positions)
    return Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(total0, total1, positions)))


def earn(fork: Fork) -> None:
    """Let others trade through the fork, there and back, so that its positions earn fees."""
    chain = Chain(make_snapshot())
    for step in range(6):
        fork.pool.swap(*_call(step % 2 == 0, 5 * UNIT))
        chain.swap(step % 2 == 0, 5 * UNIT)


def _call(zero_for_one: bool, amount: int) -> tuple[bool, int, int]:  # noqa: FBT001 - the contract's order
    return zero_for_one, amount, (MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1)


def as_shown(fork: Fork) -> list[Desired]:
    return [Desired(h.range, h.amount0, h.amount1) for h in fork.portfolio().holdings]


def test_repeating_what_is_shown_keeps_everything() -> None:
    fork = make_fork(UNIT, UNIT, (WIDE, UNIT, UNIT), (ABOVE, UNIT, 0))
    plan = make_plan(fork, as_shown(fork))
    assert plan == Plan(keep=(WIDE, ABOVE), close=(), collect=(), swap=None, open=())
    assert isinstance(plan, Plan) and plan.is_keep


def test_a_wei_of_difference_closes_and_reopens() -> None:
    fork = make_fork(UNIT, UNIT, (WIDE, UNIT, UNIT))
    [shown] = as_shown(fork)
    desired = Desired(WIDE, shown.amount0 - 1, shown.amount1)
    assert make_plan(fork, [desired]) == Plan(keep=(), close=(WIDE,), collect=(), swap=None, open=(desired,))


def test_an_empty_list_withdraws_everything() -> None:
    fork = make_fork(UNIT, UNIT, (WIDE, UNIT, UNIT), (ABOVE, UNIT, 0))
    earn(fork)
    plan, total = make_plan(fork, []), fork.portfolio().total
    assert isinstance(plan, Plan)
    execute_plan(fork, plan)
    assert fork.portfolio().holdings == () and (fork.idle0, fork.idle1) == total


def test_an_unused_side_is_not_free() -> None:
    """Above the price a position needs token0 only; offering token1 that is not owned is refused all the same."""
    fork = make_fork(UNIT, UNIT)
    assert isinstance(make_plan(fork, [Desired(ABOVE, UNIT, 0)]), Plan)
    verdict = make_plan(fork, [Desired(ABOVE, UNIT, UNIT + 1)])
    assert verdict == InvalidPlan("lacks 1 token1; buying it costs 3 of the other token, 0 is left")
    assert isinstance(make_plan(fork, [Desired(ABOVE, UNIT, 10**40)]), InvalidPlan)


def test_both_sides_short_is_invalid() -> None:
    fork = make_fork(UNIT, UNIT)
    assert make_plan(fork, [Desired(WIDE, UNIT + 3, UNIT + 5)]) == InvalidPlan(
        "offers 3 token0 and 5 token1 more than is owned"
    )


def test_the_shortfall_of_one_token_is_bought_with_the_other() -> None:
    fork = make_fork(0, 10 * UNIT)
    desired = [Desired(WIDE, 4 * UNIT, 5 * UNIT)]
    plan = make_plan(fork, desired)
    assert isinstance(plan, Plan) and plan.swap == NetSwap(zero_for_one=False, amount_out=4 * UNIT)
    execution = execute_plan(fork, plan)
    assert execution.swapped is not None
    assert execution.swapped.amount0 == -4 * UNIT
    cost = execution.swapped.amount1
    assert 4 * UNIT * 1003 // 1000 < cost < 4 * UNIT * 102 // 100, "the fee and the impact are paid"
    [opened] = execution.opened
    assert fork.idle1 == 10 * UNIT - cost - opened.amount1
    assert fork.idle0 == 4 * UNIT - opened.amount0


def test_a_swap_that_the_rest_cannot_pay_is_invalid() -> None:
    fork = make_fork(0, 10 * UNIT)
    verdict = make_plan(fork, [Desired(WIDE, 5 * UNIT, 5 * UNIT)])
    assert isinstance(verdict, InvalidPlan) and "buying it costs" in verdict.reason


def test_own_closed_liquidity_does_not_serve_the_swap() -> None:
    fork = make_fork(UNIT, 20 * UNIT, (NARROW, 50 * UNIT, 50 * UNIT))
    shown = as_shown(fork)[0]
    wish = [Desired(WIDE, shown.amount0 + 5 * UNIT, UNIT)]
    plan = make_plan(fork, wish)
    assert isinstance(plan, Plan) and plan.swap is not None
    without = make_fork(0, 100 * UNIT)
    expected = without.pool.quote(False, -plan.swap.amount_out, _call(False, 1)[2])
    left = fork.portfolio().total[1] - expected.amount1
    assert isinstance(make_plan(fork, [replace(wish[0], amount1=left)]), Plan)
    assert make_plan(fork, [replace(wish[0], amount1=left + 1)]) == InvalidPlan(
        f"lacks {plan.swap.amount_out} token0; buying it costs {expected.amount1} of the other token, "
        f"{expected.amount1 - 1} is left"
    )
    executed = execute_plan(fork, plan).swapped
    assert executed is not None and (executed.amount0, executed.amount1) == (expected.amount0, expected.amount1)


def test_what_the_pool_cannot_sell_cannot_be_wished_for() -> None:
    """Half of what is lacking is for sale at any price: that half is not bought instead."""
    snapshot = make_snapshot(positions=((-600, 600, 10**21),))
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(0, 10**6 * UNIT)))
    for_sale = -fork.pool.quote(False, 10**30, partial=True).amount0
    assert isinstance(make_plan(fork, [Desired(ABOVE, for_sale, 0)]), Plan)
    assert make_plan(fork, [Desired(ABOVE, 2 * for_sale, 0)]) == InvalidPlan(
        f"the pool cannot sell the {2 * for_sale} token0 that the offer lacks"
    )


def test_closed_principal_and_fees_and_idle_tokens_cover_an_offer_to_the_wei() -> None:
    fork = make_fork(UNIT, 2 * UNIT, (WIDE, 50 * UNIT, 50 * UNIT), (ABOVE, UNIT, 0))
    earn(fork)
    total0, total1 = fork.portfolio().total
    whole = make_plan(fork, [Desired(NARROW, total0, total1)])
    assert whole == Plan((), (WIDE, ABOVE), (), None, (Desired(NARROW, total0, total1),))
    assert isinstance(whole, Plan) and not whole.is_keep and not replace(whole, open=()).is_keep
    for more0, more1 in ((1, 0), (0, 1)):
        assert isinstance(make_plan(fork, [Desired(NARROW, total0 + more0, total1 + more1)]), InvalidPlan)
    execution = execute_plan(fork, whole)
    [opened] = execution.opened
    assert (fork.idle0 + opened.amount0, fork.idle1 + opened.amount1) == (total0, total1)


@pytest.mark.parametrize("side", [0, 1])
def test_fees_of_kept_positions_are_drawn_on_only_when_needed(side: int) -> None:
    fork = make_fork(UNIT, UNIT, (WIDE, 50 * UNIT, 50 * UNIT))
    earn(fork)
    [holding] = fork.portfolio().holdings
    fees = (holding.fees0, holding.fees1)
    assert fees[0] > 0 and fees[1] > 0
    [kept] = as_shown(fork)

    def offer(more: int) -> Desired:
        idle = [fork.idle0, fork.idle1]
        idle[side] += more
        return Desired(NARROW, *idle)

    covered = make_plan(fork, [kept, offer(0)])
    assert isinstance(covered, Plan) and covered.collect == () and covered.keep == (WIDE,)
    for more in (1, fees[side]):
        needing = make_plan(fork, [kept, offer(more)])
        assert isinstance(needing, Plan) and needing.collect == (WIDE,) and needing.swap is None
    beyond = make_plan(fork, [kept, offer(fees[side] + 10**9)])
    assert isinstance(beyond, Plan) and beyond.swap == NetSwap(zero_for_one=side == 1, amount_out=10**9)
    execute_plan(fork, needing)
    assert {h.range: (h.liquidity, h.fees0) for h in fork.portfolio().holdings}[WIDE] == (holding.liquidity, 0)
    assert isinstance(make_plan(fork, [kept, Desired(ABOVE, 10**30, 0)]), InvalidPlan)


def test_scaling_when_the_price_moved_between_showing_and_doing() -> None:
    fork = make_fork(0, 0, (NARROW, 5 * UNIT, 5 * UNIT))
    shown = as_shown(fork)[0]
    plan = make_plan(fork, [Desired(WIDE, shown.amount0, shown.amount1)])
    assert isinstance(plan, Plan) and plan.swap is None
    fork.pool.swap(*_call(True, 2 * UNIT))
    owned = fork.portfolio().total
    assert owned[0] > shown.amount0 and owned[1] < shown.amount1
    execution = execute_plan(fork, plan)
    assert execution.swapped is None, "no swap was needed by the portfolio shown"
    [opened] = execution.opened
    assert opened.amount0 <= shown.amount0 and opened.amount1 <= owned[1]
    assert (fork.idle0 + opened.amount0, fork.idle1 + opened.amount1) == owned


def test_the_swap_shrinks_when_less_is_lacking_and_never_grows() -> None:
    for sold_first, expected_out in ((True, None), (False, 2 * UNIT)):
        fork = make_fork(0, 10 * UNIT, (NARROW, 10 * UNIT, 10 * UNIT))
        shown = as_shown(fork)[0]
        plan = make_plan(fork, [Desired(WIDE, shown.amount0 + 2 * UNIT, 5 * UNIT)])
        assert isinstance(plan, Plan) and plan.swap == NetSwap(zero_for_one=False, amount_out=2 * UNIT)
        fork.pool.swap(*_call(sold_first, UNIT))
        executed = execute_plan(fork, plan).swapped
        assert executed is not None
        if expected_out is None:
            assert 0 < -executed.amount0 < 2 * UNIT
        else:
            assert -executed.amount0 == expected_out


def test_no_swap_is_made_once_nothing_is_lacking() -> None:
    """The price fell in between, so that the closed position returns more token0 than was short."""
    fork = make_fork(0, 10 * UNIT, (NARROW, 10 * UNIT, 10 * UNIT))
    shown = as_shown(fork)[0]
    plan = make_plan(fork, [Desired(WIDE, shown.amount0 + UNIT // 10, 5 * UNIT)])
    assert isinstance(plan, Plan) and plan.swap == NetSwap(zero_for_one=False, amount_out=UNIT // 10)
    fork.pool.swap(*_call(True, 2 * UNIT))
    owned = fork.portfolio().total
    execution = execute_plan(fork, plan)
    [opened] = execution.opened
    assert execution.swapped is None
    assert (fork.idle0 + opened.amount0, fork.idle1 + opened.amount1) == owned


def test_a_swap_never_spends_more_than_is_owned() -> None:
    fork = make_fork(0, 10 * UNIT)
    affordable = -fork.pool.quote(False, 10 * UNIT, _call(False, 1)[2]).amount0
    plan = make_plan(fork, [Desired(ABOVE, affordable, 0)])
    assert isinstance(plan, Plan) and plan.swap is not None
    fork.pool.swap(*_call(False, 5 * UNIT))
    executed = execute_plan(fork, plan).swapped
    assert executed is not None and executed.amount1 == 10 * UNIT and -executed.amount0 < affordable
    assert fork.idle1 == 0


def test_a_swap_on_a_fork_whose_price_has_run_to_its_limit_buys_nothing() -> None:
    """Between showing and doing a swap of others can empty the fork's pool; that must not stop the round."""
    snapshot = make_snapshot(positions=((-600, 600, 10**21),))
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(UNIT, 200 * UNIT)))
    plan = make_plan(fork, [Desired(WIDE, 2 * UNIT, 2 * UNIT)])
    assert isinstance(plan, Plan) and plan.swap == NetSwap(zero_for_one=False, amount_out=UNIT)
    fork.pool.swap(False, 100 * UNIT, None)
    assert fork.pool.sqrt_price_x96 == MAX_SQRT_RATIO - 1
    execution = execute_plan(fork, plan)
    assert (execution.swapped, execution.not_opened) == (None, ())
    assert execution.opened[0].amount1 == 2 * UNIT


def test_an_open_that_buys_no_liquidity_leaves_its_tokens_idle() -> None:
    fork = make_fork(UNIT, UNIT)
    plan = make_plan(fork, [Desired(ABOVE, 0, UNIT)])
    assert isinstance(plan, Plan)
    execution = execute_plan(fork, plan)
    assert (execution.opened, execution.not_opened, fork.idle0, fork.idle1) == ((), (ABOVE,), UNIT, UNIT)


@pytest.mark.parametrize(
    ("desired", "reason"),
    [
        ([Desired(Range(0, 61), 1, 1)], "off the spacing"),
        ([Desired(Range(1, 60), 1, 1)], "off the spacing"),
        ([Desired(Range(60, 0), 1, 1)], "not ascending"),
        ([Desired(Range(0, 0), 1, 1)], "not ascending"),
        ([Desired(Range(-887280, 0), 1, 1)], "not ascending within"),
        ([Desired(Range(0, 887280), 1, 1)], "not ascending within"),
        ([Desired(WIDE, -1, 1)], "outside 0..2**128-1"),
        ([Desired(WIDE, 1, -1)], "outside 0..2**128-1"),
        ([Desired(WIDE, 2**128, 1)], "outside 0..2**128-1"),
        ([Desired(WIDE, 1, 2**128)], "outside 0..2**128-1"),
        ([Desired(WIDE, 1, 1), Desired(WIDE, 1, 1)], "share one range"),
        ([Desired(Range(60 * i, 60 * i + 60), 1, 1) for i in range(51)], "51 positions"),
    ],
)
def test_malformed_wishes(desired: list[Desired], reason: str) -> None:
    problem = check_desired(desired, 60)
    assert problem is not None and reason in problem
    verdict = make_plan(make_fork(), desired)
    assert isinstance(verdict, InvalidPlan) and reason in verdict.reason


def test_fifty_positions_over_the_whole_scale_are_well_formed() -> None:
    edge = Desired(Range(-887220, 887220), 2**128 - 1, 0)
    assert check_desired([*(Desired(Range(60 * i, 60 * i + 60), 0, 2**128 - 1) for i in range(49)), edge], 60) is None


def test_offering_nothing_is_invalid() -> None:
    assert make_plan(make_fork(), [Desired(WIDE, 0, 0)]) == InvalidPlan("position -6000..6000 is offered no tokens")


@given(
    offers=st.lists(st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1)), max_size=20),
    owned0=st.integers(0, 2**130),
    owned1=st.integers(0, 2**130),
)
def test_scaling_never_exceeds_what_is_owned_and_wastes_less_than_a_wei_each(
    offers: list[tuple[int, int]], owned0: int, owned1: int
) -> None:
    opens = [Desired(Range(60 * i, 60 * i + 60), a0, a1) for i, (a0, a1) in enumerate(offers)]
    scaled = scale_to_owned(opens, owned0, owned1)
    for side, owned in ((0, owned0), (1, owned1)):
        offered = sum(offer[side] for offer in offers)
        used = sum((s.amount0, s.amount1)[side] for s in scaled)
        assert min(offered, owned) - len(offers) < used + 1 and used <= min(offered, owned)


@given(data=st.data())
def test_no_plan_creates_or_loses_tokens(data: st.DataObject) -> None:
    """Whatever is wished: a plan moves tokens between idle and positions; only its swap exchanges them, only mints
    round up.
    """
    fork = make_fork(3 * UNIT, 2 * UNIT, (WIDE, 4 * UNIT, 4 * UNIT), (NARROW, UNIT, UNIT))
    earn(fork)
    ranges = data.draw(st.lists(st.sampled_from([WIDE, NARROW, ABOVE, BELOW, Range(-600, 0)]), unique=True, max_size=4))
    amount = st.integers(0, 4 * UNIT)
    shown = {d.range: d for d in as_shown(fork)}
    desired = [
        shown[r] if r in shown and data.draw(st.booleans()) else Desired(r, data.draw(amount), data.draw(amount))
        for r in ranges
    ]
    plan = make_plan(fork, desired)
    if isinstance(plan, InvalidPlan):
        return
    before = fork.portfolio().total
    kept_before = {r: fork.pool.positions[("vault", r.tick_lower, r.tick_upper)].liquidity for r in plan.keep}
    execution = execute_plan(fork, plan)
    after = fork.portfolio().total
    swapped = (0, 0) if execution.swapped is None else (execution.swapped.amount0, execution.swapped.amount1)
    for side in (0, 1):
        lost = before[side] - swapped[side] - after[side]
        if execution.swapped is None or not plan.keep:
            assert 0 <= lost <= len(execution.opened)
    assert all(
        fork.pool.positions[("vault", r.tick_lower, r.tick_upper)].liquidity == v for r, v in kept_before.items()
    )
    assert set(fork.ranges) == set(plan.keep) | {o.range for o in execution.opened}


def test_a_swap_on_an_exhausted_fork_is_left_out() -> None:
    """Planned while the pool could sell; at the effective block its price stands at the limit and the contract would
    revert.
    """
    fork = make_fork(0, 10 * UNIT)
    plan = make_plan(fork, [Desired(WIDE, UNIT, UNIT)])
    assert isinstance(plan, Plan) and plan.swap is not None
    fork.pool.swap(False, 10**60, None)
    execution = execute_plan(fork, plan)
    assert execution.swapped is None and [o.amount1 for o in execution.opened] == [UNIT]


def test_a_plan_comes_back_from_json() -> None:
    for swap in (None, NetSwap(True, 2**100), NetSwap(False, 1)):
        plan = Plan((Range(-60, 60),), (Range(0, 60),), (Range(-60, 60),), swap, (Desired(Range(60, 120), 2**90, 0),))
        assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("name", ["keep", "close", "collect", "swap", "open"])
def test_a_malformed_plan_is_told(name: str) -> None:
    whole = Plan((), (), (), None, ()).to_json()
    for value in ({**whole, name: [["x"]]}, {k: v for k, v in whole.items() if k != name}):
        with pytest.raises(SimulationError, match="plan is malformed"):
            Plan.from_json(value)
