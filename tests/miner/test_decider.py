import asyncio
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from support.queries import Shape, make_query, shown

from miner import decider as decider_module
from miner.decider import Decider
from miner.strategy import Decision, Keep, Positions, Refuse
from protocol.messages import Position, RebalanceQuery, RebalanceResponse, encode, parse_response
from simulator.plan import Desired
from simulator.portfolio import Range

QUERY = make_query(Shape(positions=(shown(-10, 10, 5, 6),)))
CURRENT = (Position(tick_lower=-10, tick_upper=10, allocation0=5, allocation1=6),)


@dataclass(frozen=True)
class Scripted:
    """A strategy that does what the test says."""

    act: Callable[[], Any]
    name: str = "scripted"

    def decide(self, query: RebalanceQuery) -> Decision:
        decision: Decision = self.act()
        return decision


async def answer(act: Callable[[], Any], budget_s: float = 5.0) -> RebalanceResponse:
    decider = Decider(Scripted(act), version="1.2", max_decisions=2)
    response = await decider.answer(QUERY, budget_s=budget_s)
    assert parse_response(encode(response), request_id=QUERY.request_id) == response
    return response


def info(response: RebalanceResponse) -> str:
    assert response.miner_metadata is not None
    return response.miner_metadata.model_info


async def test_keep_repeats_what_is_held() -> None:
    response = await answer(Keep)
    assert (response.accepted, response.desired_positions, info(response)) == (True, CURRENT, "scripted")


async def test_refuse_says_why_in_one_line() -> None:
    response = await answer(lambda: Refuse("not\nmine" + "!" * 300))
    assert (response.accepted, response.desired_positions) == (False, None)
    assert response.refusal_reason is not None
    assert response.refusal_reason.startswith("not?mine!")
    assert len(response.refusal_reason) == 256


async def test_positions_are_sent() -> None:
    response = await answer(lambda: Positions((Desired(Range(-20, 20), 1, 0),)))
    assert response.desired_positions == (Position(tick_lower=-20, tick_upper=20, allocation0=1, allocation1=0),)


async def test_withdrawing_everything_is_an_answer() -> None:
    assert (await answer(lambda: Positions(()))).desired_positions == ()


def strategy_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("strategy-")]


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("act", "note"),
    [
        (lambda: fail(ZeroDivisionError("by\n0")), "the strategy raised ZeroDivisionError: by?0"),
        (lambda: fail(RecursionError()), "the strategy raised RecursionError: "),
        (lambda: sys.exit(3), "the strategy raised SystemExit: 3"),
        (lambda: None, "the strategy returned NoneType, which is no decision"),
        (lambda: Positions((Desired(Range(-5, 20), 1, 0),)), "position 0: ticks -5..20 are off the spacing 10"),
        (
            lambda: Positions((Desired(Range(20, -20), 1, 0),)),
            "position 0: ticks 20..-20 are not ascending within ±887272",
        ),
        (lambda: Positions((Desired(Range(-20, 20), 0, 0),)), "a new position is offered no tokens"),
        (
            lambda: Positions((Desired(Range(-20, 20), 2**100, 2**100),)),
            "offers more of both tokens than is owned",
        ),
        (lambda: Positions(("x",)), "the strategy's positions are malformed: AttributeError"),
        (
            lambda: Positions((Desired(Range(-20, 20), 1.0, 0),)),
            "the strategy's positions are malformed: ValidationError",
        ),
        (lambda: Positions(7), "the strategy's positions are malformed: TypeError"),
    ],
)
async def test_a_strategy_that_fails_keeps_and_says_so(act: Callable[[], Any], note: str) -> None:
    response = await answer(act)
    assert (response.accepted, response.desired_positions) == (True, CURRENT)
    assert info(response) == f"scripted: kept, {note}"
    here = Decider(Scripted(act), version="1.2", max_decisions=2).answer_here(QUERY, budget_s=5.0)
    assert here == response, "the same without a thread"


def test_an_answer_that_comes_too_late_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def decided_after(seconds: float) -> RebalanceResponse:
        clock = iter((100.0, 100.0 + seconds))
        monkeypatch.setattr(decider_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        decider = Decider(Scripted(lambda: Positions(())), version="1.2", max_decisions=1)
        return decider.answer_here(QUERY, budget_s=5.0)

    assert decided_after(5.0).desired_positions == ()
    late = decided_after(5.1)
    assert (late.desired_positions, info(late)) == (CURRENT, "scripted: kept, the strategy took longer than 5 s")


async def test_a_late_strategy_keeps_and_its_thread_keeps_its_slot() -> None:
    release = threading.Event()

    def hang() -> Keep:
        release.wait()
        return Keep()

    decider = Decider(Scripted(hang), version="1", max_decisions=1)
    late = await decider.answer(QUERY, budget_s=0.02)
    assert info(late) == "scripted: kept, the strategy took longer than 0.02 s"
    assert decider.is_busy
    refused = await decider.answer(QUERY, budget_s=5)
    assert info(refused) == "scripted: kept, busy with other decisions"
    assert all(thread.daemon for thread in strategy_threads())  # none keeps the process from ending
    release.set()
    for thread in strategy_threads():
        await asyncio.to_thread(thread.join, 5)
    assert not decider.is_busy


async def test_no_time_left_keeps_without_asking() -> None:
    response = await answer(lambda: fail(AssertionError("must not be asked")), budget_s=0)
    assert info(response) == "scripted: kept, no time left to decide"


def test_a_strategy_that_outlives_the_loop_disturbs_nobody() -> None:
    release, finished = threading.Event(), threading.Event()

    def hang() -> Keep:
        release.wait()
        finished.set()
        return Keep()

    asyncio.run(answer(hang, 0.01))
    threads = strategy_threads()
    assert threads
    release.set()
    assert finished.wait(5)
    for thread in threads:
        thread.join(5)
