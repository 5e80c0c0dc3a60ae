"""Evidence: every input is bound to the results by something that cannot be changed alone.

Each lie below is made consistent where its author could do so; the one thing that gives it away is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.signed_rounds import MINER_KEYS, VALIDATOR_KEY, answer, keep, narrow, play, signed_opening

from protocol.errors import SimulationError
from protocol.messages import RebalanceQuery
from protocol.signing import read_signature, sign_request, sign_response
from protocol.units import Hotkey
from protocol.wire import REBALANCE_PATH
from simulator.answers import Malformed, NoAnswer, Positions, Refusal, read_answer
from simulator.evidence import AnswerRecord, Evidence, canonical, first_difference, results_to_json, verify
from simulator.participant import Outcome
from simulator.query import build_query
from simulator.round import Round
from validator.round_run import RoundRun
from validator.winner import pick_round_winner

BOB, CHARLIE = MINER_KEYS


def evidence_of(run: RoundRun) -> Evidence:
    result = run.engine.result()
    results = results_to_json(result, pick_round_winner(run.opening, result, {}), {})
    return Evidence("test", run.opening, tuple(run._blocks), tuple(run._answers), results)


@pytest.fixture(scope="module")
def honest() -> Evidence:
    return evidence_of(play(signed_opening(), (narrow, keep)))


def with_record(evidence: Evidence, **changes: Any) -> Evidence:
    """Return the evidence with the first record of the first ask changed."""
    (first, *others), *asks = evidence.answers
    return replace(evidence, answers=((replace(first, **changes), *others), *asks))


def first_record(evidence: Evidence) -> AnswerRecord:
    return evidence.answers[0][0]


def test_honest_evidence_verifies_before_and_after_its_encoding(honest: Evidence) -> None:
    result = verify(honest, pick_round_winner)
    assert verify(Evidence.decode(honest.encode()), pick_round_winner) == result
    assert [p.outcome for p in result.participants] == [Outcome.ACCEPTED, Outcome.KEPT]
    assert honest.digest() == hashlib.sha256(honest.encode()).hexdigest()


def other_signature(evidence: Evidence) -> dict[str, Any]:
    return {"response_signature": evidence.answers[0][1].response_signature}


def no_signature(evidence: Evidence) -> dict[str, Any]:
    return {"response_signature": None}


def other_request_signature(evidence: Evidence) -> dict[str, Any]:
    return {"request_signature": evidence.answers[0][1].request_signature}


def no_request_signature(evidence: Evidence) -> dict[str, Any]:
    return {"request_signature": None}


def other_nonce(evidence: Evidence) -> dict[str, Any]:
    return {"nonce_ns": first_record(evidence).nonce_ns + 1}


def other_digest(evidence: Evidence) -> dict[str, Any]:
    return {"request_digest": evidence.answers[0][1].request_digest}


def other_body(evidence: Evidence) -> dict[str, Any]:
    return {"response_body": evidence.answers[0][1].response_body}


def other_verdict(evidence: Evidence) -> dict[str, Any]:
    return {"noted": "kept"}


def other_detail(evidence: Evidence) -> dict[str, Any]:
    return {"detail": "a little late"}


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (other_signature, "signature does not verify"),
        (no_signature, "a response and its signature go together"),
        (other_request_signature, "signature does not verify"),
        (no_request_signature, "a response to a request that was never signed"),
        (other_nonce, "signature does not verify"),
        (other_digest, "not the one recomputed"),
        (other_body, "signature does not verify"),
        (other_verdict, "verdict recomputed as planned"),
        (other_detail, "claimed planned .a little late."),
    ],
)
def test_a_record_that_was_changed_is_found(
    honest: Evidence, lie: Callable[[Evidence], dict[str, Any]], says: str
) -> None:
    with pytest.raises(SimulationError, match=says):
        verify(with_record(honest, **lie(honest)), pick_round_winner)


def test_a_signature_without_a_response_is_found() -> None:
    silent = evidence_of(play(signed_opening(), (lambda _query: None, keep)))
    signature = silent.answers[0][1].response_signature
    with pytest.raises(SimulationError, match="go together"):
        verify(with_record(silent, response_signature=signature), pick_round_winner)


def resigned(evidence: Evidence, **keys: Any) -> Evidence:
    """Return the evidence with the first exchange signed again, properly, by these keys."""
    signers = {"validator": VALIDATOR_KEY, "miner": MINER_KEYS[BOB], **keys}
    record, opening = first_record(evidence), evidence.opening
    ask = Round(opening).pending_ask()
    assert ask is not None and record.response_body is not None
    request = canonical(json.loads(build_query(opening, ask, BOB).model_dump_json()))
    assert hashlib.sha256(request).hexdigest() == record.request_digest
    return with_record(
        evidence,
        request_signature=read_signature(
            sign_request(
                signers["validator"], path=REBALANCE_PATH, body=request, receiver=BOB, nonce_ns=record.nonce_ns
            )
        ),
        response_signature=read_signature(
            sign_response(
                signers["miner"],
                path=REBALANCE_PATH,
                request_body=request,
                body=record.response_body.encode("latin-1"),
                nonce_ns=record.nonce_ns,
                receiver=Hotkey(VALIDATOR_KEY.ss58_address),
            )
        ),
    )


def test_the_signers_must_be_the_validator_and_the_miner(honest: Evidence) -> None:
    verify(resigned(honest), pick_round_winner)
    for keys in ({"validator": MINER_KEYS[CHARLIE]}, {"miner": MINER_KEYS[CHARLIE]}):
        with pytest.raises(SimulationError, match="signature does not verify"):
            verify(resigned(honest, **keys), pick_round_winner)


def test_answers_of_everyone_asked_and_of_nobody_else(honest: Evidence) -> None:
    (first, second), *asks = honest.answers
    for records in ((first,), (second, first), (first, second, second), (second, second), ()):
        with pytest.raises(SimulationError, match="everyone asked"):
            verify(replace(honest, answers=(records, *asks)), pick_round_winner)
    with pytest.raises(SimulationError, match="everyone asked"):
        verify(replace(honest, answers=honest.answers[:-1]), pick_round_winner)
    with pytest.raises(SimulationError, match="never asked"):
        verify(replace(honest, answers=(*honest.answers, honest.answers[-1])), pick_round_winner)


def test_every_claim_is_compared(honest: Evidence) -> None:
    """Each number of the results, one at a time, in its own type."""
    paths: list[tuple[Any, ...]] = []

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if inner is None:
            paths.append(path)
            return
        for key, below in inner:
            walk(below, (*path, key))

    results = json.loads(canonical(honest.results))
    walk({k: v for k, v in results.items() if k != "combined_before"}, ())
    assert len(paths) > 60
    for path in paths:
        claimed = json.loads(canonical(honest.results))
        place = claimed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = lied(place[path[-1]])
        difference = first_difference(results, claimed, "results")
        assert difference is not None and str(path[-1]) in difference
    with pytest.raises(SimulationError, match=r"results differ at results\.winner"):
        verify(replace(honest, results={**honest.results, "winner": CHARLIE}), pick_round_winner)


def lied(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    return value + 1 if isinstance(value, int) else value + "0"


@pytest.mark.parametrize(
    ("honest_value", "claim"), [(1, True), (0, False), ("1", 1), (1, 1.0), ([], {}), ([1], [1, 1])]
)
def test_equal_looking_values_of_another_type_differ(honest_value: object, claim: object) -> None:
    assert first_difference({"x": honest_value}, {"x": claim}, "results") is not None


def test_a_missing_and_an_added_claim_differ() -> None:
    assert first_difference({"a": 1}, {}, "r") == first_difference({}, {"a": 1}, "r") == "r: keys ['a']"


def test_what_ties_were_broken_by_is_part_of_the_claim(honest: Evidence) -> None:
    """The winner is chosen from the reputations stated, so that stating others changes the winner or the digest."""
    seen = []

    def rule(opening: object, result: object, combined: Any) -> Hotkey | None:
        seen.append(dict(combined))
        return BOB

    stated = {**honest.results, "combined_before": {BOB: "-7", CHARLIE: "9"}, "winner": BOB}
    verify(replace(honest, results=stated), rule)
    assert seen == [{BOB: -7, CHARLIE: 9}]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b" " + data,
        lambda data: data + b"\n",
        lambda data: data.replace(b'"format":1', b'"format": 1'),
        lambda data: data.replace(b'"format":1', b'"format":1,"format":1'),
        lambda data: data.replace(b'"format":1', b'"format":1,"note":"x"'),
        lambda data: json.dumps(json.loads(data)).encode(),
    ],
)
def test_only_the_canonical_spelling_is_read(honest: Evidence, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(SimulationError, match="canonical form"):
        Evidence.decode(spoil(honest.encode()))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data.replace(b'"format":1', b'"format":2'), "format 2 is not 1"),
        (lambda data: data[:-1], "cannot be read"),
        (lambda data: data.replace(b'"S",', b'"X",', 1), "unknown event kind"),
    ],
)
def test_what_cannot_be_read_is_refused(honest: Evidence, spoil: Callable[[bytes], bytes], says: str) -> None:
    with pytest.raises(SimulationError, match=says):
        Evidence.decode(spoil(honest.encode()))


def first_query() -> RebalanceQuery:
    opening = signed_opening()
    ask = Round(opening).pending_ask()
    assert ask is not None
    return build_query(opening, ask, BOB)


def test_answers_as_they_are_read() -> None:
    query = first_query()
    other = query.model_copy(update={"request_id": "0" * 32})
    refusal = {"protocol_version": 1, "request_id": query.request_id, "accepted": False}
    accepted = {**refusal, "accepted": True}
    assert read_answer(query, None, "late") == NoAnswer("late")
    assert read_answer(query, answer(query, ())) == Positions(())
    assert read_answer(query, answer(other, ())) == Malformed("the answer repeats another request_id")
    assert read_answer(query, canonical(refusal)) == Refusal("no reason given")
    assert read_answer(query, canonical({**refusal, "refusal_reason": "no"})) == Refusal("no")
    assert read_answer(query, canonical(accepted)) == NoAnswer("accepted without positions")
    assert isinstance(read_answer(query, b"\xff"), Malformed)


def test_a_query_shows_idle_tokens_apart_and_the_real_pool() -> None:
    opening = signed_opening()
    ask = Round(opening).pending_ask()
    assert ask is not None
    query, shown = build_query(opening, ask, BOB), ask.shown[BOB].portfolio
    [position], [holding] = query.current_positions, shown.holdings
    assert (query.inventory_remaining.amount0, query.inventory_remaining.amount1) == (shown.idle0, shown.idle1)
    assert (position.allocation0, position.allocation1, position.liquidity) == (
        holding.amount0,
        holding.amount1,
        holding.liquidity,
    )
    assert query.context.liquidity == opening.snapshot.liquidity, "the vault is virtual"
    assert (query.block_number, query.context.effective_block) == (ask.block_number, ask.effective_block)
    assert query.request_id != build_query(opening, ask, CHARLIE).request_id


def test_later_queries_show_what_has_become_of_the_portfolio() -> None:
    """Fees as collecting would pay them, plans carried out so far, and an id that no other ask has."""
    seen: dict[tuple[str, int], RebalanceQuery] = {}

    def recording(name: str, decide: Callable[[RebalanceQuery], bytes]) -> Callable[[RebalanceQuery], bytes]:
        def answered(query: RebalanceQuery) -> bytes:
            seen[(name, query.context.checkpoint_index)] = query
            return decide(query)

        return answered

    play(signed_opening(), (recording("bob", narrow), recording("charlie", keep)))
    assert len(seen) == len({query.request_id for query in seen.values()}) == 6
    mover, keeper = seen[("bob", 1)], seen[("charlie", 1)]
    assert (mover.rebalances_so_far, keeper.rebalances_so_far) == (1, 0)
    assert (len(mover.current_positions), len(keeper.current_positions)) == (2, 1)
    for query in (mover, keeper):
        fees = [(p.fees0, p.fees1) for p in query.current_positions]
        assert query.context.fees_owed.amount0 == sum(f[0] for f in fees) > 0
        assert query.context.fees_owed.amount1 == sum(f[1] for f in fees) > 0
        assert (query.block_number, query.context.effective_block, query.context.end_block) == (1004, 1006, 1012)
    opening = signed_opening()
    assert mover.context.sqrt_price_x96 == keeper.context.sqrt_price_x96 != opening.snapshot.sqrt_price_x96
    first = seen[("bob", 0)]
    assert mover.context.opening_inventory == keeper.context.opening_inventory == first.context.opening_inventory
    held = first.current_positions[0]
    assert first.context.opening_inventory.amount0 == first.inventory_remaining.amount0 + held.allocation0
