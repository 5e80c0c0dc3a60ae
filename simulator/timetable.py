"""When the clock strikes in a round or a replay: marks before a block's events, checkpoints after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from simulator.opening import Schedule


class Due(Enum):
    """What is due before a block's first event."""

    NOTHING = auto()
    MARK = auto()  # every account settles
    PLANS = auto()  # the same, and the plans of the last checkpoint are carried out


@dataclass(slots=True)
class Timetable:
    """A schedule as it is lived through from the opening's block and time, block by block."""

    schedule: Schedule
    start_block: int
    start_timestamp: int
    checkpoints: int = field(init=False, default=0)  # entered so far
    effective_block: int | None = field(init=False, default=None)  # of the last checkpoint asked
    _next_restrike: int = field(init=False)

    def __post_init__(self) -> None:
        self._next_restrike = self.start_timestamp + self.schedule.restrike_s

    @property
    def end_block(self) -> int:
        """The last block."""
        return self.schedule.end_block(self.start_block)

    def enter(self, number: int, timestamp: int) -> Due:
        """Return what is due before the first event of the next block. Marks are the same for all accounts."""
        is_effective = number == self.effective_block
        if not is_effective and timestamp < self._next_restrike:
            return Due.NOTHING
        while self._next_restrike <= timestamp:
            self._next_restrike += self.schedule.restrike_s
        return Due.PLANS if is_effective else Due.MARK

    def leave(self, number: int) -> bool:
        """Return whether everybody is asked after the last event of a block; each checkpoint fires once, in order."""
        if self.start_block + self.checkpoints * self.schedule.checkpoint_interval_blocks != number:
            return False
        self.checkpoints += 1
        effective = self.schedule.effective_block(number)
        if effective > self.end_block:
            return False
        self.effective_block = effective
        return True
