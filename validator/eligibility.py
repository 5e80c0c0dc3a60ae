"""Who may play a job's next live round, by what the database knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from db.job import Job
from db.store import Store
from protocol.units import Hotkey, JobId
from validator.reputation import PARTICIPATION_WINDOW_DAYS, is_eligible_for_live


async def live_candidate(store: Store, job: Job, combined_e18: Mapping[Hotkey, int], today: date) -> Hotkey | None:
    """Return the winner of the last conclusive evaluation, if fit for live (design §4.10); None where there is none.

    `combined_e18` holds those that are registered now.
    """
    job_id = JobId(job.job_id)
    last = await store.last_round(job_id, "evaluation", completed_only=True)
    winner = None if last is None else last.winner_hotkey
    if winner is None or winner not in combined_e18:
        return None
    rows = await store.participation(job_id, since_day=today - timedelta(days=PARTICIPATION_WINDOW_DAYS))
    mine = [row for row in rows if row.hotkey == winner]
    combined = combined_e18[winner]
    if not is_eligible_for_live(mine, today=today, combined_e18=combined, was_previous_winner=True):
        return None
    if not job.live_confidence_ppm:
        return winner
    from validator.leaderboard import confidence_ppm  # half a second to import, for those who want it

    history = await store.round_score_history(job_id, "evaluation")
    registered = next((m.registered_at_block for m in await store.reputations(job_id) if m.hotkey == winner), 0)
    return winner if confidence_ppm(history, winner, registered) >= job.live_confidence_ppm else None
