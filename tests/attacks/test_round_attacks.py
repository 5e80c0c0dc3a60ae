"""Attacks inside a round: on the score, on the winner, and on the round itself.

Every attack is made twice: with the one defence that stops it taken away, where it must succeed (else the test would
prove nothing), and with everything in place, where it must fail and leave the honest miner's result as it is, bit for
bit (`support.arena.defended` compares).
"""

from __future__ import annotations

from typing import Any

import pytest
from support.arena import (
    ATTACKER,
    HONEST,
    UNIT,
    Arena,
    always,
    defended,
    honest_band,
    keep,
    once,
    rising,
    undefended,
)
from support.signed_rounds import narrow, play, signed_opening
from support.worlds import FREE_GAS, Chain, make_snapshot

from protocol.errors import RemoteError, SimulationError
from protocol.units import Hotkey
from simulator import answers
from simulator import plan as planning
from simulator.answers import Answer, Malformed, NoAnswer, Positions, Refusal
from simulator.fork import Inventory
from simulator.math.liquidity_amounts import get_amount0_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.participant import AnswerNote, Outcome, Participant
from simulator.plan import Desired
from simulator.pool import PoolRevert
from simulator.portfolio import Range
from simulator.recovery import Happening
from simulator.round import Ask, ParticipantResult, Round
from validator import winner as winning
from validator.reputation import Candidate, Reputation, advance, pick_winner

WIDE, HALF, NARROW = Range(-6000, 6000), Range(-3000, 3000), Range(-120, 120)
GREEDY = Desired(NARROW, 18 * UNIT, 18 * UNIT)  # owned, and better placed than the honest band


# --- Offering what is not owned -----------------------------------------------------------------------------------


@pytest.mark.parametrize("unowned", [10**38, 10**40])
def test_unused_side_offered_free(monkeypatch: pytest.MonkeyPatch, unowned: int) -> None:
    """At its lower edge a range takes token0 only, so that any amount of token1 would cost nothing; once the price is
    inside, it takes all there is.
    """
    attack = once(Desired(Range(0, 120), 18 * UNIT, unowned))
    with monkeypatch.context() as patch:
        patch.setattr(planning, "_net_swap", lambda *_: None)
        patch.setattr(planning, "MAX_UINT128", 2**256)
        assert undefended(Arena(), attack).winner() == ATTACKER
    contest = defended(Arena(), attack)
    assert (contest.of(ATTACKER).outcome, contest.score(ATTACKER)) == (Outcome.INVALID, 0)
    assert contest.winner() == HONEST


def test_both_sides_offered_beyond_what_is_owned(monkeypatch: pytest.MonkeyPatch) -> None:
    """'Everything I shall have by then': better than any amount that is really covered."""
    attack = once(Desired(NARROW, 10**30, 10**30))
    with monkeypatch.context() as patch:
        patch.setattr(planning, "_net_swap", lambda *_: None)
        assert undefended(Arena(), attack).winner() == ATTACKER
    contest = defended(Arena(), attack)
    assert (contest.of(ATTACKER).outcome, contest.winner()) == (Outcome.INVALID, HONEST)


def test_more_positions_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = once(*(Desired(Range(60 * i, 60 * i + 60), UNIT // 10, UNIT // 10) for i in range(-25, 26)))
    with monkeypatch.context() as patch:
        patch.setattr(planning, "check_desired", lambda *_: None)
        contest = undefended(Arena(gas=FREE_GAS), attack)
        assert contest.of(ATTACKER).outcome is Outcome.ACCEPTED
        assert len(contest.ledger(ATTACKER).closing.holdings) == 51
    contest = defended(Arena(gas=FREE_GAS), attack)
    assert (contest.of(ATTACKER).outcome, contest.winner()) == (Outcome.INVALID, HONEST)


# --- Not playing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence", [Refusal("not for me"), NoAnswer("timeout")])
def test_abstaining_to_win(monkeypatch: pytest.MonkeyPatch, silence: Answer) -> None:
    """Everybody honest loses; a zero for who did not play would be the best score."""

    def zero_for_silence(engine: Round, hotkey: Hotkey, participant: Any, prices: Any, benchmark: Any) -> object:
        result = real(engine, hotkey, participant, prices, benchmark)
        return (
            ParticipantResult(hotkey, Outcome.KEPT, 0, benchmark, is_over_share=False) if participant.is_out else result
        )

    real = Round._participant_result
    with monkeypatch.context() as patch:
        patch.setattr(Round, "_participant_result", zero_for_silence)
        assert undefended(Arena(rising), always(silence)).winner() == ATTACKER
    contest = defended(Arena(rising), always(silence))
    assert contest.score(HONEST) < 0, "an honest loss"
    assert (contest.of(ATTACKER).score_e18, contest.of(ATTACKER).can_win) == (None, False)
    assert contest.winner() == HONEST


@pytest.mark.parametrize("silence", [Refusal("I see that I lose"), NoAnswer("timeout")])
def test_quitting_late_when_losing(monkeypatch: pytest.MonkeyPatch, silence: Answer) -> None:
    attack = once(GREEDY, then=always(silence))

    def leave(engine: Round, participant: Any, answer: Answer, *, is_first: bool) -> AnswerNote:
        return real(engine, participant, answer, is_first=is_first or isinstance(answer, Refusal | NoAnswer))

    real = Round._note
    with monkeypatch.context() as patch:
        patch.setattr(Round, "_note", leave)
        assert undefended(Arena(rising), attack).of(ATTACKER).score_e18 is None
    contest = defended(Arena(rising), attack)
    stayed = defended(Arena(rising), once(GREEDY))
    assert contest.of(ATTACKER) == stayed.of(ATTACKER)
    assert advance(Reputation(), contest.score(ATTACKER), "evaluation").combined_e18 < 0


def test_an_invalid_answer_freezes_a_good_position_and_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = once(GREEDY, then=always(Malformed("}")))
    with monkeypatch.context() as patch:
        patch.setattr(ParticipantResult, "can_win", property(lambda result: result.is_scored))
        assert undefended(Arena(), attack).winner() == ATTACKER
    contest = defended(Arena(), attack)
    assert contest.score(ATTACKER) > contest.score(HONEST) > 0, "it is scored all the same"
    assert (contest.of(ATTACKER).outcome, contest.winner()) == (Outcome.INVALID, HONEST)


def test_tie_farming_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd that always keeps wins every round in which those who tried have lost."""
    crowd = {Hotkey(f"sybil {i}"): keep for i in range(5)}
    arena, players = Arena(rising), {HONEST: honest_band, **crowd}

    def somebody(candidates: list[Candidate]) -> Hotkey | None:
        return max(candidates, key=lambda c: c.score_e18).hotkey

    with monkeypatch.context() as patch:
        patch.setattr(winning, "pick_winner", somebody)
        assert arena.play(players).winner() in crowd
    contest = arena.play(players)
    assert contest.winner() is None
    assert {contest.score(hotkey) for hotkey in crowd} == {0}
    assert contest.of(HONEST) == arena.play({HONEST: honest_band}).of(HONEST)
    assert pick_winner is not somebody


# --- Killing the round for everybody ---------------------------------------------------------------------------------


def test_a_position_that_leaves_others_no_room_on_their_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far tick is filled for dust; then somebody's full-range mint is impossible on the attacker's fork."""
    far = Range(887160, 887220)
    room = Chain(make_snapshot()).pool.max_liquidity_per_tick - 10**23  # which is there already
    dust = get_amount0_for_liquidity(*map(get_sqrt_ratio_at_tick, (far.tick_lower, far.tick_upper)), room)
    attack = once(Desired(NARROW, 9 * UNIT, 9 * UNIT), Desired(far, dust, 0))

    def script(chain: Chain, block: int) -> None:
        rising(chain, block)
        if block == 9:
            chain.change_liquidity(-887220, 887220, 10**23)

    def unguarded(participant: Participant, happening: Happening, timestamp: int, _prices: object) -> None:
        participant.account.fork.apply_foreign(happening, timestamp)

    with monkeypatch.context() as patch, pytest.raises(PoolRevert, match="LO"):
        patch.setattr(Participant, "live_through", unguarded)
        undefended(Arena(script), attack)
    contest = defended(Arena(script), attack)
    assert contest.of(ATTACKER).outcome is Outcome.INVALID
    assert contest.score(ATTACKER) < 0, "and it is no way out of a losing round"
    assert contest.winner() == HONEST


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 60_000, b'{"accepted":1e999}', b"null"])
def test_signed_garbage(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Through the whole of a round: real keys, real signatures, and bytes that are no answer."""
    with monkeypatch.context() as patch, pytest.raises(RemoteError):
        patch.setattr(answers, "RemoteError", ZeroDivisionError)  # that is: the reader's error is not caught
        play(signed_opening(), (narrow, lambda _query: body))
    honest, attacker = play(signed_opening(), (narrow, lambda _query: body)).engine.result().participants
    assert (attacker.outcome, attacker.score_e18, attacker.can_win) == (Outcome.INVALID, 0, False)
    assert honest == play(signed_opening(), (narrow, lambda _query: None)).engine.result().participants[0]


def test_one_range_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = once(Desired(NARROW, UNIT, UNIT), Desired(NARROW, UNIT, UNIT))
    with monkeypatch.context() as patch, pytest.raises(SimulationError, match="exists already"):
        patch.setattr(planning, "check_desired", lambda *_: None)
        undefended(Arena(), attack)
    contest = defended(Arena(), attack)
    assert (contest.of(ATTACKER).outcome, contest.score(ATTACKER)) == (Outcome.INVALID, 0)


def test_an_offer_that_the_price_takes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is owned at the checkpoint; two blocks later the closed position returns less of one token."""

    def attack(ask: Ask, me: Hotkey) -> Answer:
        total0, total1 = ask.shown[me].portfolio.total
        return Positions((Desired(WIDE if ask.index % 2 == 0 else HALF, total0, total1),))

    with monkeypatch.context() as patch, pytest.raises(SimulationError, match="not covered"):
        patch.setattr(planning, "scale_to_owned", lambda opens, *_: opens)
        undefended(Arena(rising), attack)
    assert defended(Arena(rising), attack).of(ATTACKER).outcome is Outcome.ACCEPTED


def test_a_swap_on_a_fork_emptied_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker buys nearly all that its fork has to sell, wishes for the rest, and a stranger takes it first."""
    arena = Arena(
        lambda chain, block: chain.swap(False, 2 * UNIT) if block == 7 else None,
        inventory=Inventory(200 * UNIT, 200 * UNIT),
        foreign=((-600, 600, 10**21),),
    )

    def attack(ask: Ask, me: Hotkey) -> Answer:
        more = 28 * UNIT if ask.index == 0 else UNIT // 1000
        wish = Desired(Range(-1200, -600), ask.shown[me].portfolio.idle0 + more, 0)
        return Positions((wish,)) if ask.index < 2 else keep(ask, me)

    with monkeypatch.context() as patch, pytest.raises(PoolRevert, match="SPL"):
        patch.setattr(planning, "PoolRevert", ZeroDivisionError)
        undefended(arena, attack)
    contest = defended(arena, attack, once(Desired(Range(-600, 600), 18 * UNIT, 18 * UNIT)))
    assert contest.of(ATTACKER).outcome is Outcome.ACCEPTED and contest.score(ATTACKER) < 0
