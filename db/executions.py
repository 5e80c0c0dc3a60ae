"""Intents, executions and weight settings in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db.records import Execution, WeightSet
from db.rows import locked, to_record, to_values
from db.tables import Tables
from protocol.errors import StoreError
from protocol.units import JobId, RoundId

_CHANGEABLE = frozenset({"status", "guard", "mode", "tx_hash", "gas_used", "amounts", "effective_block"})


async def add(tables: Tables, execution: Execution, *, now: int) -> Execution:
    """Write an intent, or return the one that is there for the same checkpoint with the same payload."""
    row = tables.live_executions(**{**to_values(execution), "created_at": now, "updated_at": now})
    # The key decides, not a look beforehand: of two writers at once exactly one inserts.
    await tables.live_executions.bulk_create([row], ignore_conflicts=True)
    found = await tables.live_executions.get_or_none(
        chain_id=execution.chain_id,
        vault=execution.vault,
        job_id=execution.job_id,
        round_id=execution.round_id,
        checkpoint_index=execution.checkpoint_index,
    )
    if found is None:
        raise StoreError("the execution id belongs to another intent", execution_id=execution.execution_id)
    if found.payload_digest != execution.payload_digest:
        where = {"execution_id": found.execution_id, "round_id": execution.round_id}
        raise StoreError("this checkpoint has another intent already", **where)
    return to_record(Execution, found)


async def update(tables: Tables, execution_id: str, changes: Mapping[str, Any], *, now: int) -> Execution:
    """Record how an execution goes on."""
    unknown = set(changes) - _CHANGEABLE
    if unknown:
        raise StoreError(f"an execution's {min(unknown)} never changes", execution_id=execution_id)
    row = await locked(tables.live_executions.filter(execution_id=execution_id)).first()
    if row is None:
        raise StoreError("no such execution", execution_id=execution_id)
    row.update_from_dict({**changes, "updated_at": now})
    await row.save()
    return to_record(Execution, row)


async def get(tables: Tables, execution_id: str) -> Execution | None:
    """Return an execution, or None."""
    row = await tables.live_executions.get_or_none(execution_id=execution_id)
    return None if row is None else to_record(Execution, row)


async def all_of(
    tables: Tables, job_id: JobId | None, *, status: str | None, since: int, limit: int
) -> list[Execution]:
    """Return executions written since then, newest first."""
    rows = tables.live_executions.filter(created_at__gte=since)
    if job_id is not None:
        rows = rows.filter(job_id=job_id)
    if status is not None:
        rows = rows.filter(status=status)
    ordered = rows.order_by("-created_at", "-effective_block", "execution_id").limit(limit)
    return [to_record(Execution, row) for row in await ordered]


async def of_round(tables: Tables, round_id: RoundId) -> list[Execution]:
    """Return a round's executions, by checkpoint."""
    rows = await tables.live_executions.filter(round_id=round_id).order_by("checkpoint_index")
    return [to_record(Execution, row) for row in rows]


async def withdraw(
    tables: Tables, round_id: RoundId, *, reason: str, now: int, after_checkpoint: int = -1
) -> list[str]:
    """Let intents of later checkpoints expire that no key has signed for; return their ids.

    A call is locked before its intent, as by the executor: of the two one comes first, and what it signs is followed.
    """
    later = tables.live_executions.filter(round_id=round_id, checkpoint_index__gt=after_checkpoint, mode="chain")
    withdrawn = []
    for intent in await later.filter(status__in=("planned", "simulated")):
        of_it = {"execution_id": intent.execution_id}
        call = await locked(tables.transactions.filter(**of_it)).first()
        await locked(tables.live_executions.filter(**of_it)).first()
        if call is None and await tables.transactions.filter(**of_it).exists():
            continue  # written down just now: its maker goes on with it
        if call is not None and call.phase not in ("planned", "simulated"):
            continue
        await tables.transactions.filter(**of_it).update(phase="expired", reason=reason, updated_at=now)
        await tables.live_executions.filter(**of_it).update(status="expired", guard=reason, updated_at=now)
        withdrawn.append(intent.execution_id)
    return withdrawn


async def add_weight_set(tables: Tables, weight_set: WeightSet, *, now: int) -> None:
    """Record an attempt to set weights."""
    await tables.weight_sets.create(**{**to_values(weight_set), "created_at": now})


async def last_weight_set(tables: Tables, netuid: int, *, included_only: bool) -> WeightSet | None:
    """Return the latest attempt, or the latest that the chain took."""
    rows = tables.weight_sets.filter(netuid=netuid)
    if included_only:
        rows = rows.filter(included=True)
    row = await rows.order_by("-id").first()
    return None if row is None else to_record(WeightSet, row)
