"""What a flow does to every fork, as one sequence of steps, and where decisions come in."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import SimulationError
from simulator.flow import Flow
from simulator.opening import Schedule
from simulator.stretch import MARK, Step
from simulator.timetable import Due, Timetable


@dataclass(frozen=True, slots=True)
class Asking:
    """A checkpoint: after this block everybody is asked, and plans take effect at `effective_block`."""

    block_number: int
    timestamp: int
    effective_block: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Where forks are looked at, before a step: to be asked, or, without `asking`, because their plans take effect."""

    step: int
    asking: Asking | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """All steps of a flow up to the schedule's end, with the marks that are due, and the stops between them."""

    steps: tuple[Step, ...]
    stops: tuple[Stop, ...]
    end_timestamp: int

    @classmethod
    def of(cls, flow: Flow, schedule: Schedule | None) -> Course:
        """Return the course of a flow.

        Parameters: schedule  as in a round; None for the whole flow, the usual marks and nobody asked
        Returns:    marks come before their block's events, checkpoints after them, as in a round
        Raises:     SimulationError if the flow ends before the schedule
        Source:     design §4.5, §4.8
        """
        schedule = unasked(len(flow.blocks)) if schedule is None else schedule
        if len(flow.blocks) < schedule.length_blocks:
            raise SimulationError("the flow ends before the schedule", blocks=len(flow.blocks))
        times = Timetable(schedule, flow.snapshot.block_number, flow.snapshot.timestamp)
        steps: list[Step] = []
        stops: list[Stop] = []

        def leave(number: int, timestamp: int) -> None:
            if times.leave(number) and times.effective_block is not None:
                stops.append(Stop(len(steps), Asking(number, timestamp, times.effective_block)))

        leave(flow.snapshot.block_number, flow.snapshot.timestamp)
        timestamp = flow.snapshot.timestamp
        for block in flow.blocks[: schedule.length_blocks]:
            timestamp = block.timestamp
            due = times.enter(block.number, timestamp)
            if due is not Due.NOTHING:
                steps.append((timestamp, MARK))
            if due is Due.PLANS:
                stops.append(Stop(len(steps)))
            steps.extend((timestamp, happening) for happening in block.happenings)
            leave(block.number, timestamp)
        steps.append((timestamp, None))
        return cls(tuple(steps), tuple(stops), timestamp)


def unasked(length_blocks: int) -> Schedule:
    """Return a schedule in which nobody is asked: no plan could take effect before its end."""
    return Schedule(length_blocks, length_blocks + 1, deadline_s=length_blocks, block_time_s=1)
