"""Brings an intent's call to its end on the chain, whatever happens on the way.

The order of every step is: look, decide (`executor.steps`), write down, act. What was written and not acted on, or
acted on and not answered, is found again by the next look; so a restart is nothing but another look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from db.store import Store
from db.transaction import UNFINISHED, Attempt, Call, Purpose, Transaction, read_step_id, step_id
from executor.chain import Reverted, TransactionChain
from executor.fees import FeePolicy, Fees, bump, suggest
from executor.keys import Signer
from executor.send_errors import SendVerdict
from executor.steps import Finish, Patience, Reconcile, Send, Settle, Sign, Simulate, Wait, next_step
from protocol.errors import ChainError, ConfigError, StoreError
from simulator.recorded import Clock

_NOOP_GAS = 21_000
_SPARE_GAS = (12, 10)  # the limit over the estimate: state may change until the block

Checker = Callable[[Transaction], Awaitable[str]]
Objector = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the transactor behaves. `lease_s` is how long the key stays ours after we were last heard of."""

    fees: FeePolicy
    patience: Patience = field(default_factory=Patience)
    poll_s: float = 1.0
    lease_s: int = 60


@dataclass(frozen=True, slots=True)
class Ordered:
    """A call that is to be made: to whom (nobody: a new contract), with which data, until which second."""

    to: str
    data: str
    deadline: int


async def nobody_objects(_: str) -> str | None:
    """The objector of calls that come from no intent."""
    return None


class Transactor:
    """The only writer of one key on one chain. Made by `open`."""

    def __init__(
        self, store: Store, chain: TransactionChain, signer: Signer, chain_id: int, holder: str, settings: Settings
    ) -> None:
        self._store = store
        self._chain = chain
        self._signer = signer
        self._chain_id = chain_id
        self._holder = holder
        self._settings = settings
        self._fence = 0
        self._doubts = 0
        self._vouched: dict[str, Call] = {}

    @classmethod
    async def open(
        cls, store: Store, chain: TransactionChain, signer: Signer, *, chain_id: int, holder: str, settings: Settings
    ) -> Transactor:
        """Take the key. Raises ConfigError while another executor has it."""
        transactor = cls(store, chain, signer, chain_id, holder, settings)
        await transactor._keep_key()
        return transactor

    async def submit(
        self, execution_id: str, calls: Sequence[Ordered], *, amounts: str | None = None
    ) -> list[Transaction]:
        """Write an intent's calls down in their order, and what it is predicted to come to. The same again returns what
        became of them; others are a StoreError.
        """
        steps = self.vouch(execution_id, calls)
        return await self._store.plan_transactions(steps, amounts=amounts)

    def vouch(self, execution_id: str, calls: Sequence[Ordered]) -> list[Call]:
        """Let an intent's calls be signed, and return them. Without this none is, whatever the database holds: who can
        write there cannot have the key sign what he likes.
        """
        sender, chain_id = self._signer.address, self._chain_id
        steps = [
            Call(step_id(execution_id, number), chain_id, sender, call.to, call.data, call.deadline)
            for number, call in enumerate(calls)
        ]
        self._vouched |= {step.execution_id: step for step in steps}
        return steps

    def vouches_for(self, call: Call) -> bool:
        """Whether a call may be signed."""
        return self._vouched.get(call.execution_id) == call

    def has_made(self, execution_id: str) -> bool:
        """Whether this process has vouched for a call of this name, whatever the database now says of it."""
        return execution_id in self._vouched

    async def unfinished(self) -> list[Transaction]:
        """Return what has not ended, in the order in which it must be brought to its end."""
        return await self._store.unfinished_transactions(self._chain_id, self._signer.address)

    async def run(
        self,
        execution_id: str,
        check: Checker,
        *,
        objects: Objector = nobody_objects,
        now: Callable[[], int],
        clock: Clock,
        tell: Callable[[Transaction], None] = lambda _: None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> Transaction:
        """Step until the transaction has ended, and tell what it is after each. A chain that does not answer is asked
        again; what keeps a step from being taken is complained of.
        """
        while True:
            before = await self._read(execution_id)
            try:
                after = await self.step(execution_id, check, objects=objects, now=now())
            except ChainError as error:
                if not error.retryable:
                    raise
                complain(str(error))
                after = before
            tell(after)
            if _has_ended(after):
                self._vouched.pop(execution_id, None)
                return after
            if after == before:
                await clock.sleep(self._settings.poll_s)

    async def step(
        self, execution_id: str, check: Checker, *, objects: Objector = nobody_objects, now: int
    ) -> Transaction:
        """Take one step and return the transaction after it. `check` reconciles: it returns amounts as JSON text.

        `objects` is asked before each signature: it returns why there must be none.
        """
        await self._keep_key()
        transaction = await self._read(execution_id)
        missing = await self._missing_before(transaction)
        if missing is not None:
            return await self._store.finish_transaction(execution_id, "refused", missing)
        patience = self._settings.patience
        sight = await self._chain.see(self._signer.address, transaction.attempts, patience)
        step = next_step(transaction, sight, patience, now=now)
        is_foreign = isinstance(step, Finish) and step.phase == "diverged"
        self._doubts = self._doubts + 1 if is_foreign else 0
        if is_foreign and self._doubts < patience.doubts:
            return transaction  # the nodes may tell of different heads; look again before all is stopped
        match step:
            case Simulate():
                return await self._simulate(transaction)
            case Sign(purpose):
                return await self._sign(transaction, purpose, objects)
            case Send(attempt):
                return await self._send(transaction, attempt, objects)
            case Settle(receipt):
                return await self._store.note_receipt(execution_id, receipt)
            case Finish(phase, reason):
                return await self._store.finish_transaction(execution_id, phase, reason)
            case Reconcile():
                amounts = await check(transaction)
                return await self._store.finish_transaction(execution_id, "reconciled", amounts=amounts)
            case Wait():
                return transaction

    async def _missing_before(self, transaction: Transaction) -> str | None:
        """Return why a step that is not signed will never be: the one before it has ended, and not well."""
        intent_id, number = read_step_id(transaction.call.execution_id)
        if not number or transaction.nonce is not None:
            return None
        before = await self._read(step_id(intent_id, number - 1))
        is_over = before.phase not in UNFINISHED and before.phase != "reconciled"
        return f"the step before it is {before.phase}: {before.reason}" if is_over else None

    async def _simulate(self, transaction: Transaction) -> Transaction:
        execution_id = transaction.call.execution_id
        found = await self._chain.simulate(transaction.call)
        if isinstance(found, Reverted):
            return await self._store.finish_transaction(execution_id, "refused", f"it would revert: {found.reason}")
        limit = found.gas * _SPARE_GAS[0] // _SPARE_GAS[1]
        return await self._store.note_simulated(execution_id, block=found.block_number, gas_limit=limit)

    async def _sign(self, transaction: Transaction, purpose: Purpose, objects: Objector) -> Transaction:
        """Sign and store; nothing is sent yet. Where a dearer attempt is forbidden, the last one stays."""
        objection = None if purpose == "noop" else await self._objection(transaction.call, objects)
        if objection is not None and not transaction.attempts:
            return await self._store.finish_transaction(transaction.call.execution_id, "refused", objection)
        fees = await self._fees(transaction, purpose) if objection is None else None
        if fees is None and transaction.attempts:
            last = transaction.attempts[-1]
            if last.purpose == purpose:
                await self._chain.send(last)  # nodes may have dropped it
                return transaction
        if fees is None:
            raise ChainError("gas costs more than the operator allows", retryable=True, sender=self._signer.address)
        nonce = await self._nonce() if transaction.nonce is None else transaction.nonce
        signed = await self._signer.sign(self._fields(transaction, purpose, nonce, fees))
        attempt = Attempt(signed.tx_hash, purpose, signed.signed_bytes, fees.max_fee_wei, fees.tip_wei)
        execution_id = transaction.call.execution_id
        return await self._store.add_attempt(execution_id, attempt, nonce=nonce, fence=self._fence)

    async def _objection(self, call: Call, objects: Objector) -> str | None:
        """Return why a call must not be signed, or None."""
        why = await objects(call.execution_id)
        return "its call is not what the intent comes to" if why is None and not self.vouches_for(call) else why

    async def _fees(self, transaction: Transaction, purpose: Purpose) -> Fees | None:
        """Return what to pay for gas, None where that is more than the operator allows."""
        policy, prices = self._settings.fees, await self._chain.prices()
        if transaction.attempts:
            last = transaction.attempts[-1]
            fees = bump(Fees(last.max_fee_wei, last.tip_wei), prices.base_fee_wei, prices.tip_wei, policy)
        else:
            fees = suggest(prices.base_fee_wei, prices.tip_wei, policy)
        if fees is None or policy.max_cost_wei is None or purpose == "noop" or transaction.gas_limit is None:
            return fees
        cost_wei = transaction.gas_limit * fees.max_fee_wei + await self._chain.data_fee(transaction.call.data)
        return fees if cost_wei <= policy.max_cost_wei else None

    async def _nonce(self) -> int:
        """Return the next nonce: ours is ahead of the chain's while a block with one of ours is being taken back."""
        ours = await self._store.next_nonce(self._chain_id, self._signer.address)
        return max(ours, await self._chain.nonce(self._signer.address))

    def _fields(self, transaction: Transaction, purpose: Purpose, nonce: int, fees: Fees) -> dict[str, Any]:
        call, is_noop = transaction.call, purpose == "noop"
        if transaction.gas_limit is None:
            raise StoreError("a transaction is to be signed that was not simulated", execution_id=call.execution_id)
        return {
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": _NOOP_GAS if is_noop else transaction.gas_limit,
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.tip_wei,
            "to": self._signer.address if is_noop else call.to,
            "value": 0,
            "data": "0x" if is_noop else call.data,
        }

    async def _send(self, transaction: Transaction, attempt: Attempt, objects: Objector) -> Transaction:
        execution_id = transaction.call.execution_id
        verdict, words = await self._chain.send(attempt)
        match verdict:
            case SendVerdict.ACCEPTED:
                return await self._store.note_sent(execution_id, attempt.tx_hash)
            case SendVerdict.BUMP:
                return await self._sign(transaction, attempt.purpose, objects)
            case SendVerdict.FATAL:
                return await self._store.note_refusal(execution_id, attempt.tx_hash, words)
            case SendVerdict.FUNDS:
                raise ChainError(
                    f"the key cannot pay for its gas: {words}", retryable=True, sender=self._signer.address
                )
            case SendVerdict.NONCE | SendVerdict.UNKNOWN:
                return transaction  # the next look tells

    async def _read(self, execution_id: str) -> Transaction:
        transaction = await self._store.get_transaction(execution_id)
        if transaction is None:
            raise StoreError("no such transaction", execution_id=execution_id)
        return transaction

    async def _keep_key(self) -> None:
        address = self._signer.address
        fence = await self._store.take_key(self._chain_id, address, self._holder, seconds=self._settings.lease_s)
        if fence is None:
            raise ConfigError(f"another executor signs with {address}; stop it, or wait until its lease has run out")
        self._fence = fence


def _has_ended(transaction: Transaction) -> bool:
    return transaction.phase in ("reconciled", "refused", "expired", "cancelled", "reverted", "diverged")
