"""When the next block of a devnet is due."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from simulator.recorded import Clock


@dataclass(frozen=True, slots=True)
class Pace:
    """Chain seconds per second (None: as fast as can be), or a fixed time between blocks, which then decides."""

    speed: Fraction | None = None
    block_time_s: float | None = None

    def interval_s(self, chain_seconds: int) -> float:
        """Return the wall-clock seconds to a block that comes so much chain time after the last."""
        if self.block_time_s is not None:
            return self.block_time_s
        return 0.0 if self.speed is None else float(chain_seconds / self.speed)


class Pacer:
    """Waits for one block after the other. A late one is not caught up with: the next distance counts from it."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._due: float | None = None

    async def wait(self, chain_seconds: int) -> None:
        """Return when the block that comes so much chain time after the last one is due."""
        now = self._clock.monotonic()
        due = (now if self._due is None else self._due) + self._pace.interval_s(chain_seconds)
        self._due = max(due, now)
        await self._clock.sleep(self._due - now)
