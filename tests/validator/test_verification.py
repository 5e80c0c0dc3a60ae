"""Evidence: recomputed bit for bit, and every flipped bit found."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from support.signed_rounds import MINER_KEYS, VALIDATOR_KEY, keep, narrow, play, signed_opening

from protocol.errors import SimulationError
from protocol.signing import Signature, keypair_from_uri, sign_digest
from simulator.evidence import Evidence, canonical, results_to_json
from simulator.native import is_built
from validator.round_run import RoundRun
from validator.verification import SignedEvidence, check
from validator.winner import pick_round_winner


def evidence_of(run: RoundRun) -> SignedEvidence:
    result = run.engine.result()
    winner = pick_round_winner(run.opening, result, {})
    evidence = Evidence(
        "test", run.opening, tuple(run._blocks), tuple(run._answers), results_to_json(result, winner, {})
    )
    return SignedEvidence(evidence, evidence.digest(), sign_digest(VALIDATOR_KEY, evidence.digest()))


@pytest.fixture(scope="module")
def signed() -> SignedEvidence:
    return evidence_of(play(signed_opening(), (narrow, keep)))


def test_a_round_is_recomputed_bit_for_bit_from_its_file(signed: SignedEvidence) -> None:
    copied = SignedEvidence.decode(signed.encode())
    result = check(copied)
    scores = [p.score_e18 for p in result.participants]
    assert scores[0] not in (None, 0) and scores[1] == 0
    assert copied.evidence == signed.evidence


@pytest.mark.skipif(not is_built(), reason="there was no compiler")
def test_a_round_is_stored_bit_for_bit_alike_by_either_engine(signed: SignedEvidence) -> None:
    """The same blocks and the same signed answers, taken by a validator that chose the other engine."""
    check(signed, engine="native")
    opening = signed.evidence.opening
    run = RoundRun(opening, {}, "test", pool_engine="native").at_opening()
    asks, blocks = iter(signed.evidence.answers), iter(signed.evidence.blocks)
    while not run.engine.is_finished:
        if (ask := run.engine.pending_ask()) is not None:
            run.take_again(ask, next(asks))
        else:
            run.advance(next(blocks))
    assert type(run.engine._base.pool).__name__ == "NativePool"
    stored = run.finish(VALIDATOR_KEY, pick_round_winner, {}).record
    assert stored.evidence_digest == signed.digest
    assert evidence_of(run).evidence.encode() == signed.evidence.encode()


def test_any_flipped_bit_of_the_file_is_found(signed: SignedEvidence) -> None:
    data = signed.encode()
    rng = random.Random(7)
    for position in rng.sample(range(len(data)), 250):
        flipped = bytearray(data)
        flipped[position] ^= 1 << rng.randrange(8)
        with pytest.raises(SimulationError):
            check(SignedEvidence.decode(bytes(flipped)))


def resigned(value: dict[str, Any]) -> SignedEvidence:
    """Return altered evidence with a fresh, honest digest and signature: what a lying validator could publish."""
    evidence = Evidence.decode(canonical(value))
    return SignedEvidence(evidence, evidence.digest(), sign_digest(VALIDATOR_KEY, evidence.digest()))


def altered(signed: SignedEvidence) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(signed.evidence.encode())
    return value


def test_a_lying_validator_is_found_even_though_it_signs_its_lie(signed: SignedEvidence) -> None:
    """Each lie is signed properly; only the recomputation can find it."""

    def better_score(value: dict[str, Any]) -> None:
        value["results"]["participants"][0]["score_e18"] = "999"

    def other_winner(value: dict[str, Any]) -> None:
        value["results"]["winner"] = list(MINER_KEYS)[1]

    def softer_ledger(value: dict[str, Any]) -> None:
        value["results"]["participants"][0]["ledger"]["gas_x192"] = "1"

    def swapped_answers(value: dict[str, Any]) -> None:
        first, second = value["answers"][0]
        first[4], second[4] = second[4], first[4]

    def dropped_answer(value: dict[str, Any]) -> None:
        value["answers"][0][0][4] = None
        value["answers"][0][0][5] = None

    def dropped_block(value: dict[str, Any]) -> None:
        del value["blocks"][3]

    def dropped_swap(value: dict[str, Any]) -> None:
        value["blocks"][3][4] = []

    def other_verdict(value: dict[str, Any]) -> None:
        value["answers"][1][0][6] = "planned"

    def other_inventory(value: dict[str, Any]) -> None:
        value["opening"]["vault"]["idle0"] = "1"

    def extra_ask(value: dict[str, Any]) -> None:
        value["answers"].append(value["answers"][-1])

    check(resigned(altered(signed)))
    lies = (better_score, other_winner, softer_ledger, swapped_answers, dropped_answer, dropped_block)
    for lie in (*lies, dropped_swap, other_verdict, other_inventory, extra_ask):
        value = altered(signed)
        lie(value)
        with pytest.raises(SimulationError):
            check(resigned(value))


def test_a_signature_by_somebody_else_is_found(signed: SignedEvidence) -> None:
    forged = sign_digest(keypair_from_uri("//Eve"), signed.digest)
    with pytest.raises(SimulationError, match="validator's signature"):
        check(replace(signed, signature=forged))
    with pytest.raises(SimulationError, match="validator's signature"):
        check(replace(signed, signature=Signature("0x" + "00" * 64, 1)))


def test_rounds_with_silence_and_refusals_verify_too() -> None:
    late: list[int] = []

    def silent_later(query: Any) -> bytes | None:
        late.append(query.context.checkpoint_index)
        return narrow(query) if query.context.checkpoint_index == 0 else None

    check(evidence_of(play(signed_opening(), (silent_later, lambda _query: b'{"not": "a response"}'))))
    check(evidence_of(play(signed_opening(), (lambda _query: None, lambda _query: b"\xff\xfe"))))
    assert late == [0, 1, 2]


def test_bytes_that_are_no_evidence() -> None:
    for data in (b"", b"{}", b"[]", b"null", b'{"envelope":1}', b"\xff", b"[" * 100_000):
        with pytest.raises(SimulationError):
            SignedEvidence.decode(data)
