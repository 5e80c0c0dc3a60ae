"""Every part of an intent that the executor acts on is signed; what is not signed is what becomes of it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from support.rows import PAIR, make_execution, make_start
from support.signed_rounds import VALIDATOR_KEY

from db.records import Execution
from executor.approval import check_block, check_signature
from executor.guards import Allowed, Refused
from protocol.intent import Intent
from protocol.signing import sign_intent
from protocol.units import Hotkey

VALIDATOR = Hotkey(VALIDATOR_KEY.ss58_address)
HASH = "0x" + "ab" * 32
# What is no part of it: only intents for a chain are signed, the digest is the plan's, the rest is what becomes of it.
UNSIGNED = {"mode", "status", "guard", "payload_digest", "tx_hash", "gas_used", "amounts", "created_at", "updated_at"}


def signed() -> Execution:
    where = {"decided_block": 1000, "decided_hash": HASH, "validator_hotkey": VALIDATOR}
    execution = make_execution(make_start(1), 3, mode="chain", status="planned", **where)
    intent = execution.signed_intent(PAIR)
    assert intent is not None
    return replace(execution, signature=sign_intent(VALIDATOR_KEY, intent).to_text())


def reason(
    execution: Execution, pool: str = PAIR, validators: frozenset[Hotkey] | None = frozenset({VALIDATOR})
) -> str:
    verdict = check_signature(execution, pool, validators)
    return verdict.reason if isinstance(verdict, Refused) else ""


def test_what_a_validator_signed_is_allowed_whatever_has_become_of_it() -> None:
    changed = {"status": "sent", "guard": "x", "amounts": "{}", "tx_hash": HASH, "gas_used": 7, "created_at": 8}
    assert reason(signed()) == reason(replace(signed(), **changed)) == ""
    assert reason(replace(signed(), vault=signed().vault.lower()), PAIR.lower()) == "", "addresses have no case"


@pytest.mark.parametrize("name", sorted(set(Execution.__dataclass_fields__) - UNSIGNED))
def test_no_signed_column_can_be_changed_or_emptied(name: str) -> None:
    execution = signed()
    value = getattr(execution, name)
    other = value + 1 if isinstance(value, int) else value + "0"
    assert check_signature(replace(execution, **{name: other}), PAIR, None) == Allowed(), "the loss without it"
    assert reason(replace(execution, **{name: other})) != ""
    assert reason(replace(execution, **{name: None if name in OPTIONAL else type(value)()})) != ""


OPTIONAL = {f.name for f in fields(Execution) if "None" in str(f.type)}


def test_all_that_is_signed_is_read_from_the_row_but_the_pool() -> None:
    intent = signed().signed_intent(PAIR)
    assert intent is not None and len({str(getattr(intent, f.name)) for f in fields(Intent)}) == len(fields(Intent))
    for field in fields(Intent):
        value = getattr(intent, field.name)
        other = replace(intent, **{field.name: value + 1 if isinstance(value, int) else value + "0"})
        assert other.digest() != intent.digest(), field.name
    assert reason(signed(), pool=signed().vault) != ""


def test_why_it_is_refused() -> None:
    not_as_signed = f"the intent is not as {VALIDATOR} signed it: "
    assert reason(replace(signed(), signature=None)) == "no validator has signed the intent"
    assert reason(signed(), validators=frozenset({Hotkey("5Bob")})) == (
        f"the intent is of {VALIDATOR}, which --validator does not name"
    )
    assert reason(replace(signed(), plan="{ }")) == not_as_signed + "signature does not verify"
    for text in ("", "{}", "[1, 1]", '["0x00", 1]', f'["0x{"0" * 128}", 7]', f'["0x{"0" * 128}", "1"]', "[" * 10**5):
        assert reason(replace(signed(), signature=text)).startswith(not_as_signed + "the stored signature is ")
    assert reason(replace(signed(), signature=f'["0x{"0" * 128}", 1]')).startswith(not_as_signed)


def test_one_intent_has_one_block() -> None:
    assert check_block(signed(), HASH) == Allowed()
    gone = Refused("block 1000, at which it was decided, is another one now", is_passing=True)
    assert check_block(signed(), "0x" + "cd" * 32) == gone
