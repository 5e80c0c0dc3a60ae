"""Attacks on the executor by whoever writes in its database, and by stale records: first with the one defence taken
away, where the vault loses, then with it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.anvil_pool import CHAIN_ID
from support.executor_attacks import BUYS, DEAR, FEE, Losses, carry, push, write
from support.executor_desk import NOW, WIDE, Office
from support.vault_anvil import UNIT
from support.vault_world import any_swap, opening

from db import transactions
from db.records import Execution
from db.transaction import Halt
from executor import service
from executor.service import ExecutorService
from executor.transactor import Transactor
from executor.vault import VaultCall
from executor.vault_abi import positions_hash, rebalance_data
from protocol.errors import StoreError
from simulator.plan import Desired, Plan, make_plan

HONEST = Desired(WIDE, 300 * UNIT, 300 * UNIT)


@pytest.fixture
def losses(tmp_path: Path) -> Losses:
    return Losses(tmp_path)


async def plan_text(here: Office, *desired: Desired) -> str:
    plan = make_plan(await here.fork(), desired)
    assert isinstance(plan, Plan)
    return json.dumps(plan.to_json())


async def test_a_plan_that_is_rewritten(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rewritten(here: Office) -> None:
        intent, text = await here.want(HONEST), await plan_text(here, *BUYS)
        write(here, "update live_executions set plan = ? where execution_id = ?", text, intent.execution_id)
        await carry(here, validators=None)  # whose signature stands before it: test_attacks_intents

    def trusting(intent: Execution) -> Plan:
        return Plan.from_json(json.loads(intent.plan))

    with monkeypatch.context() as patch:  # the digest is compared where the plan is read
        patch.setattr(service, "read_plan", trusting)
        assert await losses(rewritten) >= FEE
    assert await losses(rewritten) == 0


async def rewrite_call(here: Office, intent: Execution) -> None:
    """Write another call into the row of an intent's transaction, past all guards: a swap at any price, which somebody
    then moves.
    """
    planned = await here.store.get_transaction(intent.execution_id)
    assert planned is not None
    swap, opens = any_swap(False, 500 * UNIT), (opening(240, 900, 1500 * UNIT, 0),)
    call = VaultCall(bytes(32), planned.call.deadline, positions_hash([]), (), (), swap, opens)
    data = "0x" + rebalance_data(call).hex()
    write(here, "update executor_transactions set data = ? where execution_id = ?", data, intent.execution_id)
    await push(here, 250)


@pytest.mark.parametrize("is_restarted", [True, False])
async def test_a_call_that_is_rewritten_before_it_is_signed(
    losses: Losses, monkeypatch: pytest.MonkeyPatch, *, is_restarted: bool
) -> None:
    """The process that wrote the row was killed in between, and the next one makes the call anew, at the price of then;
    or it is at work still, and knows that this is not its call.
    """
    said = []

    async def rewritten(here: Office) -> None:
        intent = await here.want(HONEST)
        executor = here.service(await here.transactor())
        assert await executor.work()
        await rewrite_call(here, intent)
        await (here.service(await here.transactor()) if is_restarted else executor).drain()
        ended = await here.ended(intent)
        said.append((ended.status, ended.guard))

    with monkeypatch.context() as patch:  # what may be signed has no argument to leave it out
        patch.setattr(Transactor, "vouches_for", lambda *_: True)
        assert await losses(rewritten) > 12 * UNIT + FEE
    assert await losses(rewritten) == 0
    why = "its call is not what the intent comes to"
    if is_restarted:
        why = "250 ticks between price and mean, at most 100"
    assert said == [("reconciled", "allowed"), ("refused", why)]


async def test_a_call_that_is_rewritten_before_it_is_paid_more_for(
    losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No block took it: the next signature is for what the row then says. With the defence what was signed goes out
    again, and the chain undoes it at that price.
    """

    async def rewritten(here: Office) -> None:
        intent, transactor = await here.want(HONEST), await here.transactor()
        executor = here.service(transactor, now=lambda: NOW + 9)
        assert await executor.work()
        while (found := await transactor.step(intent.execution_id, executor._check, now=NOW)).phase != "sent":
            pass
        await here.made.chain.ask("anvil_dropTransaction", found.attempts[0].tx_hash)
        await rewrite_call(here, intent)
        await executor.drain()

    with monkeypatch.context() as patch:  # as above
        patch.setattr(Transactor, "vouches_for", lambda *_: True)
        assert await losses(rewritten) > 12 * UNIT + FEE
    assert await losses(rewritten) == 0


async def test_another_plan_for_the_same_checkpoint(losses: Losses) -> None:
    """A validator that was restarted, say, asks again: under a key of its own the second answer is paid, too."""

    async def twice(here: Office, checkpoint_index: int) -> None:
        first = await here.want(*BUYS)
        await carry(here)
        await here.pass_time()
        text = await plan_text(here, Desired(DEAR, 1900 * UNIT, 0))
        again = {"round_id": first.round_id, "checkpoint_index": checkpoint_index, "plan_text": text}
        if checkpoint_index == first.checkpoint_index:
            with pytest.raises(StoreError, match="another intent already"):
                await here.intend(Plan((), (), (), None, ()), **again)
            return
        await here.intend(Plan((), (), (), None, ()), **again)
        await carry(here)

    once = await losses(lambda here: twice(here, 0))
    assert await losses(lambda here: twice(here, 1)) - once > UNIT  # 0.3 % of another 400


class Heedless(ExecutorService):
    """Takes what is planned for any chain."""

    async def _intents(self) -> list[Execution]:
        planned = await self._desk.store.executions(status="planned")
        return [e for e in planned if await self._desk.store.get_transaction(e.execution_id) is None]


async def test_a_plan_for_another_chain(losses: Losses) -> None:
    """Two chains may have a vault at the same address: each plan is for one of them."""

    async def elsewhere(here: Office, kind: type[ExecutorService]) -> None:
        await here.want(*BUYS, chain_id=CHAIN_ID + 1)
        await kind(here.service(await here.transactor())._desk).drain()

    assert await losses(lambda here: elsewhere(here, Heedless)) >= FEE
    assert await losses(lambda here: elsewhere(here, ExecutorService)) == 0


async def test_a_kill_switch_that_nobody_reads(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:

    async def halted(here: Office) -> None:
        await here.want(*BUYS)
        await here.store.set_halt(Halt(is_set=True, reason="a bad feeling"))
        await carry(here)

    async def off(*_: object) -> Halt:
        return Halt(is_set=False)

    with monkeypatch.context() as patch:  # a switch has no argument to leave it out
        patch.setattr(transactions, "read_halt", off)
        assert await losses(halted) >= FEE
    assert await losses(halted) == 0
