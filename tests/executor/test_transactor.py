"""The transactor on a real node: one call, one effect, whatever becomes of it on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.counter_chain import CHAIN_ID, COUNTER, SIGNER, STUBBORN, CounterChain, counter_chain
from support.rows import make_execution, open_round

from db.store import Store
from db.transaction import Attempt, Halt, Receipt, Transaction
from executor import steps
from executor.chain import TransactionChain
from executor.fees import FeePolicy
from executor.steps import Patience, Sight
from executor.transactor import Ordered, Settings, Transactor
from protocol.errors import ChainError, ConfigError, StoreError
from simulator.chain.endpoints import Endpoints

PATIENCE = Patience(confirmations=3, resubmit_s=8)
SETTINGS = Settings(FeePolicy(max_fee_wei=10**12), PATIENCE)


@dataclass(slots=True)
class Time:
    """Unix seconds, moved by hand."""

    now: int = 1_700_000_000


@dataclass(slots=True)
class Desk:
    """A transactor over a store and a chain, one intent, and a clock of its own."""

    chain: CounterChain
    store: Store
    transactor: Transactor
    time: Time

    async def submit(self, execution_id: str = "e1", to: str = COUNTER, *, seconds: int = 600) -> Transaction:
        call = Ordered(to, "0x", await self.chain.time() + seconds)
        return (await self.transactor.submit(execution_id, [call]))[0]

    async def step(self, execution_id: str = "e1", *, times: int = 1) -> Transaction:
        for _ in range(times):
            transaction = await self.transactor.step(execution_id, reconciled, now=self.time.now)
        return transaction

    async def until(self, phase: str, execution_id: str = "e1") -> Transaction:
        """Step until a phase; nothing is mined meanwhile."""
        for _ in range(10):
            transaction = await self.step(execution_id)
            if transaction.phase == phase:
                return transaction
        raise AssertionError(f"still {transaction.phase}, not {phase}")


async def reconciled(transaction: Transaction) -> str:
    return f'{{"nonce": {transaction.nonce}}}'


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path}/jobs.sqlite3"
    time = Time()
    async with counter_chain() as chain, await Store.open(url, create=True, clock=lambda: time.now) as store:
        nodes = Endpoints.over_http([chain.anvil.url], chain_id=CHAIN_ID)
        transactor = await Transactor.open(
            store, TransactionChain(nodes), SIGNER, chain_id=CHAIN_ID, holder="me", settings=SETTINGS
        )
        yield Desk(chain, store, transactor, time)
        await nodes.close()


async def test_a_call_goes_through_every_phase_and_its_intent_with_it(desk: Desk) -> None:
    start = await open_round(desk.store, 1, round_type="live")
    await desk.store.add_execution(make_execution(start, execution_id="e1"))
    phases = [(await desk.submit()).phase]
    phases += [(await desk.step()).phase for _ in range(3)]
    assert await desk.chain.waiting() == [(await desk.step()).attempts[0].tx_hash]
    await desk.chain.mine()
    phases += [(await desk.step()).phase for _ in range(2)]
    await desk.chain.mine(2)
    phases += [(await desk.step()).phase for _ in range(3)]
    assert phases == [
        *("planned", "simulated", "signed", "sent", "mined", "mined"),
        *("confirmed", *["reconciled"] * 2),
    ]
    assert (await desk.chain.count(), await desk.chain.nonce()) == (1, 1)
    [execution] = await desk.store.executions()
    transaction = await desk.step()
    assert transaction.receipt is not None and transaction.receipt.fee_wei > transaction.receipt.gas_used > 21_000
    assert (execution.status, execution.amounts) == ("reconciled", '{"nonce": 0}')
    assert (execution.tx_hash, execution.gas_used) == (transaction.receipt.tx_hash, transaction.receipt.gas_used)


async def test_the_same_intent_is_one_transaction_and_another_call_for_it_is_refused(desk: Desk) -> None:
    first = await desk.submit()
    assert await desk.store.plan_transactions([first.call]) == [first]
    with pytest.raises(StoreError, match="another transaction already"):
        await desk.submit(to=STUBBORN)


async def test_a_call_that_would_revert_is_refused_before_a_nonce_is_used(desk: Desk) -> None:
    await desk.submit(to=STUBBORN)
    transaction = await desk.step()
    assert (transaction.phase, transaction.nonce) == ("refused", None)
    assert transaction.reason.startswith("it would revert")


async def test_what_the_chain_undoes_is_told_and_its_nonce_is_spent(desk: Desk) -> None:
    await desk.chain.mine()  # the head is odd, where it works; the next block is even
    await desk.submit(to=STUBBORN)
    await desk.until("sent")
    await desk.chain.mine(3)
    transaction = await desk.until("reverted")
    assert transaction.receipt is not None and not transaction.receipt.succeeded
    await desk.submit("e2")
    assert (await desk.until("signed", "e2")).nonce == 1


async def test_what_nobody_mines_is_replaced_and_one_of_all_attempts_counts(desk: Desk) -> None:
    await desk.submit()
    await desk.until("sent")
    for _ in range(2):
        desk.time.now += PATIENCE.resubmit_s
        await desk.step(times=2)  # sign, send
    transaction = await desk.step()
    fees = [attempt.max_fee_wei for attempt in transaction.attempts]
    assert len(fees) == 3 and fees[1] * 10 >= fees[0] * 11 and fees[2] * 10 >= fees[1] * 11
    assert await desk.chain.waiting() == [transaction.attempts[-1].tx_hash]
    await desk.chain.mine(3)
    assert (await desk.until("confirmed")).mined_attempt == transaction.attempts[-1]
    assert (await desk.chain.count(), await desk.chain.nonce()) == (1, 1)


async def test_what_cannot_be_dearer_waits(desk: Desk, tmp_path: Path) -> None:
    await desk.submit()
    sent = await desk.until("sent")
    bound = sent.attempts[0].max_fee_wei
    desk.transactor._settings = Settings(FeePolicy(max_fee_wei=bound), PATIENCE)
    desk.time.now += PATIENCE.resubmit_s
    assert await desk.step() == sent
    await desk.chain.mine(3)
    await desk.until("confirmed")


async def test_gas_above_the_operators_bound_signs_nothing(desk: Desk) -> None:
    desk.transactor._settings = Settings(FeePolicy(max_fee_wei=1), PATIENCE)
    await desk.submit()
    with pytest.raises(ChainError, match="more than the operator allows") as caught:
        await desk.step(times=2)
    assert caught.value.retryable
    assert (await desk.store.get_transaction("e1") or await desk.submit()).phase == "simulated"


async def test_what_a_node_forgot_is_sent_again_as_it_was(desk: Desk) -> None:
    await desk.submit()
    [attempt] = (await desk.until("sent")).attempts
    await desk.chain.ask("anvil_dropTransaction", attempt.tx_hash)
    assert await desk.chain.waiting() == []
    [again] = (await desk.step()).attempts
    assert again.signed_bytes == attempt.signed_bytes
    assert await desk.chain.waiting() == [attempt.tx_hash]


async def test_a_deadline_that_passes_spends_the_nonce_on_nothing(desk: Desk) -> None:
    await desk.submit(seconds=100)
    [attempt] = (await desk.until("sent")).attempts
    await desk.chain.ask("anvil_dropTransaction", attempt.tx_hash)
    await desk.chain.ask("evm_increaseTime", 200)
    await desk.chain.mine()
    transaction = await desk.step(times=2)
    assert [a.purpose for a in transaction.attempts] == ["plan", "noop"]
    await desk.chain.mine(3)
    assert (await desk.until("cancelled")).nonce == 0
    assert (await desk.chain.count(), await desk.chain.nonce()) == (0, 1)


async def test_a_deadline_that_passes_before_signing_uses_no_nonce(desk: Desk) -> None:
    await desk.submit(seconds=100)
    await desk.step()
    await desk.chain.ask("evm_increaseTime", 200)
    await desk.chain.mine()
    assert ((await desk.step()).phase, await desk.store.next_nonce(CHAIN_ID, SIGNER.address)) == ("expired", 0)


async def test_a_block_taken_back_takes_the_receipt_back_and_the_call_goes_out_again(desk: Desk) -> None:
    await desk.submit()
    sent = await desk.until("sent")
    await desk.chain.mine()
    await desk.until("mined")
    await desk.chain.ask("anvil_reorg", 1, [])
    assert await desk.chain.count() == 0
    transaction = await desk.step()
    assert (transaction.phase, transaction.receipt) == ("sent", None)
    await desk.step()
    assert await desk.chain.waiting() == [sent.attempts[0].tx_hash]
    await desk.chain.mine(3)
    await desk.until("confirmed")
    assert (await desk.chain.count(), await desk.chain.nonce()) == (1, 1)


async def test_without_looking_at_the_block_again_a_reorg_loses_the_call_unnoticed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss that the second look prevents."""

    def believing(transaction: Transaction, sight: Sight) -> Receipt | None:
        return transaction.receipt or looking(transaction, sight)

    looking = steps._receipt
    monkeypatch.setattr(steps, "_receipt", believing)
    await desk.submit()
    await desk.until("sent")
    await desk.chain.mine()
    await desk.until("mined")
    await desk.chain.ask("anvil_reorg", 1, [])
    for hash_of_ours in await desk.chain.waiting():
        await desk.chain.ask("anvil_dropTransaction", hash_of_ours)
    await desk.chain.mine(2)
    await desk.until("reconciled")
    assert await desk.chain.count() == 0


async def test_without_asking_for_what_was_sent_a_forgotten_call_waits_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss that sending again prevents: until its deadline nothing happens, and then it is too late."""

    async def trusting(sender: str, attempts: Sequence[Attempt], patience: Patience) -> Sight:
        seen = await see(sender, attempts, patience)
        return replace(seen, pending=frozenset(a.tx_hash for a in attempts))

    see = desk.transactor._chain.see
    monkeypatch.setattr(desk.transactor._chain, "see", trusting)
    await desk.submit()
    [attempt] = (await desk.until("sent")).attempts
    await desk.chain.ask("anvil_dropTransaction", attempt.tx_hash)
    for _ in range(5):
        assert (await desk.step()).attempts == (attempt,)
        await desk.chain.mine()
    assert (await desk.chain.count(), await desk.chain.waiting()) == (0, [])


async def test_a_nonce_used_elsewhere_stops_the_transaction(desk: Desk) -> None:
    await desk.submit()
    [attempt] = (await desk.until("sent")).attempts
    await desk.chain.ask("anvil_dropTransaction", attempt.tx_hash)
    await desk.chain.ask("anvil_setNonce", SIGNER.address, "0x1")
    await desk.chain.mine(1)
    assert (await desk.step()).phase == "sent", "not before it is deep enough"
    await desk.chain.mine(2)
    assert [(await desk.step()).phase for _ in range(3)] == ["sent", "sent", "diverged"], "looked at three times"
    halt = await desk.store.read_halt()
    assert halt.is_set and halt.reason.startswith("e1: nonce 0 was used by a transaction that is not ours")


async def test_nothing_new_is_signed_while_halted_and_a_cancellation_is(desk: Desk) -> None:
    await desk.submit()
    await desk.step()
    await desk.store.set_halt(Halt(is_set=True, reason="a person said so"))
    with pytest.raises(StoreError, match="halted: a person said so"):
        await desk.step()
    assert await desk.store.next_nonce(CHAIN_ID, SIGNER.address) == 0
    await desk.store.set_halt(Halt(is_set=False))
    await desk.until("sent")
    await desk.store.set_halt(Halt(is_set=True, reason="again"))
    await desk.chain.ask("evm_increaseTime", 700)
    await desk.chain.ask("anvil_dropTransaction", (await desk.step()).attempts[0].tx_hash)
    await desk.chain.mine()
    assert [a.purpose for a in (await desk.step()).attempts] == ["plan", "noop"]


async def test_a_key_has_one_executor_and_what_a_former_one_signs_is_not_stored(desk: Desk) -> None:
    await desk.submit()
    await desk.step()
    nodes = Endpoints.over_http([desk.chain.anvil.url], chain_id=CHAIN_ID)
    chain, other = TransactionChain(nodes), Settings(FeePolicy(max_fee_wei=10**12), PATIENCE, lease_s=0)
    with pytest.raises(ConfigError, match="another executor signs"):
        await Transactor.open(desk.store, chain, SIGNER, chain_id=CHAIN_ID, holder="you", settings=other)
    former = desk.transactor._fence
    await desk.store.take_key(CHAIN_ID, SIGNER.address, "me", seconds=-1)
    await Transactor.open(desk.store, chain, SIGNER, chain_id=CHAIN_ID, holder="you", settings=other)
    transaction = await desk.store.get_transaction("e1")
    assert transaction is not None
    attempt = (await desk.until("signed")).attempts[0]  # the lease of the other had no length: taken back
    with pytest.raises(StoreError, match="taken the key over"):
        await desk.store.add_attempt("e1", attempt, nonce=0, fence=former)
    await nodes.close()


async def test_one_nonce_at_a_time(desk: Desk) -> None:
    await desk.submit("e1")
    await desk.submit("e2")
    await desk.until("sent", "e1")
    await desk.step("e2")
    with pytest.raises(StoreError, match="in flight"):
        await desk.step("e2")
    assert [t.call.execution_id for t in await desk.transactor.unfinished()] == ["e1", "e2"]
