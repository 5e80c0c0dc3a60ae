"""The course of a flow: everything once, in a round's order, and no more between two stops than can be held."""

from __future__ import annotations

from support.what_ifs import random_world
from support.worlds import START_BLOCK, START_TIME, make_snapshot

from simulator.course import Asking, Course, Stop
from simulator.flow import Flow, FlowBlock
from simulator.opening import Schedule
from simulator.recovery import RecoveredCall
from simulator.stretch import MARK

CALL = RecoveredCall(zero_for_one=True, amount_specified=1, sqrt_price_limit_x96=None)


def flow_of(length: int) -> Flow:
    """Return a flow with one swap a block, 12 s apart."""
    blocks = (FlowBlock(START_BLOCK + i, START_TIME + 12 * i, (CALL,)) for i in range(1, length + 1))
    return Flow(make_snapshot(), tuple(blocks))


def test_marks_come_before_their_block_and_checkpoints_after_theirs() -> None:
    course = Course.of(flow_of(7), Schedule(6, 3, 12, 12, restrike_s=60))
    times = [START_TIME + 12 * i for i in range(7)]
    assert course.steps == (
        (times[1], CALL),
        (times[2], MARK),
        (times[2], CALL),
        (times[3], CALL),
        (times[4], CALL),
        (times[5], MARK),
        (times[5], CALL),
        (times[6], CALL),
        (times[6], None),
    )
    assert course.stops == (
        Stop(0, Asking(START_BLOCK, START_TIME, START_BLOCK + 2)),
        Stop(2),
        Stop(4, Asking(START_BLOCK + 3, times[3], START_BLOCK + 5)),
        Stop(6),
    )
    assert course.end_timestamp == times[6]


def test_every_happening_of_a_flow_is_in_its_course_once() -> None:
    for seed in range(5):
        flow = random_world(seed).flow
        happened = [(block.timestamp, what) for block in flow.blocks for what in block.happenings]
        steps = Course.of(flow, None).steps
        assert [step for step in steps if step[1] not in (MARK, None)] == happened
