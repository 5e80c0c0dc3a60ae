"""The result of a round: written once, whole, together with every reputation that it moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from db import jobs, rounds
from db.models import RoundRow
from db.records import Advance, MinerScore, Participation, Reputation, RoundFinish, RoundScore, RoundType
from db.rows import names, to_record, to_values
from db.tables import Tables
from protocol.errors import StoreError
from protocol.units import JobId, RoundId

_REPUTATION = tuple(name for name in names(MinerScore) if name not in ("job_id", "hotkey"))


async def finish(tables: Tables, result: RoundFinish, advance: Advance, *, now: int) -> bool:
    """Write a result and say whether it was this call that did. The same result again changes nothing.

    Call it in a transaction. The job is locked, so that results of one job follow each other: none is lost and
    none counts twice, however many processes finish rounds at once.
    """
    _check(result)
    row = await rounds.lock(tables, result.round_id)
    if row.status == "inconclusive":
        raise StoreError("the round was voided", round_id=result.round_id)
    if row.status == "completed":
        if row.evidence_digest != result.evidence_digest:
            raise StoreError("the round has another result already", round_id=result.round_id)
        return False
    await jobs.lock(tables, JobId(row.job_id))
    await _write_scores(tables, result)
    # What went wrong on our side moves nobody.
    counted = [score for score in result.scores if score.outcome != "inconclusive"]
    counted = await _advance(tables, row, counted, result, advance)
    if row.round_type == "evaluation":  # only winners are asked in live rounds
        await _participate(tables, row, counted)
    row.update_from_dict(
        {
            "status": "completed",
            "end_block": result.end_block,
            "end_timestamp": result.end_timestamp,
            "winner_hotkey": result.winner_hotkey,
            "evidence_digest": result.evidence_digest,
            "evidence_signature": result.evidence_signature,
            "closed_at": now,
        }
    )
    await row.save()
    return True


async def reputations(tables: Tables, job_id: JobId) -> list[MinerScore]:
    """Return every miner's reputation at a job, by hotkey."""
    return [to_record(MinerScore, row) for row in await tables.miner_scores.filter(job_id=job_id).order_by("hotkey")]


async def participation(tables: Tables, job_id: JobId, *, since_day: date) -> list[Participation]:
    """Return the days from `since_day` on, by day and hotkey."""
    rows = tables.miner_participation.filter(job_id=job_id, day__gte=since_day.isoformat())
    return [
        to_record(Participation, row, day=date.fromisoformat(row.day)) for row in await rows.order_by("day", "hotkey")
    ]


def _check(result: RoundFinish) -> None:
    by_hotkey = {score.hotkey: score for score in result.scores}
    if len(by_hotkey) < len(result.scores):
        raise StoreError("a hotkey is scored twice", round_id=result.round_id)
    winner = by_hotkey.get(result.winner_hotkey) if result.winner_hotkey is not None else None
    if result.winner_hotkey is not None and (winner is None or not winner.scored or not winner.can_win):
        raise StoreError("the winner is not among those who can win", round_id=result.round_id)


async def _write_scores(tables: Tables, result: RoundFinish) -> None:
    rows = [
        tables.round_scores(
            round_id=result.round_id,
            **to_values(replace(score, is_winner=score.hotkey == result.winner_hotkey)),
        )
        for score in result.scores
    ]
    if rows:
        await tables.round_scores.bulk_create(rows)
    await tables.round_evidence.create(round_id=result.round_id, **to_values(result.evidence))


async def _advance(
    tables: Tables, row: RoundRow, scores: Sequence[RoundScore], result: RoundFinish, advance: Advance
) -> list[RoundScore]:
    """Move the reputations; return the scores of those identities that still exist."""
    stored = await tables.miner_scores.filter(job_id=row.job_id, hotkey__in=[score.hotkey for score in scores])
    before = {known.hotkey: known for known in stored}
    living, reborn, moved = [], [], []
    for score in scores:
        known = before.get(score.hotkey)
        if known is not None and known.registered_at_block > score.registered_at_block:
            continue  # this hotkey has been registered anew since the round opened: its old self is gone
        if known is not None and known.registered_at_block < score.registered_at_block:
            reborn.append(score.hotkey)
            known = None
        living.append(score)
        if score.scored or score.hotkey in reborn:
            old = _nobody(row, score) if known is None else to_record(MinerScore, known)
            moved.append(_moved(old, row, score, result, advance))
    if reborn:
        await tables.miner_participation.filter(job_id=row.job_id, hotkey__in=reborn).delete()
    if moved:
        rows = [tables.miner_scores(**to_values(miner)) for miner in moved]
        await tables.miner_scores.bulk_create(rows, on_conflict=("job_id", "hotkey"), update_fields=_REPUTATION)
    return living


def _nobody(row: RoundRow, score: RoundScore) -> MinerScore:
    return MinerScore(
        job_id=JobId(row.job_id),
        hotkey=score.hotkey,
        uid=score.uid,
        evaluation_e18=0,
        live_e18=0,
        combined_e18=0,
        evaluation_rounds=0,
        live_rounds=0,
        wins=0,
        last_round_id=RoundId(row.round_id),
        registered_at_block=score.registered_at_block,
    )


def _moved(old: MinerScore, row: RoundRow, score: RoundScore, result: RoundFinish, advance: Advance) -> MinerScore:
    if not score.scored:
        return old
    round_type: RoundType = "live" if row.round_type == "live" else "evaluation"
    new = advance(Reputation(old.evaluation_e18, old.live_e18), score.score_e18, round_type)
    return replace(
        old,
        uid=score.uid,
        evaluation_e18=new.evaluation_e18,
        live_e18=new.live_e18,
        combined_e18=new.combined_e18,
        evaluation_rounds=old.evaluation_rounds + (round_type == "evaluation"),
        live_rounds=old.live_rounds + (round_type == "live"),
        wins=old.wins + (score.hotkey == result.winner_hotkey),
        last_round_id=RoundId(row.round_id),
    )


async def _participate(tables: Tables, row: RoundRow, scores: Sequence[RoundScore]) -> None:
    """Count the round for the UTC day on which it opened, in chain time."""
    day = datetime.fromtimestamp(row.start_timestamp, UTC).date().isoformat()
    stored = await tables.miner_participation.filter(
        job_id=row.job_id, day=day, hotkey__in=[score.hotkey for score in scores]
    )
    before = {known.hotkey: (known.scored_rounds, known.conclusive_rounds) for known in stored}
    rows = []
    for score in scores:
        scored, conclusive = before.get(score.hotkey, (0, 0))
        rows.append(
            tables.miner_participation(
                job_id=row.job_id,
                hotkey=score.hotkey,
                day=day,
                scored_rounds=scored + score.scored,
                conclusive_rounds=conclusive + 1,
            )
        )
    if rows:
        await tables.miner_participation.bulk_create(
            rows, on_conflict=("job_id", "hotkey", "day"), update_fields=("scored_rounds", "conclusive_rounds")
        )
