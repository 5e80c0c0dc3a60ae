"""The health of an endpoint: no history of facts may break what the rest relies on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.chain.health import (
    MAX_LAG_BLOCKS,
    MAX_PAUSE_S,
    STRIKES,
    Answered,
    ChainSeen,
    Failed,
    HeadSeen,
    Health,
    Limited,
    Sight,
    State,
    advance,
)

SIGHTS: st.SearchStrategy[Sight] = st.one_of(
    st.builds(ChainSeen, st.booleans()),
    st.just(Answered()),
    st.just(Failed()),
    st.builds(Limited, st.one_of(st.none(), st.floats(0, 3600))),
    st.builds(HeadSeen, st.integers(-10, 10**6), st.booleans()),
)
HISTORIES = st.lists(st.tuples(SIGHTS, st.floats(0, 100)), max_size=40)


def after(history: list[tuple[Sight, float]], start: Health | None = None) -> tuple[Health, float]:
    health, now = Health() if start is None else start, 0.0
    for fact, passed in history:
        now += passed
        health = advance(health, fact, now)
    return health, now


@given(HISTORIES)
def test_any_history_leaves_a_health_within_its_bounds(history: list[tuple[Sight, float]]) -> None:
    health, now = after(history)
    assert 0 <= health.error_ppm <= 1_000_000
    assert health.lag_blocks >= 0 and health.strikes >= 0 and health.limits >= 0
    assert health.paused_until <= now + max(MAX_PAUSE_S, 60)
    assert health.may_be_asked(health.not_before)


@given(HISTORIES, st.lists(st.tuples(SIGHTS, st.floats(0, 5)), max_size=10))
def test_time_that_an_endpoint_asked_for_is_kept_whatever_happens(
    before: list[tuple[Sight, float]], later: list[tuple[Sight, float]]
) -> None:
    health, now = after(before)
    health, until = advance(health, Limited(100.0), now), now + 100
    for fact, passed in later:
        now += passed
        health = advance(health, fact, now)
    assert health.not_before >= until


@given(HISTORIES)
def test_rate_limit_is_never_held_against_an_endpoint(history: list[tuple[Sight, float]]) -> None:
    health, now = after(history)
    limited = advance(health, Limited(None), now)
    assert (limited.state, limited.strikes, limited.error_ppm) == (health.state, health.strikes, health.error_ppm)
    assert limited.not_before > now


@given(HISTORIES, st.lists(SIGHTS, max_size=20))
def test_wrong_chain_is_left_only_by_showing_the_right_one(
    history: list[tuple[Sight, float]], later: list[Sight]
) -> None:
    health, now = after([*history, (ChainSeen(is_ours=False), 0.0)])
    for fact in later:
        if fact != ChainSeen(is_ours=True):
            health = advance(health, fact, now)
    assert health.state is State.WRONG_CHAIN and not health.is_proven
    assert advance(health, ChainSeen(is_ours=True), now).state is State.ALIVE


@given(HISTORIES)
def test_endpoint_that_was_away_must_prove_its_chain_again(history: list[tuple[Sight, float]]) -> None:
    health, now = after([*history, (ChainSeen(is_ours=True), 0.0), *[(Failed(), 0.0)] * STRIKES])
    assert health.state is State.UNREACHABLE
    back = advance(health, Answered(), now)
    assert back.state is State.UNPROVEN and not back.is_proven
    assert back.paused_until == now


@given(st.integers(1, 100))
def test_pauses_grow_and_end(failures: int) -> None:
    pauses = []
    health = advance(Health(), ChainSeen(is_ours=True), 0.0)
    for _ in range(failures):
        health = advance(health, Failed(), 0.0)
        pauses.append(health.paused_until)
    assert pauses == sorted(pauses) and pauses[0] > 0 and pauses[-1] <= MAX_PAUSE_S


@pytest.mark.parametrize(
    ("lag", "is_syncing", "state"),
    [
        (0, False, State.ALIVE),
        (MAX_LAG_BLOCKS, False, State.ALIVE),
        (MAX_LAG_BLOCKS + 1, False, State.OUT_OF_SYNC),
        (0, True, State.SYNCING),
        (-3, False, State.ALIVE),
    ],
)
def test_head_says_how_far_behind_it_is(lag: int, *, is_syncing: bool, state: State) -> None:
    health = advance(Health(), ChainSeen(is_ours=True), 0.0)
    assert advance(health, HeadSeen(lag, is_syncing), 0.0).state is state
    assert advance(Health(), HeadSeen(lag, is_syncing), 0.0).state is State.UNPROVEN


def test_better_endpoint_ranks_first() -> None:
    alive = advance(Health(), ChainSeen(is_ours=True), 0.0)
    stumbled = advance(advance(alive, Failed(), 0.0), Answered(), 0.0)
    behind = advance(alive, HeadSeen(100), 0.0)
    ranked = sorted([behind, Health(), stumbled, alive], key=Health.rank)
    assert ranked == [alive, stumbled, Health(), behind]
