from __future__ import annotations

import math
import statistics
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from db.records import MinerScore, Participation, ScoreEntry
from protocol.units import Hotkey, JobId, RoundId, Uid
from validator.leaderboard import Excess, describe, rank_miners, rounds_needed

TODAY = date(2026, 3, 1)


def miner(hotkey: str, combined: int, evaluation: int = 0, registered: int = 1) -> MinerScore:
    return MinerScore(JobId("j"), Hotkey(hotkey), Uid(1), evaluation, 0, combined, 4, 0, 2, RoundId("r"), registered)


def entry(number: int, hotkey: str, score: int, *, scored: bool = True, registered: int = 1) -> ScoreEntry:
    return ScoreEntry(RoundId(f"r{number}"), number, Hotkey(hotkey), Uid(1), scored, score, False, registered)


def test_few_rounds_say_little() -> None:
    assert describe(np.array([])) == Excess(0, None, None, None, None, None)
    assert describe(np.array([7.0])) == Excess(1, 7.0, None, None, None, None)
    assert describe(np.array([7.0, 7.0])) == Excess(2, 7.0, 0.0, None, 1.0, None)
    assert describe(np.array([-0.1] * 3)).probability_positive == 0.0
    assert describe(np.zeros(5)) == Excess(5, 0.0, 0.0, None, 0.5, None)


def test_worked_numbers() -> None:
    values = [3e14, -1e14, 2e14, 4e14, 0.0]
    found = describe(np.array(values))
    assert found.mean_e18 == pytest.approx(statistics.mean(values))
    assert found.standard_error_e18 == pytest.approx(statistics.stdev(values) / math.sqrt(5))
    assert found.probability_positive == pytest.approx(1 - stats.ttest_1samp(values, 0, alternative="greater").pvalue)
    assert found.signal_to_noise == pytest.approx(statistics.mean(values) / statistics.stdev(values))


@pytest.mark.parametrize(
    ("signal_to_noise", "expected"), [(0.02, 15_457), (0.1, 619), (5.0, 2), (0.0, None), (-0.1, None), (1e-9, None)]
)
def test_rounds_needed(signal_to_noise: float, expected: int | None) -> None:
    assert rounds_needed(signal_to_noise) == expected


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=50))
def test_probabilities_mirror(values: list[float]) -> None:
    plus, minus = describe(np.array(values)), describe(-np.array(values))
    assert plus.probability_positive is not None
    assert minus.probability_positive is not None
    assert 0 <= plus.probability_positive <= 1
    assert plus.probability_positive + minus.probability_positive == pytest.approx(1)


def test_the_stated_probability_is_right_about_luck() -> None:
    """Among equals, a claim of 95 % must be wrong about 5 % of the time."""
    random = np.random.default_rng(20260301)
    claims = [describe(random.standard_normal(6)).probability_positive for _ in range(4000)]
    share = sum(claim is not None and claim > 0.95 for claim in claims) / len(claims)
    assert share == pytest.approx(0.05, abs=0.012)


def test_the_stated_number_of_rounds_shows_the_signal() -> None:
    needed = rounds_needed(0.5)
    assert needed is not None
    random = np.random.default_rng(7)
    found = [describe(random.standard_normal(needed) + 0.5).probability_positive for _ in range(2000)]
    assert sum(p is not None and p > 0.95 for p in found) / 2000 == pytest.approx(0.8, abs=0.05)


def test_ranks_and_pairs() -> None:
    history = [
        entry(1, "a", 10**14),
        entry(2, "a", 3 * 10**14),
        entry(3, "a", 5 * 10**14),
        entry(4, "a", 0, scored=False),
        entry(1, "b", 0),
        entry(2, "b", 10**14),
        entry(4, "b", 9 * 10**14),
        entry(1, "c", 10**18, registered=0),  # the hotkey's earlier self
    ]
    rows = rank_miners(
        [miner("c", -5), miner("b", 7), miner("a", 7, evaluation=1)],
        history,
        [Participation(JobId("j"), Hotkey("b"), TODAY - timedelta(days=1), 3, 4)],
        today=TODAY,
    )
    assert [(row.rank, row.hotkey, row.participation_days, row.wins) for row in rows] == [
        (1, "a", 0, 2),
        (2, "b", 1, 2),
        (3, "c", 0, 2),
    ]
    a, b, c = rows
    assert (a.excess.rounds, a.excess.mean_e18) == (3, 3e14)
    assert a.lead == describe(np.array([1e14, 2e14]))
    assert b.lead == Excess(0, None, None, None, None, None)
    assert c.excess == Excess(0, None, None, None, None, None)
    assert c.lead is None


def test_close_scores_are_subtracted_exactly() -> None:
    history = [entry(n, hotkey, 10**40 + offset) for n in (1, 2) for hotkey, offset in (("a", 3), ("b", 1))]
    first, _ = rank_miners([miner("a", 2), miner("b", 1)], history, [], today=TODAY)
    assert first.lead is not None
    assert first.lead.mean_e18 == 2.0


def test_ties_have_one_order() -> None:
    same = [miner("b", 1), miner("a", 1), replace(miner("z", 1), registered_at_block=0)]
    assert [row.hotkey for row in rank_miners(same, [], [], today=TODAY)] == ["z", "a", "b"]
    assert rank_miners([], [entry(1, "a", 1)], [], today=TODAY) == ()
