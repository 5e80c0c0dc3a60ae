"""The executor's process: brings its transactions to their end, then takes the next intent; nothing else ever.

A start is the same loop as going on: what a killed process left is found in the database and on the chain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import TypeAlias

from db.records import REJECTED, Execution
from db.store import Store
from db.transaction import Transaction, read_step_id
from executor.approval import check_block, check_signature, read_plan
from executor.guards import Allowed, Refused, Verdict
from executor.live_guards import check_age, check_rest, check_vault
from executor.past import MOST_IN_A_DAY, past_of, read_amounts
from executor.preparation import Bounds, Prepared, Wish, prepare
from executor.price_source import PriceSource
from executor.reading import VaultReader, VaultReading
from executor.reconcile import predicted_amounts, realised_amounts, unread_amounts
from executor.rehearsal import Stage, rehearse
from executor.standing import difference, standing_of
from executor.transactor import Ordered, Transactor
from protocol.errors import ChainError, ConfigError, SimulationError, StoreError
from protocol.units import Hotkey
from simulator.chain import rpc
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.plan import Plan
from simulator.recorded import Clock

CHAIN = "chain"  # the mode of an intent that is to reach one
PLANNED = "planned"
_SIGNABLE = ("planned", "simulated", "signed", "sent")  # the phases in which a call may still be signed, or again
_REHEARSAL_S = 20.0
_KEPT_BLOCKS = 100  # whose state a node that is no archive still has
_HALTED, _SILENT, _BLIND = "halted", "silent", "blind"  # what is told once, beside what is told of an intent


@dataclass(frozen=True, slots=True)
class Refusal:
    """An intent that will not be carried out."""

    execution_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class DryRun:
    """A call that would be sent now."""

    execution_id: str
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Submitted:
    """A call that was written down, to be signed."""

    execution_id: str
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Ended:
    """A transaction that came to its end."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why nothing is done for now."""

    reason: str


Fact: TypeAlias = Refusal | DryRun | Submitted | Ended | Waiting
Connect: TypeAlias = Callable[[str, str], Awaitable[VaultReader]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the executor works with. Without a transactor it signs nothing and changes nothing: a dry run.

    Intents must be signed by one of `validators`; None takes whatever the database holds, and is for dry runs.
    `connect` returns the reader of (pool, vault); `now` is in unix seconds. While `prices` do not answer nothing is
    submitted, or all without that guard.
    """

    store: Store
    endpoints: Endpoints
    transactor: Transactor | None
    keeper: str
    validators: Set[Hotkey] | None
    bounds: Bounds
    connect: Connect
    observe: Callable[[Fact], None]
    clock: Clock
    now: Callable[[], int]
    prices: PriceSource | None = None
    waits_for_price: bool = True


class ExecutorService:
    """One key on one chain."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._readers: dict[tuple[str, str], VaultReader] = {}
        self._told: set[str] = set()

    async def run(self, *, poll_s: float) -> None:
        """Work until cancelled. A chain that does not answer is asked again."""
        while True:
            try:
                has_worked = await self.work()
                self._told.discard(_SILENT)
            except ChainError as error:
                if not error.retryable:
                    raise
                self._say(_SILENT, Waiting(str(error)))
                has_worked = False
            if not has_worked:
                await self._desk.clock.sleep(poll_s)

    async def drain(self) -> None:
        """Work until there is nothing to do for now."""
        while await self.work():
            pass

    async def work(self) -> bool:
        """Bring what was begun to its end, else take one intent. Return whether there was anything to do."""
        desk = self._desk
        halt = await desk.store.read_halt()
        if desk.transactor is not None:
            for transaction in await desk.transactor.unfinished():
                if halt.is_set and transaction.nonce is None:
                    continue
                return await self._finish(desk.transactor, transaction)
        if halt.is_set:
            self._say(_HALTED, Waiting(f"halted: {halt.reason}"))
            return False
        self._told.discard(_HALTED)
        for intent in await self._intents():
            if await self._take(intent):
                return True
        return False

    async def _intents(self) -> list[Execution]:
        """Return what is to be carried out here, oldest first."""
        planned = [e for e in await self._desk.store.executions(status=PLANNED) if e.mode == CHAIN]
        ours = [e for e in planned if e.chain_id == self._desk.endpoints.chain_id]
        ours.sort(key=lambda e: (e.effective_block, e.execution_id))
        fresh = [e for e in ours if e.execution_id not in self._told]
        return [e for e in fresh if await self._desk.store.get_transaction(e.execution_id) is None]

    async def _take(self, intent: Execution) -> bool:
        """Plan, guard, rehearse and submit an intent, or refuse it. Return False where it must wait."""
        prepared = await self._prepare(intent)
        if prepared is None:
            return False
        if isinstance(prepared, Refused) and prepared.is_passing:
            put_off = f"{intent.execution_id} is put off"
            return self._say(put_off, Waiting(f"{put_off}: {prepared.reason}"))
        if isinstance(prepared, Refused):
            return await self._refuse(intent, prepared)
        reading, call = prepared
        desk = self._desk
        if desk.transactor is None:
            return self._say(intent.execution_id, DryRun(intent.execution_id, call))
        amounts = predicted_amounts(call, reading.header)
        try:
            await desk.transactor.submit(intent.execution_id, _ordered(call), amounts=amounts)
        except StoreError as error:
            if not await self._is_withdrawn(intent.execution_id):
                raise
            desk.observe(Refusal(intent.execution_id, error.message))
            return True
        desk.observe(Submitted(intent.execution_id, call))
        return True

    async def _is_withdrawn(self, execution_id: str) -> bool:
        """Whether the validator has taken an intent back before anything was signed for it."""
        intent = await self._desk.store.get_execution(execution_id)
        return intent is None or intent.status == "expired"

    async def _prepare(
        self, intent: Execution, *, block: int | None = None
    ) -> tuple[VaultReading, Prepared] | Refused | None:
        """Return the call on the state of one block, on which simulator and node agree; None before its time."""
        bounds = self._desk.bounds
        allowed = check_vault(intent.vault, bounds.live)
        if isinstance(allowed, Refused):
            return allowed
        try:
            pool = await self._pool(intent)
            approved = check_signature(intent, pool, self._desk.validators)
            if isinstance(approved, Refused):
                return approved
            reader = await self._reader(pool, intent.vault)
            header = await reader.header(block)
            if header.number < intent.effective_block - 1:
                return None
            fresh = check_age(header.number - intent.effective_block, bounds.live)
            if isinstance(fresh, Refused):
                return fresh
            known = await _check_block(intent, reader)
            if isinstance(known, Refused):
                return known
            plan = read_plan(intent)
            wish = await self._wish(intent, plan, reader, header)
            if isinstance(wish, Refused):
                return wish
            reading = await reader.read(header, twap_s=bounds.live.twap_s)
            prepared = prepare(wish, reading, reader.adapter, bounds)
        except (ConfigError, SimulationError, rpc.Refused) as error:
            return Refused(str(error))
        if isinstance(prepared, Refused):
            return prepared
        stage = Stage(self._desk.keeper, intent.vault, reader.info, reading.listing.query.manager)
        found = await rehearse(self._desk.endpoints, header, stage, prepared.steps, deadline_s=_REHEARSAL_S)
        if isinstance(found, Refused):
            return found
        apart = difference(prepared.predicted, found.standing)
        if apart is not None:
            return Refused(f"the node and the simulator differ: {apart}")
        return reading, prepared

    async def _wish(self, intent: Execution, plan: Plan, reader: VaultReader, header: Header) -> Wish | Refused:
        """Return what is to be judged: the plan, what the vault's others came to, and what the price is elsewhere."""
        desk = self._desk
        past = past_of(await desk.store.executions(limit=MOST_IN_A_DAY), intent, now=desk.now())
        if not reader.adapter.guards_itself:
            rest = check_rest(desk.now() - past.last_at, desk.bounds.live)
            if isinstance(rest, Refused):
                return rest
        since_due_s: int | None = None
        if past.due_block is not None:  # both are looked at from the block before they take effect on
            since_due_s = header.timestamp - (await reader.header(past.due_block - 1)).timestamp
        price: int | None = None
        if desk.prices is not None:
            try:
                price = await desk.prices.sqrt_price_x96(reader.info)
                self._told.discard(_BLIND)
            except ChainError as error:
                if desk.waits_for_price:
                    return Refused(str(error), is_passing=True)
                self._say(_BLIND, Waiting(f"for nothing, but unguarded by it: {error}"))
        return Wish(
            execution_id=intent.execution_id,
            vault=intent.vault,
            plan=plan,
            effective_block=intent.effective_block,
            round=past.round,
            day=past.day,
            since_due_s=since_due_s,
            external_price_x96=price,
        )

    async def _refuse(self, intent: Execution, refused: Refused) -> bool:
        refusal = Refusal(intent.execution_id, refused.reason)
        if self._desk.transactor is None:
            return self._say(intent.execution_id, refusal)
        status = REJECTED if refused.is_plans else "refused"
        if not await self._is_withdrawn(intent.execution_id):
            await self._desk.store.update_execution(intent.execution_id, {"status": status, "guard": refused.reason})
        self._desk.observe(refusal)
        return True

    async def _finish(self, transactor: Transactor, transaction: Transaction) -> bool:
        execution_id = transaction.call.execution_id
        desk = self._desk

        def complain(words: str) -> None:
            self._say(f"{execution_id}: {words}", Waiting(f"{execution_id}: {words}"))

        if transaction.phase in _SIGNABLE and not transactor.vouches_for(transaction.call):
            if await self._is_forgotten(transactor, transaction):
                return True
            await self._recall(transactor, transaction)
        try:
            ended = await transactor.run(
                execution_id, self._check, objects=self._object, now=desk.now, clock=desk.clock, complain=complain
            )
        except StoreError:
            halt = await desk.store.read_halt()
            if await self._is_withdrawn(read_step_id(execution_id)[0]):
                return True
            if not halt.is_set:
                raise
            return self._say(_HALTED, Waiting(f"halted: {halt.reason}"))  # in flight, and nothing dearer is signed
        desk.observe(Ended(ended))
        return True

    async def _is_forgotten(self, transactor: Transactor, transaction: Transaction) -> bool:
        """Whether another process's call that no key has signed for was taken back: its intent is taken anew. What this
        process made, and is another call now, is not: somebody has changed it.
        """
        intent_id, number = read_step_id(transaction.call.execution_id)
        is_anothers = not number and not transactor.has_made(intent_id)
        return is_anothers and await self._desk.store.forget_unsigned(intent_id)

    async def _recall(self, transactor: Transactor, transaction: Transaction) -> None:
        """Vouch for what another process, or this one before a restart, wrote down: what the intent comes to once more,
        on the state of the block for which it was prepared. Where nobody knows that any more, nothing is vouched for.
        """
        call = transaction.call
        intent = await self._desk.store.get_execution(read_step_id(call.execution_id)[0])
        block = None if intent is None else read_amounts(intent.amounts).get("block")
        if intent is None or not isinstance(block, int):
            return
        try:
            prepared = await self._prepare(intent, block=block)
        except ChainError as error:
            if not error.retryable or transaction.nonce is not None:
                return
            head = await (await self._reader(await self._pool(intent), intent.vault)).header(None)
            if head.timestamp <= call.deadline:
                raise  # to be asked again
            return
        if isinstance(prepared, tuple):
            transactor.vouch(intent.execution_id, _ordered(prepared[1]))

    async def _check(self, transaction: Transaction) -> str:
        """Hold the vault at the end of the receipt's block against the prediction; return both as JSON text.

        What cannot be read is said to be so: a key whose call is on the chain must not wait for it for ever.
        """
        receipt, (intent_id, _) = transaction.receipt, read_step_id(transaction.call.execution_id)
        intent = await self._desk.store.get_execution(intent_id)
        if intent is None or receipt is None:
            raise StoreError("a confirmed transaction without its intent or receipt", execution_id=intent_id)
        try:
            reader = await self._reader(await self._pool(intent), intent.vault)
        except (ConfigError, rpc.Refused) as error:
            return unread_amounts(intent.amounts, receipt, str(error))
        header = await reader.header(receipt.block_number)
        if header.block_hash != receipt.block_hash:
            raise ChainError("the receipt's block is another one now", retryable=True, block=receipt.block_number)
        try:
            reading = await reader.read(header, twap_s=self._desk.bounds.live.twap_s)
        except (ConfigError, SimulationError, rpc.Refused) as error:
            return unread_amounts(intent.amounts, receipt, str(error))
        except ChainError as error:
            head = await reader.header(None)
            if head.number < receipt.block_number + _KEPT_BLOCKS:
                raise
            return unread_amounts(intent.amounts, receipt, str(error))
        return realised_amounts(intent.amounts, receipt, standing_of(reading.fork))

    async def _object(self, execution_id: str) -> str | None:
        """Return why nothing may be signed any more for a call that was written down: its intent was changed since."""
        intent = await self._desk.store.get_execution(read_step_id(execution_id)[0])
        if intent is None:
            return "its intent is gone"
        try:
            approved = check_signature(intent, await self._pool(intent), self._desk.validators)
        except ConfigError as error:
            return str(error)
        return approved.reason if isinstance(approved, Refused) else None

    async def _pool(self, intent: Execution) -> str:
        job = await self._desk.store.get_job(intent.job_id)
        if job is None:
            raise ConfigError(f"job {intent.job_id} is gone")
        return job.pair_address

    async def _reader(self, pool: str, vault: str) -> VaultReader:
        if (pool, vault) not in self._readers:
            self._readers[pool, vault] = await self._desk.connect(pool, vault)
        return self._readers[pool, vault]

    def _say(self, key: str, fact: Fact) -> bool:
        """Tell something that goes on, once. Return False: nothing has changed by it."""
        if key not in self._told:
            self._told.add(key)
            self._desk.observe(fact)
        return False


def _ordered(prepared: Prepared) -> list[Ordered]:
    """Return the calls as they are written down."""
    calls = zip(prepared.steps, prepared.deadlines_s, strict=True)
    return [Ordered(step.to, "0x" + step.data.hex(), deadline) for step, deadline in calls]


async def _check_block(intent: Execution, reader: VaultReader) -> Verdict:
    if intent.decided_block is None:
        return Allowed()
    return check_block(intent, (await reader.header(intent.decided_block)).block_hash)
