"""The executor on a real node with our vault: an intent becomes what the simulator said, once, or is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.anvil_pool import CHAIN_ID
from support.executor_attacks import write
from support.executor_desk import ABOVE, KEEPER, NARROW, NOW, READING, VALIDATOR, WIDE, Office, office
from support.vault_anvil import UNIT

from db.records import REJECTED
from db.store import Store
from db.transaction import Halt
from executor.reading import VaultReader, VaultReading
from executor.service import DryRun, Ended, ExecutorService, Refusal, Submitted, Waiting
from executor.standing import standing_of
from protocol.errors import ChainError
from simulator.chain.abi import selector, words
from simulator.chain.blocks import Header
from simulator.plan import Desired, InvalidPlan, Plan, make_plan
from simulator.portfolio import Range

WISH = (Desired(WIDE, 300 * UNIT, 300 * UNIT), Desired(NARROW, 100 * UNIT, 100 * UNIT))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


async def carried_out(service: ExecutorService) -> None:
    """Submit one intent and bring its transaction to the end; then there is nothing to do."""
    assert [await service.work() for _ in range(3)] == [True, True, False]


async def test_an_intent_becomes_what_was_predicted(here: Office) -> None:
    intent = await here.want(*WISH)
    service = here.service(await here.transactor())
    await carried_out(service)
    done = await here.ended(intent)
    amounts = json.loads(done.amounts or "")
    found = standing_of(await here.fork())
    assert [r for r, _ in found.positions] == [WIDE, NARROW]
    assert (done.status, amounts["is_exact"], amounts["error0"], amounts["error1"]) == ("reconciled", True, "0", "0")
    assert amounts["predicted"] == amounts["realised"] == found.to_json()
    assert int(amounts["fee_wei"]) > done.gas_used > 100_000 if done.gas_used else False
    submitted, ended = here.facts
    assert isinstance(submitted, Submitted) and isinstance(ended, Ended)
    assert ended.transaction.receipt is not None and ended.transaction.receipt.tx_hash == done.tx_hash
    assert await here.rebalances() == 1


async def test_the_next_intent_closes_swaps_and_opens(here: Office) -> None:
    service = here.service(await here.transactor())
    await here.want(*WISH)
    await carried_out(service)
    await here.made.chain.swap(True, 300 * UNIT)
    await here.made.chain.swap(False, 299 * UNIT)
    await here.pass_time()
    kept = next(h for h in (await here.fork()).portfolio().holdings if h.range == NARROW)
    intent = await here.want(Desired(NARROW, kept.amount0, kept.amount1), Desired(ABOVE, 920 * UNIT, 0))
    plan = json.loads(intent.plan)
    assert plan["swap"] and plan["close"] == [[-1200, 1200]] and plan["keep"] == [[-120, 180]]
    await carried_out(service)
    done = await here.ended(intent)
    amounts = json.loads(done.amounts or "")
    assert (done.status, amounts["is_exact"]) == ("reconciled", True)
    assert amounts["turnover_ppm"] > 0 < amounts["loss_ppm"]
    assert await here.rebalances() == 2


async def test_what_others_trade_meanwhile_is_the_tracking_error(here: Office) -> None:
    intent = await here.want(*WISH)
    service = here.service(await here.transactor())
    assert await service.work()
    await here.made.chain.swap(True, 20 * UNIT)
    await here.made.chain.mine()
    assert await service.work()
    done = await here.ended(intent)
    amounts = json.loads(done.amounts or "")
    assert (done.status, amounts["is_exact"]) == ("reconciled", False)
    assert amounts["realised"] == standing_of(await here.fork()).to_json() != amounts["predicted"]
    # The tokens went into the ranges at another price: in kind that is much, in worth next to nothing, and for the
    # good: what was not yet in a range did not diverge.
    assert abs(int(amounts["error0"])) > UNIT
    assert 0 < int(amounts["error_in_token1"]) < UNIT // 10


async def test_a_price_that_moved_does_not_undo_a_plan_of_everything(here: Office) -> None:
    """The approved plan is carried out as on a miner's fork; planned anew it would lack what the price took."""
    service = here.service(await here.transactor())
    await here.want(*WISH)
    await carried_out(service)
    await here.pass_time()
    everything = Desired(Range(-600, 600), *(await here.fork()).portfolio().total)
    intent = await here.want(everything)
    await here.made.chain.swap(True, 20 * UNIT)
    await here.made.chain.mine()
    assert isinstance(make_plan(await here.fork(), [everything]), InvalidPlan)
    await carried_out(service)
    done = await here.ended(intent)
    assert (done.status, json.loads(done.amounts or "")["is_exact"]) == ("reconciled", True)


async def test_a_strangers_liquidity_in_a_range_changes_nothing(here: Office) -> None:
    service = here.service(await here.transactor())
    await here.want(*WISH)
    await carried_out(service)
    chain = here.made.chain
    mint, owner = selector("mint(address,int24,int24,uint128,bytes)"), int(here.made.vault, 16)
    for r in (WIDE, NARROW):
        gift = words(owner, r.tick_lower, r.tick_upper, 7 * UNIT, 5 * 32, 0)
        await chain.send(chain.payer, "0x" + (mint + gift).hex())
    await chain.swap(True, 300 * UNIT)
    await chain.swap(False, 299 * UNIT)
    await here.pass_time()
    closed, kept = (await here.fork()).portfolio().holdings
    assert (closed.range, kept.range) == (WIDE, NARROW) and kept.fees0 > 0
    everything0 = (await here.fork()).idle0 + closed.amount0 + closed.fees0 + kept.fees0
    intent = await here.want(Desired(NARROW, kept.amount0, kept.amount1), Desired(ABOVE, everything0, 0))
    assert json.loads(intent.plan)["collect"] == [[-120, 180]]
    await carried_out(service)
    done = await here.ended(intent)
    assert (done.status, json.loads(done.amounts or "")["is_exact"]) == ("reconciled", True)


class WrongReader(VaultReader):
    """Believes in one token unit more than there is."""

    async def read(self, *arguments: Any, **named: Any) -> VaultReading:
        reading = await super().read(*arguments, **named)
        reading.fork.idle0 += 1
        return reading


def of_kind(kind: type[VaultReader], here: Office, reader: VaultReader) -> VaultReader:
    """Return the same reader with other habits."""
    made = kind(here.endpoints, reader.info, reader._adapter, READING)
    made._lens = reader._lens
    return made


async def test_where_node_and_simulator_differ_nothing_is_signed(here: Office) -> None:
    async def connect(pool: str, vault: str) -> VaultReader:
        return of_kind(WrongReader, here, await here.connect(pool, vault))

    intent = await here.want(*WISH)
    service = here.service(await here.transactor(), connect=connect)
    assert [await service.work() for _ in range(2)] == [True, False]
    done = await here.ended(intent)
    assert done.status == "refused" and done.guard.startswith("the node and the simulator differ: idle0 ")
    assert (await here.rebalances(), await here.store.get_transaction(intent.execution_id)) == (0, None)


async def refused(here: Office, intent: Any, status: str = "refused", **changes: Any) -> str:
    """Work on an intent that is refused; return why."""
    service = here.service(await here.transactor(), **changes)
    assert await service.work()
    done = await here.ended(intent)
    assert (done.status, await here.rebalances()) == (status, 0)
    assert here.facts[-1] == Refusal(intent.execution_id, done.guard)
    return done.guard


async def test_what_is_refused_is_told_why(here: Office) -> None:
    head = (await here.made.chain.head()).number
    old = await here.want(*WISH, effective_block=head - 31)
    assert await refused(here, old) == "the decision is 31 blocks old, at most 30"
    other = await here.intend(Plan((WIDE,), (), (), None, WISH[1:]))
    assert await refused(here, other) == "the vault holds other positions than the plan was made for"
    empty = Plan((), (), (), None, ())
    assert "malformed" in await refused(here, await here.intend(empty, plan_text="{}"))
    assert "no JSON" in await refused(here, await here.intend(empty, plan_text="{"))
    assert "keeps everything" in await refused(here, await here.intend(empty))
    tight = replace(here.bounds, plan=replace(here.bounds.plan, max_positions=1))
    assert await refused(here, await here.want(*WISH), REJECTED, bounds=tight) == "2 positions, at most 1"
    allowed = replace(here.bounds, live=replace(here.bounds.live, vaults=frozenset({here.made.chain.pool})))
    pool = await here.want(*WISH, vault=here.made.chain.pool)
    assert "no vault of ours" in await refused(here, pool, bounds=allowed)


async def test_the_vaults_own_refusal_is_told_before_anything_is_signed(here: Office) -> None:
    narrow = await here.want(Desired(Range(-60, 0), 0, UNIT))  # the vault's narrowest is two spacings
    loose = replace(here.bounds, plan=replace(here.bounds.plan, min_width_spacings=1))
    reason = await refused(here, narrow, REJECTED, bounds=loose)
    assert reason.startswith("the node refuses the call: ") and "too narrow" in reason


async def test_an_intent_that_is_withdrawn_while_it_is_prepared_is_left_alone(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of an intent and its writing down, and between that and the signature."""
    for name in ("plan_transactions", "note_simulated"):
        intent = await here.want(*WISH)
        really = getattr(Store, name)

        async def withdrawn(
            store: Store, *arguments: Any, _id: str = intent.round_id, _really: Any = really, **named: Any
        ) -> Any:
            await store.withdraw_intents(_id, "its round is over")
            return await _really(store, *arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(Store, name, withdrawn)
            await here.service(await here.transactor()).drain()
        assert ((await here.ended(intent)).status, await here.rebalances()) == ("expired", 0)


async def test_a_plan_waits_for_its_block(here: Office) -> None:
    head = (await here.made.chain.head()).number
    intent = await here.want(*WISH, effective_block=head + 3)
    service = here.service(await here.transactor())
    assert not await service.work()
    await here.made.chain.mine()
    await here.made.chain.mine()
    await carried_out(service)
    assert (await here.ended(intent)).status == "reconciled"


async def test_a_dry_run_says_what_it_would_do_once_and_changes_nothing(here: Office) -> None:
    intent, foreign = await here.want(*WISH), await here.want(*WISH, chain_id=CHAIN_ID + 1)
    paper = await here.want(*WISH, mode="paper")
    service = here.service(None)
    assert [await service.work() for _ in range(2)] == [False, False]
    [fact] = here.facts
    assert isinstance(fact, DryRun) and fact.execution_id == intent.execution_id
    assert [r for r, _ in fact.prepared.predicted.positions] == [WIDE, NARROW]
    assert [await here.ended(e) for e in (intent, foreign, paper)] == [intent, foreign, paper]
    assert await here.rebalances() == 0


async def test_while_halted_nothing_is_signed_and_after_it_the_same_intent_goes_on(here: Office) -> None:
    intent = await here.want(*WISH)
    service = here.service(await here.transactor())
    await here.store.set_halt(Halt(is_set=True, reason="a bad feeling"))
    assert [await service.work() for _ in range(2)] == [False, False]
    assert here.facts == [Waiting("halted: a bad feeling")]
    await here.store.set_halt(Halt(is_set=False))
    assert await service.work()
    await here.store.set_halt(Halt(is_set=True, reason="another"))
    assert not await service.work()
    assert (await here.rebalances(), (await here.ended(intent)).status) == (0, "planned")
    await here.store.set_halt(Halt(is_set=False))
    assert [await service.work() for _ in range(2)] == [True, False]
    assert (await here.rebalances(), (await here.ended(intent)).status) == (1, "reconciled")


async def test_another_process_finishes_what_one_began(here: Office) -> None:
    intent = await here.want(*WISH)
    assert await here.service(await here.transactor()).work()
    await here.service(await here.transactor()).drain()  # the same holder: a restart
    assert ((await here.ended(intent)).status, await here.rebalances()) == ("reconciled", 1)


class ForgetfulReader(VaultReader):
    """A node that has lost the state of all blocks but the latest."""

    async def read(self, header: Header, *, twap_s: int) -> VaultReading:
        if header != await self.header(None):
            raise ChainError("missing trie node", retryable=True)
        return await super().read(header, twap_s=twap_s)


async def test_state_that_no_node_has_any_more_is_not_waited_for(here: Office) -> None:
    """The clock mines while the chain is asked again: at first it may only lag, a hundred blocks later it is gone."""

    async def connect(pool: str, vault: str) -> VaultReader:
        return of_kind(ForgetfulReader, here, await here.connect(pool, vault))

    intent = await here.want(*WISH)
    await carried_out(here.service(await here.transactor(), connect=connect))
    done = await here.ended(intent)
    amounts = json.loads(done.amounts or "")
    assert (done.status, amounts["realised"], amounts["unread"]) == ("reconciled", None, "missing trie node")
    assert (await here.made.chain.head()).number == amounts["realised_block"] + 100


async def test_a_call_of_another_process_that_is_not_signed_is_made_anew(here: Office) -> None:
    """Its block's state may be gone, or this process have other options: nothing of it is needed any more."""

    async def connect(pool: str, vault: str) -> VaultReader:
        return of_kind(ForgetfulReader, here, await here.connect(pool, vault))

    intent = await here.want(*WISH)
    assert await here.service(await here.transactor()).work()
    first = await here.store.get_transaction(intent.execution_id)
    await here.pass_time()
    other = {"connect": connect, "bounds": replace(here.bounds, slack_ticks=31)}
    await here.service(await here.transactor(), **other).drain()
    assert ((await here.ended(intent)).status, await here.rebalances()) == ("reconciled", 1)
    second = await here.store.get_transaction(intent.execution_id)
    assert first is not None and second is not None and second.call.deadline >= first.call.deadline + 3600


async def test_a_call_of_another_process_that_is_signed_stays_what_it_is(here: Office) -> None:
    intent, transactor = await here.want(*WISH), await here.transactor()
    first = here.service(transactor)
    assert await first.work()
    while (signed := await transactor.step(intent.execution_id, first._check, now=NOW)).phase != "signed":
        pass
    assert not await here.store.forget_unsigned(intent.execution_id)
    await here.service(await here.transactor(), bounds=replace(here.bounds, slack_ticks=31)).drain()
    ended = await here.store.get_transaction(intent.execution_id)
    assert ended is not None and (ended.call, ended.phase) == (signed.call, "reconciled")


async def test_an_intent_that_is_changed_after_its_call_was_written_down_is_not_signed(here: Office) -> None:
    """Nor is the honest call of it: somebody is at work in the database."""
    changed = f"the intent is not as {VALIDATOR} signed it: signature does not verify"
    for validators, expected in ((None, ("reconciled", "allowed", 1)), ({VALIDATOR}, ("refused", changed, 1))):
        await here.pass_time()
        intent = await here.want(Desired(Range(-600, 600 + 60 * here.intents), UNIT, UNIT))
        service = here.service(await here.transactor(), validators=validators)
        assert await service.work()
        write(here, "update live_executions set hotkey = 'eve' where execution_id = ?", intent.execution_id)
        assert await service.work()
        done = await here.ended(intent)
        assert (done.status, done.guard, await here.rebalances()) == expected


async def test_what_was_decided_on_a_block_that_is_gone_is_put_off(here: Office) -> None:
    intent = await here.want(*WISH, decided_hash="0x" + "ab" * 32)
    service = here.service(await here.transactor())
    assert [await service.work() for _ in range(2)] == [False, False]
    put_off = f"{intent.execution_id} is put off: block {intent.decided_block}, at which it was decided, is another"
    assert here.facts == [Waiting(f"{put_off} one now")] and (await here.ended(intent)) == intent


def test_the_keeper_is_the_vaults() -> None:
    assert KEEPER.address.lower() == "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
