"""The right to play jobs, shared with other validators through the database: no job is ever played twice at once."""

from __future__ import annotations

from collections.abc import Callable

from db.store import Store
from protocol.units import JobId

PART = 3  # a lease is renewed, and one that somebody else holds asked for again, after this part of its length


class JobLeases:
    """The leases of one process, held under a name that no other living process uses.

    Whoever stops renewing, because it died or hangs, loses its jobs after `seconds`. The clocks of machines that share
    a database must agree to well within that time.
    """

    def __init__(self, store: Store, holder: str, *, seconds: int, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._holder = holder
        self._seconds = seconds
        self._monotonic = monotonic
        self._renew_at: dict[JobId, float] = {}
        self._ask_again_at: dict[JobId, float] = {}

    @property
    def part_s(self) -> float:
        """How often to look after leases."""
        return self._seconds / PART

    def holds(self, job_id: JobId) -> bool:
        """Whether the job was leased to us when last asked."""
        return job_id in self._renew_at

    async def take(self, job_id: JobId) -> bool:
        """Take a job if nobody else has it. A refusal holds for a while without asking the database again."""
        now = self._monotonic()
        if now < self._ask_again_at.get(job_id, now):
            return False
        if not await self._store.lease_job(job_id, self._holder, seconds=self._seconds):
            self._ask_again_at[job_id] = now + self.part_s
            return False
        self._ask_again_at.pop(job_id, None)
        self._renew_at[job_id] = now + self.part_s
        return True

    async def renew(self) -> None:
        """Renew what is due; what others have taken over is ours no more."""
        now = self._monotonic()
        for job_id in [job_id for job_id, due in self._renew_at.items() if due <= now]:
            await self.confirm(job_id)

    async def confirm(self, job_id: JobId) -> bool:
        """Renew one lease now; return whether the job is still ours. To be asked before anything is done for good."""
        now = self._monotonic()
        if await self._store.lease_job(job_id, self._holder, seconds=self._seconds):
            self._renew_at[job_id] = now + self.part_s
            return True
        if await self._store.get_job(job_id) is None:
            self._renew_at[job_id] = now + self.part_s  # removed: nobody can lease it, and its last round ends here
            return True
        self._renew_at.pop(job_id, None)
        self._ask_again_at[job_id] = now + self.part_s
        return False

    async def give_back(self, job_id: JobId) -> None:
        """Let others have the job."""
        await self._store.release_job(job_id, self._holder)
        self._renew_at.pop(job_id, None)
