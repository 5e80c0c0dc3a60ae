"""The executor's transactions in the database. Each write is what must be durable before the next act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from db.rows import locked, to_values
from db.tables import Tables
from db.transaction import (
    IN_FLIGHT,
    PARTIAL,
    UNFINISHED,
    Attempt,
    Call,
    Halt,
    Phase,
    Receipt,
    Transaction,
    read_step_id,
    step_id,
)
from protocol.errors import StoreError

_CONTROL = "executor"  # the one row
_BEFORE: dict[Phase, tuple[Phase, ...]] = {
    "refused": ("planned", "simulated"),
    "expired": ("planned", "simulated"),
    "diverged": ("signed", "sent"),
    "cancelled": ("mined",),
    "reverted": ("mined",),
    "confirmed": ("mined",),
    "reconciled": ("confirmed",),
}


async def plan(tables: Tables, calls: Sequence[Call], *, amounts: str | None, now: int) -> list[Transaction]:
    """Write an intent's calls, in their order, and what it is predicted to come to, all or nothing; or return the
    transactions that are there for the same intent and ask for the same.
    """
    intent_id = calls[0].execution_id
    fresh = {"phase": "planned", "created_at": now, "updated_at": now}
    rows = [tables.transactions(**{**to_values(call), **fresh}) for call in calls]
    if await get(tables, intent_id) is None:  # what is there is never added to
        await tables.transactions.bulk_create(rows, ignore_conflicts=True)
    found = await of_intent(tables, intent_id)
    if [transaction.call for transaction in found] != list(calls):
        raise StoreError("this intent has another transaction already", execution_id=intent_id)
    if amounts is not None and all(transaction.phase == "planned" for transaction in found):
        intent = tables.live_executions.filter(execution_id=intent_id).exclude(status="expired")
        if not await intent.update(amounts=amounts):
            raise StoreError("this intent was withdrawn", execution_id=intent_id)
    return found


async def get(tables: Tables, execution_id: str) -> Transaction | None:
    """Return the transaction of an intent, or of a later step of one, or None."""
    row = await tables.transactions.get_or_none(execution_id=execution_id)
    return None if row is None else await _read(tables, row)


async def of_intent(tables: Tables, intent_id: str) -> list[Transaction]:
    """Return all transactions of an intent, in their order."""
    return [await _read(tables, row) for row in await _steps(tables, intent_id)]


async def forget_unsigned(tables: Tables, intent_id: str, *, now: int) -> bool:
    """Take back what was written down for an intent, unless a key has signed for it; return whether it was.

    The first call is signed before any other, so its lock is enough: whoever signs it at this moment does so before or
    finds nothing.
    """
    await locked(tables.transactions.filter(execution_id=intent_id)).first()
    steps = [row.execution_id for row in await _steps(tables, intent_id)]
    written = tables.transactions.filter(execution_id__in=steps)
    unsigned = written.filter(phase__in=("planned", "simulated"), nonce=None)
    has_attempts = await tables.transaction_attempts.filter(execution_id__in=steps).exists()
    if not steps or has_attempts or await unsigned.count() < len(steps):
        return False
    await written.delete()
    intent = tables.live_executions.filter(execution_id=intent_id, status__in=("planned", "simulated"))
    await intent.update(status="planned", amounts=None, updated_at=now)
    return True


async def unfinished(tables: Tables, chain_id: int, sender: str) -> list[Transaction]:
    """Return the key's transactions that have not ended: those with a nonce first, by nonce, then in order."""
    rows = await tables.transactions.filter(chain_id=chain_id, sender=sender, phase__in=UNFINISHED)
    ordered = sorted(rows, key=lambda r: (r.nonce is None, r.nonce or 0, r.created_at, read_step_id(r.execution_id)))
    return [await _read(tables, row) for row in ordered]


async def simulated(tables: Tables, execution_id: str, *, block: int, gas_limit: int, now: int) -> Transaction:
    """Note that a node carried the call out at a block, and the gas to allow it."""
    changes = {"phase": "simulated", "simulated_block": block, "gas_limit": gas_limit}
    return await _change(tables, execution_id, ("planned", "simulated"), changes, now=now)


async def signed(
    tables: Tables, execution_id: str, attempt: Attempt, *, nonce: int, fence: int, now: int
) -> Transaction:
    """Store signed bytes. StoreError where the nonce is not the key's next, the key is another's, or all is halted."""
    row = await _locked(tables, execution_id)
    halt = await read_halt(tables)
    if halt.is_set and attempt.purpose == "plan":
        raise StoreError(f"the executor is halted: {halt.reason}", execution_id=execution_id)
    key = await _key(tables, row.chain_id, row.sender)
    if key.fence != fence:
        raise StoreError("another executor has taken the key over", sender=row.sender)
    if row.nonce is None:
        intent_id, number = read_step_id(execution_id)
        if number and (await _locked(tables, step_id(intent_id, number - 1))).phase != "reconciled":
            raise StoreError("the step before this one is not done", execution_id=execution_id)
        others = await tables.transactions.filter(chain_id=row.chain_id, sender=row.sender, phase__in=IN_FLIGHT).count()
        if others or row.phase != "simulated" or (key.next_nonce is not None and nonce < key.next_nonce):
            raise StoreError("the key has a transaction in flight, or this nonce behind it", nonce=nonce)
        await _keys(tables, row.chain_id, row.sender).update(next_nonce=nonce + 1)
    elif row.nonce != nonce or row.phase not in IN_FLIGHT:
        raise StoreError("an attempt has the nonce of its transaction", nonce=nonce, execution_id=execution_id)
    await tables.transaction_attempts.create(
        **to_values(attempt), execution_id=execution_id, number=await _attempts(tables, execution_id).count()
    )
    phase = "signed" if row.nonce is None else row.phase
    return await _change(tables, execution_id, (row.phase,), {"phase": phase, "nonce": nonce}, now=now)


async def sent(tables: Tables, execution_id: str, tx_hash: str, *, now: int) -> Transaction:
    """Note that a node has taken the bytes, and when one first did: from then on they wait for a block."""
    attempt = _attempts(tables, execution_id).filter(tx_hash=tx_hash)
    await attempt.update(refusal="")
    await attempt.filter(sent_at=None).update(sent_at=now)
    return await _change(tables, execution_id, ("signed", "sent"), {"phase": "sent"}, now=now)


async def refused_bytes(tables: Tables, execution_id: str, tx_hash: str, refusal: str, *, now: int) -> Transaction:
    """Note that no node will ever take these bytes, and why."""
    await _attempts(tables, execution_id).filter(tx_hash=tx_hash).update(refusal=refusal)
    return await _change(tables, execution_id, ("signed", "sent"), {}, now=now)


async def settled(tables: Tables, execution_id: str, receipt: Receipt | None, *, now: int) -> Transaction:
    """Write down the receipt; None takes it back, and the transaction is under way again."""
    empty: dict[str, Any] = dict.fromkeys(_RECEIPT)
    found = empty if receipt is None else asdict(receipt)
    changes = {"phase": "sent" if receipt is None else "mined"} | {f"mined_{k}": v for k, v in found.items()}
    return await _change(tables, execution_id, ("signed", "sent", "mined", "confirmed"), changes, now=now)


async def finished(
    tables: Tables, execution_id: str, phase: Phase, reason: str, *, amounts: str | None, now: int
) -> Transaction:
    """Write down how it ended, or that it is confirmed or reconciled; amounts, and why it never was signed, go to the
    intent.
    """
    told = {"amounts": amounts} if amounts is not None else {}
    if phase in ("refused", "expired"):
        told["guard"] = reason
    if told:
        await tables.live_executions.filter(execution_id=read_step_id(execution_id)[0]).update(**told)
    if phase == "diverged":  # somebody else has the key: nothing more is signed until a person has looked
        await set_halt(tables, Halt(is_set=True, reason=f"{execution_id}: {reason}"), now=now)
    return await _change(tables, execution_id, _BEFORE[phase], {"phase": phase, "reason": reason}, now=now)


async def take_key(tables: Tables, chain_id: int, sender: str, holder: str, *, seconds: int, now: int) -> int | None:
    """Take or renew the right to sign with a key; return its fence, None while another's right lasts.

    The fence rises whenever the key changes hands: what the former holder still tries to sign is refused.
    """
    fresh = tables.executor_keys(chain_id=chain_id, sender=sender, fence=0, lease_holder=None, lease_until=0)
    await tables.executor_keys.bulk_create([fresh], ignore_conflicts=True)
    key = await _key(tables, chain_id, sender)
    is_same = key.lease_holder == holder
    if not is_same and key.lease_holder is not None and key.lease_until > now:
        return None
    fence: int = key.fence if is_same else key.fence + 1
    await _keys(tables, chain_id, sender).update(lease_holder=holder, lease_until=now + seconds, fence=fence)
    return fence


async def next_nonce(tables: Tables, chain_id: int, sender: str) -> int:
    """Return the nonce after the highest ever signed with the key here; 0 where none was."""
    key = await _keys(tables, chain_id, sender).first()
    return 0 if key is None or key.next_nonce is None else int(key.next_nonce)


async def read_halt(tables: Tables) -> Halt:
    """Return the kill switch."""
    row = await tables.executor_control.get_or_none(name=_CONTROL)
    return Halt(is_set=False) if row is None else Halt(row.is_halted, row.reason)


async def set_halt(tables: Tables, halt: Halt, *, now: int) -> None:
    """Set or clear the kill switch."""
    values = {"is_halted": halt.is_set, "reason": halt.reason, "updated_at": now}
    await tables.executor_control.update_or_create(name=_CONTROL, defaults=values)


_RECEIPT = ("tx_hash", "block_number", "block_hash", "succeeded", "gas_used", "fee_wei")


def _attempts(tables: Tables, execution_id: str) -> Any:
    return tables.transaction_attempts.filter(execution_id=execution_id)


def _keys(tables: Tables, chain_id: int, sender: str) -> Any:
    return tables.executor_keys.filter(chain_id=chain_id, sender=sender)


async def _key(tables: Tables, chain_id: int, sender: str) -> Any:
    key = await locked(_keys(tables, chain_id, sender)).first()
    if key is None:
        raise StoreError("nobody has taken the key", sender=sender)
    return key


async def _locked(tables: Tables, execution_id: str) -> Any:
    row = await locked(tables.transactions.filter(execution_id=execution_id)).first()
    if row is None:
        raise StoreError("no such transaction", execution_id=execution_id)
    return row


async def _change(
    tables: Tables, execution_id: str, before: tuple[Phase, ...], changes: dict[str, Any], *, now: int
) -> Transaction:
    """Change a transaction that is in one of these phases, and the intent with it: the outbox tells the validator."""
    row = await _locked(tables, execution_id)
    if row.phase not in before:
        raise StoreError(f"the transaction is {row.phase}, not {' or '.join(before)}", execution_id=execution_id)
    row.update_from_dict({**changes, "updated_at": now})
    await row.save()
    intent_id, _ = read_step_id(execution_id)
    told = {**_told(await _steps(tables, intent_id)), "updated_at": now}
    await tables.live_executions.filter(execution_id=intent_id).update(**told)
    return await _read(tables, row)


async def _steps(tables: Tables, intent_id: str) -> list[Any]:
    """Return the rows of an intent's transactions, in their order."""
    rows: list[Any] = []
    while (row := await tables.transactions.get_or_none(execution_id=step_id(intent_id, len(rows)))) is not None:
        rows.append(row)
    return rows


def _told(steps: Sequence[Any]) -> dict[str, Any]:
    """Return what an intent's transactions come to: of several, the last hash, all the gas, and how far they are."""
    mined = [row for row in steps if row.mined_tx_hash is not None]
    number, row = next(((n, r) for n, r in enumerate(steps) if r.phase != "reconciled"), (0, steps[-1]))
    status = row.phase
    if number and status in ("planned", "simulated"):
        status = "sent"  # it is under way
    elif number and status not in UNFINISHED:
        status = PARTIAL
    gas_used = sum(row.mined_gas_used for row in mined) if mined else None
    return {"status": status, "tx_hash": mined[-1].mined_tx_hash if mined else None, "gas_used": gas_used}


async def _read(tables: Tables, row: Any) -> Transaction:
    attempts = await _attempts(tables, row.execution_id).order_by("number")
    receipt = None
    if row.mined_tx_hash is not None:
        receipt = Receipt(**{name: getattr(row, f"mined_{name}") for name in _RECEIPT})
    return Transaction(
        call=Call(**{name: getattr(row, name) for name in Call.__dataclass_fields__}),
        phase=row.phase,
        reason=row.reason,
        nonce=row.nonce,
        gas_limit=row.gas_limit,
        simulated_block=row.simulated_block,
        attempts=tuple(Attempt(**{name: getattr(a, name) for name in Attempt.__dataclass_fields__}) for a in attempts),
        receipt=receipt,
    )
