"""Rounds in the database: opening them, what was asked in them, and reading them back."""

from __future__ import annotations

from collections.abc import Iterable

from tortoise.exceptions import IntegrityError

from db import executions, jobs
from db.models import RoundRow
from db.records import Evidence, Prediction, Round, RoundScore, RoundStart, RoundType, ScoreEntry
from db.rows import locked, to_record, to_values
from db.tables import Tables
from protocol.errors import StoreError
from protocol.units import Hotkey, JobId, RoundId, Uid


async def start(tables: Tables, round_start: RoundStart, *, now: int) -> None:
    """Open a round of a job."""
    row = await jobs.lock(tables, round_start.job_id)
    if row.removed_at is not None:
        raise StoreError("the job was removed", job_id=round_start.job_id)
    try:
        await tables.rounds.create(**to_values(round_start), status="active", reason="", opened_at=now)
    except IntegrityError as error:
        where = {"round_id": round_start.round_id, "number": round_start.round_number, "type": round_start.round_type}
        raise StoreError("the round exists already", **where) from error


async def add_predictions(tables: Tables, predictions: Iterable[Prediction]) -> None:
    """Write what was asked and answered. What is there already stays as it is."""
    # In one order everywhere: two writers of the same rows would otherwise wait for each other.
    ordered = sorted(predictions, key=lambda p: (p.round_id, p.checkpoint_index, p.hotkey))
    if ordered:
        rows = [tables.predictions(**to_values(prediction)) for prediction in ordered]
        await tables.predictions.bulk_create(rows, ignore_conflicts=True)


async def take_back(tables: Tables, round_id: RoundId, *, after_checkpoint: int, now: int) -> None:
    """Delete what was asked, and planned and not signed, at later checkpoints of an active round: their blocks are
    gone.
    """
    row = await lock(tables, round_id)
    if row.status != "active":
        raise StoreError("only an active round takes answers back", round_id=round_id)
    gone = {"round_id": round_id, "checkpoint_index__gt": after_checkpoint}
    await tables.predictions.filter(**gone).delete()
    await tables.live_executions.filter(**gone, mode="paper").delete()
    reason = "the chain took back the block that it was about"
    unsigned = await executions.withdraw(tables, round_id, after_checkpoint=after_checkpoint, reason=reason, now=now)
    await tables.transactions.filter(execution_id__in=unsigned).delete()
    await tables.live_executions.filter(execution_id__in=unsigned).delete()  # what was signed is followed to its end


async def void(tables: Tables, round_id: RoundId, reason: str, *, end_block: int | None, now: int) -> None:
    """End a round without a result: nobody's score moves. Voiding it again changes nothing."""
    row = await lock(tables, round_id)
    if row.status == "completed":
        raise StoreError("a completed round cannot be voided", round_id=round_id)
    if row.status == "active":
        row.update_from_dict({"status": "inconclusive", "reason": reason, "end_block": end_block, "closed_at": now})
        await row.save()
        await executions.withdraw(tables, round_id, reason=f"its round is inconclusive: {reason}", now=now)


async def lock(tables: Tables, round_id: RoundId) -> RoundRow:
    """Lock a round until the transaction ends."""
    row = await locked(tables.rounds.filter(round_id=round_id)).first()
    if row is None:
        raise StoreError("no such round", round_id=round_id)
    return row


async def get(tables: Tables, round_id: RoundId) -> Round | None:
    """Return a round, or None."""
    row = await tables.rounds.get_or_none(round_id=round_id)
    return None if row is None else to_record(Round, row)


async def open_rounds(tables: Tables, job_id: JobId | None) -> list[Round]:
    """Return the active rounds, oldest first: after a crash those to resume or void."""
    rows = tables.rounds.filter(status="active")
    if job_id is not None:
        rows = rows.filter(job_id=job_id)
    return [to_record(Round, row) for row in await rows.order_by("opened_at", "round_id")]


async def next_number(tables: Tables, job_id: JobId, round_type: RoundType) -> int:
    """Return the number after the highest ever used, from 1."""
    row = await tables.rounds.filter(job_id=job_id, round_type=round_type).order_by("-round_number").first()
    return 1 if row is None else row.round_number + 1


async def last(tables: Tables, job_id: JobId, round_type: RoundType, *, completed_only: bool) -> Round | None:
    """Return the round with the highest number."""
    rows = tables.rounds.filter(job_id=job_id, round_type=round_type)
    if completed_only:
        rows = rows.filter(status="completed")
    row = await rows.order_by("-round_number").first()
    return None if row is None else to_record(Round, row)


async def history(tables: Tables, job_id: JobId, *, limit: int) -> list[Round]:
    """Return the latest rounds, newest first."""
    rows = await tables.rounds.filter(job_id=job_id).order_by("-opened_at", "-round_number", "round_type").limit(limit)
    return [to_record(Round, row) for row in rows]


async def last_block(tables: Tables, job_id: JobId) -> int | None:
    """Return where the latest closed evaluation of this job ended, to go on from there."""
    # The latest, not the highest: a recorded market may have begun anew. A live round runs beside an evaluation.
    closed = tables.rounds.filter(job_id=job_id, round_type="evaluation", closed_at__isnull=False)
    row = await closed.order_by("-round_number").first()
    if row is None:
        return None
    return row.start_block if row.end_block is None else row.end_block


async def scores(tables: Tables, round_id: RoundId) -> list[RoundScore]:
    """Return a round's scores, by hotkey."""
    rows = await tables.round_scores.filter(round_id=round_id).order_by("hotkey")
    return [to_record(RoundScore, row) for row in rows]


async def predictions(tables: Tables, round_id: RoundId) -> list[Prediction]:
    """Return what was asked in a round, by checkpoint and hotkey."""
    rows = await tables.predictions.filter(round_id=round_id).order_by("checkpoint_index", "hotkey")
    return [to_record(Prediction, row) for row in rows]


async def evidence(tables: Tables, round_id: RoundId) -> Evidence | None:
    """Return the evidence of a completed round, or None."""
    row = await tables.round_evidence.get_or_none(round_id=round_id)
    return None if row is None else to_record(Evidence, row)


async def score_history(
    tables: Tables, job_id: JobId, round_type: RoundType, *, last_rounds: int | None
) -> list[ScoreEntry]:
    """Return the scores of a job's completed rounds, by round and hotkey; only of the `last_rounds` if given."""
    completed = tables.rounds.filter(job_id=job_id, round_type=round_type, status="completed").order_by("-round_number")
    if last_rounds is not None:
        completed = completed.limit(last_rounds)
    numbers: dict[RoundId, int] = dict(await completed.values_list("round_id", "round_number"))
    rows = tables.round_scores.filter(round__job_id=job_id, round__round_type=round_type, round__status="completed")
    if numbers and last_rounds is not None:
        rows = rows.filter(round__round_number__gte=min(numbers.values()))
    columns = ("round_id", "hotkey", "uid", "scored", "score_e18", "is_winner", "registered_at_block")
    entries = [
        ScoreEntry(
            round_id=round_id,
            round_number=numbers[round_id],
            hotkey=Hotkey(hotkey),
            uid=Uid(uid),
            scored=scored,
            score_e18=score_e18,
            is_winner=is_winner,
            registered_at_block=registered,
        )
        for round_id, hotkey, uid, scored, score_e18, is_winner, registered in await rows.values_list(*columns)
        if round_id in numbers  # completed since the first query
    ]
    return sorted(entries, key=lambda entry: (entry.round_number, entry.hotkey))
