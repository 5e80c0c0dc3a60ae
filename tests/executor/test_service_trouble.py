"""What goes wrong around the executor, and costs neither its other intents nor its key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.executor_desk import KEEPER, NARROW, WIDE, Elsewhere, Office, office
from support.vault_anvil import GUARDIAN, OWNER, UNIT

from db.records import Execution
from executor.reading import VaultReader
from executor.service import DryRun, Ended, ExecutorService, Refusal, Submitted, Waiting
from protocol.errors import ConfigError, SimulationError
from simulator.chain.abi import call_data
from simulator.chain.rpc import Refused
from simulator.plan import Desired

WISH = (Desired(WIDE, 300 * UNIT, 300 * UNIT), Desired(NARROW, 100 * UNIT, 100 * UNIT))
Q96 = 2**96


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


async def status(here: Office, intent: Execution) -> str:
    return (await here.ended(intent)).status


async def carried_out(service: ExecutorService) -> None:
    assert [await service.work() for _ in range(3)] == [True, True, False]


async def test_while_the_vault_rests_a_plan_is_put_off_not_refused(here: Office) -> None:
    service = here.service(await here.transactor())
    await here.want(*WISH)
    await carried_out(service)
    second = await here.want(Desired(WIDE, 10 * UNIT, 10 * UNIT))
    assert [await service.work() for _ in range(2)] == [False, False]
    assert (await status(here, second), here.facts[-1]) == (
        "planned",
        Waiting("e2 is put off: the node refuses the call: execution reverted: cooldown"),
    )
    await here.pass_time(60)
    await carried_out(service)
    assert await status(here, second) == "reconciled"


async def test_while_the_vault_is_paused_a_plan_is_put_off_until_it_is_too_old(here: Office) -> None:
    await here.made.cost(GUARDIAN, call_data("pause()"))
    intent = await here.want(*WISH)
    service = here.service(await here.transactor())
    assert not await service.work()
    assert (await status(here, intent), await here.rebalances()) == ("planned", 0)
    await here.made.cost(OWNER, call_data("unpause()"))
    await carried_out(service)
    assert await status(here, intent) == "reconciled"
    await here.made.cost(GUARDIAN, call_data("pause()"))
    old = await here.want(Desired(WIDE, UNIT, UNIT))
    assert not await service.work()
    for _ in range(32):
        await here.made.chain.mine()
    assert [await service.work() for _ in range(2)] == [True, False]
    found = await here.ended(old)
    assert (found.status, found.guard.split(" blocks old")[0][:15]) == ("refused", "the decision is")


async def test_the_vaults_of_another_executor_are_left_to_it(here: Office) -> None:
    """Two keys on one database: what one may not touch, the other carries out."""
    intent = await here.want(*WISH)
    nothing = replace(here.bounds, live=replace(here.bounds.live, vaults=frozenset({GUARDIAN})))
    assert not await here.service(await here.transactor(), bounds=nothing).work()
    put_off = Waiting(f"e1 is put off: vault {here.made.vault} is not on the list of --allow")
    assert (await status(here, intent), here.facts) == ("planned", [put_off])
    await carried_out(here.service(await here.transactor()))
    assert await status(here, intent) == "reconciled"


async def test_a_plan_that_is_not_the_one_approved_is_not_carried_out(here: Office) -> None:
    intent = await here.want(*WISH)
    forged = await here.want(Desired(WIDE, 1 * UNIT, 1 * UNIT), payload_digest=intent.payload_digest)
    service = here.service(await here.transactor())
    assert [await service.work() for _ in range(4)] == [True, True, True, False]
    assert await status(here, intent) == "reconciled"
    found = await here.ended(forged)
    assert (found.status, found.guard) == ("refused", "the intent's plan is not the one that was approved")


async def test_an_intent_that_a_node_refuses_to_read_stops_no_other(here: Office) -> None:
    """A token that reverts, say: that vault's plan is refused, and the process goes on."""
    poison, good = await here.want(*WISH), await here.want(*WISH)

    async def connect(pool: str, vault: str) -> VaultReader:
        reader = await here.connect(pool, vault)
        if not here.facts:
            raise Refused("execution reverted: no balance for you", code=3)
        return reader

    service = here.service(await here.transactor(), connect=connect)
    assert await service.work()
    assert isinstance(here.facts[0], Refusal) and "no balance for you" in here.facts[0].reason
    await carried_out(service)
    assert (await status(here, poison), await status(here, good)) == ("refused", "reconciled")


@pytest.mark.parametrize(
    "error", [SimulationError("the vault lists more than the pool has"), ConfigError("job weth-usdc is gone")]
)
async def test_what_cannot_be_reconciled_does_not_hold_the_key_for_ever(
    here: Office, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = await here.want(*WISH)
    service = here.service(await here.transactor())
    assert await service.work()

    async def broken(*_: object, **__: object) -> None:
        raise error

    where = ExecutorService if isinstance(error, ConfigError) else VaultReader
    monkeypatch.setattr(where, "_reader" if where is ExecutorService else "read", broken)
    assert await service.work()
    monkeypatch.undo()
    amounts = json.loads((await here.ended(intent)).amounts or "")
    assert (await status(here, intent), amounts["realised"], amounts["unread"]) == ("reconciled", None, str(error))
    assert await here.rebalances() == 1


async def test_a_price_that_is_another_elsewhere_refuses_the_plan(here: Office) -> None:
    """Without the second source the same plan is carried out: the loss that the guard prevents."""
    off = Elsewhere(Q96 * 101 // 100)  # two percent of price
    intent = await here.want(*WISH)
    assert await here.service(await here.transactor(), prices=off).work()
    found = await here.ended(intent)
    assert found.status == "refused" and "ppm between price and external price" in found.guard
    again = await here.want(*WISH)
    await carried_out(here.service(await here.transactor()))
    assert await status(here, again) == "reconciled"


@pytest.mark.parametrize("is_waited_for", [True, False])
async def test_a_price_source_that_is_down_is_waited_for_or_said_to_be_ignored(
    here: Office, *, is_waited_for: bool
) -> None:
    down, intent = Elsewhere(None), await here.want(*WISH)
    service = here.service(await here.transactor(), prices=down, waits_for_price=is_waited_for)
    if not is_waited_for:
        await carried_out(service)
        assert here.facts[0] == Waiting("for nothing, but unguarded by it: the price source is down")
        assert [type(fact) for fact in here.facts[1:]] == [Submitted, Ended]
        return
    assert not await service.work()
    assert here.facts == [Waiting("e1 is put off: the price source is down")]
    down.found = Q96
    await carried_out(service)
    assert await status(here, intent) == "reconciled"


async def test_a_key_that_is_used_elsewhere_signs_nothing_more(here: Office) -> None:
    """Somebody else has it: until a person has looked, the next plan waits as well."""
    transactor = await here.transactor()
    service = here.service(transactor)
    first, second = await here.want(*WISH), await here.want(*WISH)
    assert await service.work()
    chain = here.made.chain
    while (await here.ended(first)).status != "sent":
        await transactor.step(first.execution_id, service._check, now=0)
    [attempt] = (await here.store.get_transaction(first.execution_id) or pytest.fail()).attempts
    await chain.ask("anvil_dropTransaction", attempt.tx_hash)
    await chain.ask("anvil_setNonce", KEEPER.address, "0x1")
    await chain.mine()
    assert await service.work()
    assert await status(here, first) == "diverged"
    assert [await service.work() for _ in range(2)] == [False, False]
    assert (await here.store.read_halt()).is_set and await status(here, second) == "planned"


async def test_a_call_dearer_than_the_operator_allows_in_all_is_not_signed(here: Office) -> None:
    transactor = await here.transactor()
    fees = replace(transactor._settings.fees, max_cost_wei=10**15)
    transactor._settings = replace(transactor._settings, fees=fees)
    # What a rollup asks for its base chain: PUSH8 0.01 ETH, PUSH0 MSTORE PUSH1 0x20 PUSH0 RETURN
    oracle = "0x67" + (10**16).to_bytes(8, "big").hex() + "5f5260205ff3"
    await here.made.chain.ask("anvil_setCode", "0x420000000000000000000000000000000000000f", oracle)
    intent = await here.want(*WISH)
    service = here.service(transactor)
    assert await service.work() and await service.work()  # the clock mines until its deadline
    assert (await status(here, intent), await here.rebalances()) == ("expired", 0)
    dear = "gas costs more than the operator allows"
    assert any(isinstance(fact, Waiting) and dear in fact.reason for fact in here.facts)
    assert not any(isinstance(fact, DryRun) for fact in here.facts)
