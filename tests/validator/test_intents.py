"""What a validator signs: the approved plans of rounds on chain, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rows import PAIR
from support.worlds import block_hash, make_opening, make_snapshot

from protocol.errors import ConfigError
from protocol.signing import Signature, keypair_from_uri, verify_intent
from protocol.units import Hotkey
from simulator.opening import RoundOpening
from simulator.participant import Checkpoint, PoolView
from simulator.plan import Plan
from simulator.portfolio import VaultState
from simulator.round import Ask
from validator.intents import make_intent, signed

BOB = keypair_from_uri("//Bob")
PLAN = Plan((), (), (), None, ())


def asked() -> tuple[RoundOpening, Ask]:
    opening = make_opening(make_snapshot(), VaultState(1, 2, (), in_pool=True), ("a",))
    opening = replace(opening, is_on_chain=True, round_type="live", validator_hotkey=Hotkey(BOB.ss58_address))
    return opening, Checkpoint(2, 1008, block_hash(1008), 0, 1010, PoolView(0, 0, 0), {})


def test_an_approved_plan_is_signed_for_its_checkpoint() -> None:
    opening, ask = asked()
    intent = signed(make_intent(opening, ask, Hotkey("a"), PLAN, None), PAIR, BOB)
    said = (intent.execution_id, intent.mode, intent.status, intent.decided_block, intent.decided_hash)
    assert said == ("r-1-2", "chain", "planned", 1008, block_hash(1008))
    statement = intent.signed_intent(PAIR)
    assert statement is not None and intent.signature is not None and statement.validator == BOB.ss58_address
    verify_intent(Signature.from_text(intent.signature), statement)


@pytest.mark.parametrize(
    ("refusal", "is_on_chain", "status"),
    [("too wide", True, "rejected"), ("too wide", False, "refused"), (None, False, "paper")],
)
def test_nothing_else_is_signed(refusal: str | None, *, is_on_chain: bool, status: str) -> None:
    opening, ask = asked()
    intent = make_intent(replace(opening, is_on_chain=is_on_chain), ask, Hotkey("a"), PLAN, refusal)
    assert signed(intent, PAIR, BOB) == intent and (intent.status, intent.signature) == (status, None)


def test_no_other_key_signs_for_the_rounds_validator() -> None:
    intent = make_intent(*asked(), Hotkey("a"), PLAN, None)
    with pytest.raises(ConfigError, match="signed by the validator that it names"):
        signed(intent, PAIR, keypair_from_uri("//Eve"))
