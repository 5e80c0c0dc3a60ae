"""Attacks on the executor by somebody who writes intents into its database: first by one that trusts what is there,
where the vault loses, then by one that was told whose signature to ask for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.executor_attacks import BUYS, DEAR, FEE, Losses, carry, write
from support.executor_desk import VALIDATOR, WIDE, Office
from support.rows import open_round
from support.vault_anvil import UNIT

from db.records import Execution
from executor import service
from executor.guards import Allowed
from protocol.signing import Signer, keypair_from_uri
from protocol.units import Hotkey
from simulator.plan import Desired
from simulator.portfolio import Range

CHEAP = Range(-900, -240)
HONEST = Desired(WIDE, 300 * UNIT, 300 * UNIT)
TRUSTED = frozenset({VALIDATOR})
TRUSTING = None


@pytest.fixture
def losses(tmp_path: Path) -> Losses:
    return Losses(tmp_path)


@dataclass(frozen=True, slots=True)
class Impostor:
    """Signs with a key of his own in the validator's name."""

    key: Signer
    ss58_address: str = VALIDATOR

    @property
    def public_key(self) -> bytes:
        return self.key.public_key

    @property
    def crypto_type(self) -> int:
        return self.key.crypto_type

    def sign(self, payload: bytes) -> bytes:
        return self.key.sign(payload)


def put(here: Office, execution: Execution) -> None:
    """Write an intent, or over one."""
    names = Execution.__dataclass_fields__
    values = [getattr(execution, name) for name in names]
    marks = ", ".join("?" * len(names))
    write(here, f"insert or replace into live_executions ({', '.join(names)}) values ({marks})", *values)


def with_plan_of(execution: Execution, other: Execution) -> Execution:
    """Return an intent with another's plan, its digest included."""
    digest = hashlib.sha256(other.plan.encode()).hexdigest()
    return replace(execution, plan=other.plan, payload_digest=digest)


async def test_an_intent_that_no_validator_signed(losses: Losses) -> None:
    """Without a signature, with one that is none, and with his own: in his name, and in the validator's."""
    eve, said = keypair_from_uri("//Eve"), []

    async def written(here: Office, validators: Set[Hotkey] | None, forgeries: int) -> None:
        for forgery in range(forgeries):
            intent = await here.want(*BUYS)
            own = here.signed(replace(intent, validator_hotkey=Hotkey(eve.ss58_address)), eve)
            forged = (
                replace(intent, signature=None, validator_hotkey=None, decided_block=None, decided_hash=None),
                replace(intent, signature="[]"),
                own,
                here.signed(intent, Impostor(eve)),
            )
            put(here, forged[forgery])
            await carry(here, validators=validators)
            said.append((await here.ended(intent)).guard)
            called = await here.store.get_transaction(intent.execution_id)
            assert (called is None) == (validators is TRUSTED), "it is refused before a call is made of it"

    assert await losses(lambda here: written(here, TRUSTING, 1)) >= FEE
    assert await losses(lambda here: written(here, TRUSTED, 4)) == 0
    not_as_signed = f"the intent is not as {VALIDATOR} signed it: "
    assert said[1:] == [
        "no validator has signed the intent",
        not_as_signed + "the stored signature is malformed",
        f"the intent is of {eve.ss58_address}, which --validator does not name",
        not_as_signed + "signature does not verify",
    ]


@pytest.mark.parametrize("is_planned", [False, True])
async def test_a_signed_plan_that_is_rewritten(losses: Losses, *, is_planned: bool) -> None:
    """With its digest; before the executor has looked at it, or after its call was written down, which goes as well."""

    async def rewritten(here: Office, validators: Set[Hotkey] | None) -> None:
        bad, intent = await here.want(*BUYS, status="paper"), await here.want(HONEST)
        executor = here.service(await here.transactor(), validators=validators)
        if is_planned:
            assert await executor.work()
            write(here, "delete from executor_transactions where execution_id = ?", intent.execution_id)
        put(here, with_plan_of(intent, bad))
        await executor.drain()

    assert await losses(lambda here: rewritten(here, TRUSTING)) >= FEE
    assert await losses(lambda here: rewritten(here, TRUSTED)) == 0


async def test_a_signed_intent_of_another_vault(losses: Losses) -> None:
    """A plan that is right for one vault buys on another what nobody wants there."""

    async def moved(here: Office, validators: Set[Hotkey] | None) -> None:
        intent = await here.want(*BUYS, vault=here.made.chain.pool)
        put(here, replace(intent, vault=here.made.vault))
        await carry(here, validators=validators)

    assert await losses(lambda here: moved(here, TRUSTING)) >= FEE
    assert await losses(lambda here: moved(here, TRUSTED)) == 0


async def test_a_signed_intent_of_another_round(losses: Losses) -> None:
    """What was approved once, carried out, and taken back by a later plan, is carried out again under a new name: the
    vault knows a plan by its name alone.
    """

    async def repeated(here: Office, validators: Set[Hotkey] | None) -> None:
        first = await here.want(Desired(DEAR, 1200 * UNIT, 0))
        for later in ((Desired(CHEAP, 0, 999 * UNIT),), ()):  # what was bought is sold, and then nothing is open
            await carry(here, validators=validators)
            await here.pass_time()
            await here.want(*later)
        await carry(here, validators=validators)
        await here.pass_time()
        start = await open_round(here.store, 9, round_type="live")
        put(here, replace(first, execution_id="e9", round_id=start.round_id))
        await carry(here, validators=validators)

    once = await losses(lambda here: repeated(here, TRUSTED))
    assert await losses(lambda here: repeated(here, TRUSTING)) - once > UNIT // 2  # 0.3 % of another 200


async def test_an_older_signature_for_the_same_checkpoint(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain took a block back and the checkpoint was asked again: the first answer is signed as well."""

    async def swapped(here: Office) -> None:
        chain = here.made.chain
        before = await chain.ask("evm_snapshot")
        await chain.mine()
        old = await here.want(*BUYS)
        await chain.ask("evm_revert", before)
        await here.pass_time(7)
        head = await chain.head()
        assert head.number == old.decided_block and head.block_hash != old.decided_hash
        asked_again = here.signed(replace(old, decided_hash=head.block_hash), keypair_from_uri("//Alice"))
        put(here, asked_again)
        put(here, old)
        await carry(here)

    with monkeypatch.context() as patch:  # the hash is compared where the intent is taken
        patch.setattr(service, "check_block", lambda *_: Allowed())
        assert await losses(swapped) >= FEE
    assert await losses(swapped) == 0
