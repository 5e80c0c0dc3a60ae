"""What a vault's plans used up of its day, and whose fault it is when a budget ends: never that of who used none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import CHAIN_TIME, DAY, VAULT, make_execution, make_start

from db.records import Execution
from executor.guards import Allowed, Refused, Verdict
from executor.live_guards import LiveLimits, Situation, Used, check_opening, check_situation
from executor.past import Past, day_of, past_of, used_by

LIMITS = LiveLimits(frozenset({VAULT.lower()}), max_daily_turnover_ppm=1001, max_daily_loss_ppm=500)
QUIET = Situation(VAULT, 0, 0, 0, 1, Used(), Used(), Used())

Wanted: TypeAlias = tuple[int, Used]  # how long after what was before it, and what it comes to
ROUNDS = st.lists(
    st.tuples(
        st.integers(0, DAY),
        st.lists(st.tuples(st.integers(0, DAY // 8), st.builds(Used, st.integers(0, 600), st.integers(0, 300)))),
    ),
    max_size=12,
)


def execution(number: int, index: int, *, at: int, used: Used | None = None, **changes: Any) -> Execution:
    amounts = None if used is None else json.dumps({"turnover_ppm": used.turnover_ppm, "loss_ppm": used.loss_ppm})
    times = {"created_at": at, "updated_at": at + 9}
    return replace(make_execution(make_start(number), index), amounts=amounts, **{**times, **changes})


def played(rounds: Sequence[tuple[int, Sequence[Wanted]]], *, is_gated: bool) -> list[tuple[Used, Verdict]]:
    """Play rounds one after the other; return of each plan what its round came to with it, and the verdict."""
    done: list[Execution] = []
    verdicts: list[tuple[Used, Verdict]] = []
    now = CHAIN_TIME
    for number, (pause_s, plans) in enumerate(rounds):
        now += pause_s
        day = used_by(day_of(done, 8453, VAULT, now=now))
        if is_gated and isinstance(check_opening(day, LIMITS), Refused):
            continue
        for index, (wait_s, plan) in enumerate(plans):
            now += wait_s
            intent = execution(number, index, at=now)
            past = past_of([*done, intent], intent, now=now)
            verdict = check_situation(replace(QUIET, plan=plan, round=past.round, day=past.day), LIMITS)
            verdicts.append((past.round + plan, verdict))
            if verdict == Allowed():
                done.append(execution(number, index, at=now, used=plan))
    return verdicts


def is_within_half(used: Used) -> bool:
    return used.turnover_ppm <= 500 and used.loss_ppm <= 250


@settings(max_examples=150)
@given(ROUNDS)
def test_a_round_that_opened_never_meets_the_end_of_the_days_budget(rounds: list[tuple[int, list[Wanted]]]) -> None:
    for used, verdict in played(rounds, is_gated=True):
        assert (verdict == Allowed()) == is_within_half(used)
        assert verdict == Allowed() or verdict.is_plans


@settings(max_examples=150)
@given(ROUNDS)
def test_a_plan_is_at_fault_for_its_own_rounds_half_alone(rounds: list[tuple[int, list[Wanted]]]) -> None:
    """Whatever the others did, and whether or not anybody asked before its round opened."""
    for used, verdict in played(rounds, is_gated=False):
        assert isinstance(verdict, Allowed) or verdict.is_plans == (not is_within_half(used))


def test_without_the_gate_two_rounds_leave_nothing_to_the_third() -> None:
    """The loss that the gate prevents: a plan within its half is refused, and its round void."""
    third = [(60, [(0, Used(500, 0))]), (60, [(0, Used(500, 0))]), (60, [(0, Used(2, 0))])]
    assert [v for _, v in played(third, is_gated=False)][2] == Refused("1002 ppm of turnover in a day, at most 1001")
    assert [v for _, v in played(third, is_gated=True)] == [Allowed()] * 2, "two halves; the third does not open"
    third[2] = (DAY, third[2][1])
    assert [v for _, v in played(third, is_gated=True)] == [Allowed()] * 3, "a day later there is room again"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (execution(1, 0, at=CHAIN_TIME, used=Used(7, 3)), Past(Used(7, 3), Used(), CHAIN_TIME + 9)),
        (execution(2, 0, at=CHAIN_TIME, used=Used(7, 3)), Past(Used(7, 3), Used(7, 3), CHAIN_TIME + 9, 1031)),
        (
            execution(1, 0, at=CHAIN_TIME - DAY, used=Used(7, 3)),
            Past(Used(7, 3), Used(), CHAIN_TIME - DAY + 9),
        ),
        (execution(1, 0, at=CHAIN_TIME - DAY - 1, used=Used(7, 3)), Past(Used(), Used(), 0)),
        (execution(2, 0, at=CHAIN_TIME - DAY - 1, used=Used(7, 3)), Past(Used(), Used(7, 3), 0, 1031)),
        (
            execution(1, 0, at=CHAIN_TIME, used=Used(7, 3), vault=VAULT.lower()),
            Past(Used(7, 3), Used(), CHAIN_TIME + 9),
        ),
        (execution(1, 0, at=CHAIN_TIME, used=Used(7, 3), vault="0x" + "ab" * 20), Past(Used(), Used(), 0)),
        (execution(1, 0, at=CHAIN_TIME, used=Used(7, 3), chain_id=1), Past(Used(), Used(), 0)),
        (execution(1, 0, at=CHAIN_TIME), Past(Used(), Used(), 0)),
        (execution(2, 0, at=CHAIN_TIME, status="rejected"), Past(Used(), Used(), 0)),
        (execution(2, 1, at=CHAIN_TIME, used=Used(7, 3)), Past(Used(), Used(), 0)),
    ],
    ids=[
        "another round",
        "its round",
        "a day ago",
        "long ago",
        "its long round",
        "in small letters",
        "vault",
        "chain",
        "unsent",
        "rejected",
        "it",
    ],
)
def test_the_past_of_a_plan(other: Execution, expected: Past) -> None:
    assert past_of([other], execution(2, 1, at=CHAIN_TIME), now=CHAIN_TIME) == expected


def test_of_several_plans_the_latest_tells_since_when_the_vault_rests_and_when_its_round_was_due() -> None:
    done = [
        execution(2, n, at=CHAIN_TIME + 20 * n, used=Used(7, 3), effective_block=2_031 + 150 * n) for n in (0, 2, 1)
    ]
    found = past_of(done, execution(2, 3, at=CHAIN_TIME + 90), now=CHAIN_TIME + 90)
    assert found == Past(Used(21, 9), Used(21, 9), CHAIN_TIME + 49, 2_331)
