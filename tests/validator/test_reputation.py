from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.records import Participation, Reputation, RoundType
from protocol.units import Hotkey, JobId
from validator.reputation import Candidate, advance, is_eligible_for_live, participation_days, pick_winner

TODAY = date(2026, 3, 1)
E18 = 10**18

scores = st.integers(-(2**200), 2**200)
rounds = st.lists(st.tuples(scores, st.sampled_from(["evaluation", "live"])), max_size=30)


def truncated(value: Fraction) -> int:
    return int(value)  # int() of a Fraction truncates toward zero


def run(played: list[tuple[int, RoundType]]) -> Reputation:
    reputation = Reputation()
    for score, round_type in played:
        reputation = advance(reputation, score, round_type)
    return reputation


def test_worked_numbers() -> None:
    after = run([(E18, "evaluation"), (-E18, "live"), (E18, "evaluation")])
    assert after == Reputation(evaluation_e18=190_000_000_000_000_000, live_e18=-300_000_000_000_000_000)
    assert after.combined_e18 == -6_000_000_000_000_000  # 0.6·0.19 − 0.4·0.3
    assert Reputation().combined_e18 == 0


@given(rounds)
def test_every_step_equals_exact_arithmetic_truncated(played: list[tuple[int, RoundType]]) -> None:
    evaluation = live = 0
    reputation = Reputation()
    for score, round_type in played:
        if round_type == "evaluation":
            evaluation = truncated(Fraction(9, 10) * evaluation + Fraction(1, 10) * score)
        else:
            live = truncated(Fraction(7, 10) * live + Fraction(3, 10) * score)
        reputation = advance(reputation, score, round_type)
        assert reputation == Reputation(evaluation, live)
        assert reputation.combined_e18 == truncated(Fraction(6, 10) * evaluation + Fraction(4, 10) * live)


@given(rounds)
def test_truncation_stays_within_one_unit_a_step_of_the_exact_average(played: list[tuple[int, RoundType]]) -> None:
    exact = Fraction(0)
    for score, round_type in played:
        if round_type == "evaluation":
            exact = Fraction(9, 10) * exact + Fraction(1, 10) * score
    # Each step loses less than 1 and every later one keeps 0.9 of that: 1/(1 − 0.9) in all.
    assert abs(run(played).evaluation_e18 - exact) < 10


@given(rounds)
def test_negated_scores_give_the_negated_reputation(played: list[tuple[int, RoundType]]) -> None:
    plus, minus = run(played), run([(-score, kind) for score, kind in played])
    assert minus == Reputation(-plus.evaluation_e18, -plus.live_e18)
    assert minus.combined_e18 == -plus.combined_e18


@given(scores, scores, scores, st.sampled_from(["evaluation", "live"]))
def test_a_better_score_never_hurts(old: int, low: int, high: int, round_type: RoundType) -> None:
    low, high = sorted((low, high))
    reputation = Reputation(old, old)
    assert advance(reputation, low, round_type).combined_e18 <= advance(reputation, high, round_type).combined_e18


@given(st.lists(scores, min_size=1, max_size=30), st.sampled_from(["evaluation", "live"]))
def test_an_average_stays_within_its_scores(played: list[int], round_type: RoundType) -> None:
    reputation = run([(score, round_type) for score in played])
    value = reputation.live_e18 if round_type == "live" else reputation.evaluation_e18
    assert min(0, *played) <= value <= max(0, *played)


@given(st.integers(-(2**200), 2**200), st.integers(1, 3000))
def test_keeping_forever_forgets_everything(start: int, count: int) -> None:
    reputation = Reputation(start, start)
    for _ in range(count):
        before = reputation
        reputation = advance(advance(reputation, 0, "evaluation"), 0, "live")
        assert abs(reputation.evaluation_e18) < abs(before.evaluation_e18) or before.evaluation_e18 == 0
        if reputation == before:
            break
    assert reputation == Reputation(0, 0) or count < 3000


def candidate(hotkey: str, score: int, combined: int = 0, registered: int = 0) -> Candidate:
    return Candidate(Hotkey(hotkey), score, combined, registered)


@pytest.mark.parametrize(
    ("candidates", "winner"),
    [
        ([], None),
        ([candidate("a", 1), candidate("b", 2)], "b"),
        ([candidate("a", -3), candidate("b", -2)], "b"),
        ([candidate("a", 5, combined=1), candidate("b", 5, combined=2)], "b"),
        ([candidate("a", 5, combined=-2), candidate("b", 5, combined=-1)], "b"),
        ([candidate("a", 5, 1, registered=9), candidate("b", 5, 1, registered=8)], "b"),
        ([candidate("b", 5, 1, 8), candidate("a", 5, 1, 8)], "a"),
        ([candidate("a", 0), candidate("b", 0)], None),
        ([candidate("a", 0, combined=7), candidate("b", 0), candidate("c", -1)], None),
        ([candidate("a", 0), candidate("b", -1)], "a"),
        ([candidate("a", 0)], "a"),
        ([candidate("a", 0), candidate("b", 0), candidate("c", 1)], "c"),
    ],
)
def test_winners(candidates: list[Candidate], winner: str | None) -> None:
    for order in permutations(candidates):
        assert pick_winner(order) == winner


candidates_strategy = st.lists(
    st.builds(
        candidate,
        st.sampled_from("abcdefgh"),
        st.integers(-2, 2),
        st.integers(-2, 2),
        st.integers(0, 2),
    ),
    max_size=8,
    unique_by=lambda c: c.hotkey,
)


@given(candidates_strategy, st.randoms(use_true_random=False))
def test_nobody_beats_the_winner_and_order_does_not_matter(candidates: list[Candidate], random: object) -> None:
    winner = pick_winner(candidates)
    shuffled = candidates.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a Random
    assert pick_winner(shuffled) == winner
    if winner is None:
        assert not candidates or sum(c.score_e18 == 0 == max(d.score_e18 for d in candidates) for c in candidates) > 1
        return
    (won,) = (c for c in candidates if c.hotkey == winner)
    for other in candidates:
        assert (won.score_e18, won.combined_before_e18, -won.registered_at_block) >= (
            other.score_e18,
            other.combined_before_e18,
            -other.registered_at_block,
        )


def days(*counts: tuple[int, int, int]) -> list[Participation]:
    """Rows of (days ago, scored, conclusive)."""
    return [
        Participation(JobId("job"), Hotkey("a"), TODAY - timedelta(days=ago), scored, conclusive)
        for ago, scored, conclusive in counts
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], 0),
        (days((1, 1, 1)), 1),
        (days((1, 1, 2)), 0),  # exactly half is not over half
        (days((1, 2, 3)), 1),
        (days((1, 0, 0)), 0),
        (days((8, 1, 1), (9, 1, 1)), 1),
        (days((0, 1, 1)), 0),  # today is not over
        (days((-1, 1, 1)), 0),
        (days(*((ago, 96, 96) for ago in range(20))), 8),
    ],
)
def test_participation_days(rows: list[Participation], expected: int) -> None:
    assert participation_days(rows, today=TODAY) == expected


def test_live_needs_all_three() -> None:
    week = days(*((ago, 3, 4) for ago in range(1, 8)))

    def eligible(rows: list[Participation] = week, combined_e18: int = 1, *, won: bool = True) -> bool:
        return is_eligible_for_live(rows, today=TODAY, combined_e18=combined_e18, was_previous_winner=won)

    assert eligible()
    assert eligible(days(*((ago, 3, 4) for ago in range(2, 9))))
    assert not eligible(days(*((ago, 3, 4) for ago in range(7)))), "six complete days and a part of today"
    assert not eligible(week[:6])
    assert not eligible(combined_e18=0)
    assert not eligible(combined_e18=-1)
    assert not eligible(won=False)


@given(st.lists(st.tuples(st.integers(-3, 12), st.integers(0, 5), st.integers(0, 5)), unique_by=lambda r: r[0]))
def test_participation_counts_days_and_nothing_else(raw: list[tuple[int, int, int]]) -> None:
    rows = days(*((ago, min(scored, conclusive), conclusive) for ago, scored, conclusive in raw))
    brute = 0
    for ago in range(1, 9):
        day = TODAY - timedelta(days=ago)
        brute += any(
            row.day == day and Fraction(row.scored_rounds, row.conclusive_rounds or 1) > Fraction(1, 2) for row in rows
        )
    assert participation_days(rows, today=TODAY) == brute
