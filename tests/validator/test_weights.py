from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from db.records import MinerScore, Participation
from protocol.units import BlockNumber, Hotkey, JobId, RoundId, Uid
from validator.metagraph import Identity
from validator.weights import JobStandings, Standing, compute_weights, standings, window_start

TODAY = date(2026, 3, 1)


def identity(hotkey: str, registered: int = 1) -> Identity:
    return Identity(Hotkey(hotkey), BlockNumber(registered))


def standing(hotkey: str, combined: int, scored: int = 1, conclusive: int = 1) -> Standing:
    return Standing(identity(hotkey), combined, scored, conclusive)


def job(weight: Decimal | int, *miners: Standing) -> JobStandings:
    return JobStandings(weight, miners)


def test_worked_numbers() -> None:
    weights = compute_weights(
        [
            job(Decimal("1"), standing("a", 30), standing("b", 10), standing("c", -50)),
            job(Decimal("0.5"), standing("a", 20, scored=1, conclusive=2), standing("c", 5), standing("d", 9, 0, 3)),
        ]
    )
    # a: 30 + 0.5·20·1/2 = 35, b: 10, c: 0.5·5 = 2.5; its loss at the first job does not count against it
    total = Fraction(95, 2)
    assert weights == {identity("a"): 35 / total, identity("b"): 10 / total, identity("c"): Fraction(5, 2) / total}


def test_nobody_earned_anything() -> None:
    assert compute_weights([]) == {}
    assert compute_weights([job(1, standing("a", 0), standing("b", -1), standing("c", 5, 0, 0))]) == {}
    assert compute_weights([job(0, standing("a", 5))]) == {}


def test_the_same_hotkey_registered_anew_is_another_miner() -> None:
    old, new = Standing(identity("a", 1), 1, 1, 1), Standing(identity("a", 2), 3, 1, 1)
    assert compute_weights([job(1, old), job(1, new)]) == {old.identity: Fraction(1, 4), new.identity: Fraction(3, 4)}


miners = st.lists(
    st.builds(
        lambda hotkey, combined, scored, missed: standing(hotkey, combined, scored, scored + missed),
        st.sampled_from("abcdef"),
        st.integers(-(10**40), 10**40),
        st.integers(0, 672),
        st.integers(0, 672),
    ),
    unique_by=lambda s: s.identity,
    max_size=6,
)
job_lists = st.lists(
    st.builds(lambda weight, found: job(weight, *found), st.decimals(0, 1000, places=6), miners), max_size=4
)


@given(job_lists)
def test_weights_are_shares(jobs: list[JobStandings]) -> None:
    weights = compute_weights(jobs)
    assert sum(weights.values()) == (1 if weights else 0)
    assert all(weight > 0 for weight in weights.values())
    positive = {s.identity for j in jobs if j.weight > 0 for s in j.standings if s.combined_e18 > 0 and s.scored_rounds}
    assert set(weights) == positive


@given(job_lists, st.integers(1, 10**9))
def test_only_proportions_count(jobs: list[JobStandings], factor: int) -> None:
    scaled = [JobStandings(Fraction(j.weight) * factor, j.standings) for j in jobs]
    assert compute_weights(scaled) == compute_weights(jobs)
    grown = [
        JobStandings(
            j.weight,
            tuple(
                Standing(s.identity, s.combined_e18 * factor, s.scored_rounds, s.conclusive_rounds) for s in j.standings
            ),
        )
        for j in jobs
    ]
    assert compute_weights(grown) == compute_weights(jobs)


@given(job_lists, job_lists)
def test_the_order_of_jobs_does_not_matter(first: list[JobStandings], second: list[JobStandings]) -> None:
    assert compute_weights(first + second) == compute_weights(second + first)


@given(miners, st.integers(1, 10**40))
def test_splitting_a_reputation_over_hotkeys_gains_nothing(found: list[Standing], combined: int) -> None:
    whole = compute_weights([job(1, *found, standing("x", combined))])
    half = combined // 2
    split = compute_weights([job(1, *found, standing("x", half), standing("y", combined - half))])
    assert whole[identity("x")] == split.get(identity("x"), 0) + split[identity("y")]


@given(miners, st.integers(1, 100), st.integers(1, 100))
def test_missing_rounds_never_pays(found: list[Standing], scored: int, missed: int) -> None:
    always = compute_weights([job(1, *found, standing("x", 7, scored + missed, scored + missed))])
    often = compute_weights([job(1, *found, standing("x", 7, scored, scored + missed))])
    assert often[identity("x")] <= always[identity("x")]


def test_standings_take_the_last_seven_days() -> None:
    def miner(hotkey: str) -> MinerScore:
        return MinerScore(JobId("j"), Hotkey(hotkey), Uid(3), 1, 2, 5, 9, 9, 0, RoundId("r"), 17)

    rows = [
        Participation(JobId("j"), Hotkey("a"), TODAY - timedelta(days=ago), 10**ago, 2 * 10**ago)
        for ago in range(-1, 9)
        if ago >= 0
    ]
    rows.append(Participation(JobId("j"), Hotkey("stranger"), TODAY, 1, 1))
    assert window_start(TODAY) == date(2026, 2, 23)
    assert standings([miner("b"), miner("a")], rows, today=TODAY) == (
        Standing(identity("b", 17), 5, 0, 0),
        Standing(identity("a", 17), 5, 1_111_111, 2_222_222),
    )
