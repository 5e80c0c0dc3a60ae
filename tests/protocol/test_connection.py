from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from protocol.connection import Connection
from protocol.errors import ChainError


class LineCut(Exception):
    """The library's word for a lost connection."""


class NodeSaysNo(Exception):
    """The library's word for a refused question."""


class FakeClient:
    """Counts what happens to it; `trouble` says what connecting or closing runs into."""

    def __init__(self, log: list[str], trouble: dict[str, Callable[[], Any]]) -> None:
        self.log, self.trouble = log, trouble
        self.name = sum(entry.startswith("made") for entry in log)
        log.append(f"made {self.name}")

    async def connect(self) -> None:
        await self._run("connect")

    async def close(self) -> None:
        await self._run("close")

    async def _run(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        if what in self.trouble:
            await self.trouble[what]()


async def hang() -> None:
    await asyncio.Event().wait()


def raising(error: Exception) -> Callable[..., Any]:
    async def fail(*_: object) -> None:
        raise error

    return fail


class Bench:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.trouble: dict[str, Callable[[], Any]] = {}
        self.line: Connection[FakeClient] = Connection(
            lambda: FakeClient(self.log, self.trouble),
            lost=(LineCut,),
            failed=(NodeSaysNo,),
            deadline_s=0.05,
            where={"network": "local"},
        )

    async def ask(self, **options: Any) -> int:
        async def name(client: FakeClient) -> int:
            return client.name

        return await self.line.call("a name", name, **options)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    yield Bench()


async def test_one_client_serves_all_calls(bench: Bench) -> None:
    assert await asyncio.gather(*(bench.ask() for _ in range(5))) == [0] * 5
    assert bench.log == ["made 0", "connect 0"]


@pytest.mark.parametrize("error", [LineCut("gone"), OSError("no route"), ConnectionResetError(), TimeoutError()])
async def test_a_lost_client_is_replaced_at_the_next_call(bench: Bench, error: Exception) -> None:
    with pytest.raises(ChainError, match=r"asking for a name: .+ \(network=local\)") as caught:
        await bench.line.call("a name", raising(error))
    assert caught.value.retryable
    assert await bench.ask() == 1
    assert bench.log == ["made 0", "connect 0", "close 0", "made 1", "connect 1"]


async def test_a_hang_is_a_loss(bench: Bench) -> None:
    with pytest.raises(ChainError, match="deadline"):
        await bench.line.call("a name", lambda _: hang())
    assert await bench.ask() == 1


async def test_a_call_may_have_its_own_deadline(bench: Bench) -> None:
    with pytest.raises(ChainError, match="deadline"):
        await bench.line.call("a name", lambda _: hang(), deadline_s=0.001)


async def test_a_refused_question_keeps_the_client(bench: Bench) -> None:
    with pytest.raises(ChainError, match="no such thing") as caught:
        await bench.line.call("a name", raising(NodeSaysNo("no such thing")))
    assert (caught.value.retryable, await bench.ask(), bench.log) == (True, 0, ["made 0", "connect 0"])


@pytest.mark.parametrize("error", [KeyError("hotkeys"), TypeError("NoneType"), ValueError("x"), IndexError("y")])
async def test_an_impossible_answer_is_not_retryable(bench: Bench, error: Exception) -> None:
    with pytest.raises(ChainError, match="impossible answer for a name") as caught:
        await bench.line.call("a name", raising(error))
    assert (caught.value.retryable, await bench.ask()) == (False, 0)


async def test_refusals_pass_through(bench: Bench) -> None:
    with pytest.raises(NodeSaysNo):
        await bench.line.call("a name", raising(NodeSaysNo("mine")), refusals=(NodeSaysNo,))


async def test_our_own_bugs_are_not_dressed_up(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        await bench.line.call("a name", raising(ZeroDivisionError()))


@pytest.mark.parametrize("error", [LineCut("refused"), NodeSaysNo("banned"), OSError("no route")])
async def test_a_client_that_cannot_connect_is_closed_before_the_next(bench: Bench, error: Exception) -> None:
    bench.trouble["connect"] = raising(error)
    with pytest.raises(ChainError, match="cannot connect") as caught:
        await bench.ask()
    bench.trouble.clear()
    assert (caught.value.retryable, await bench.ask()) == (True, 1)
    assert bench.log == ["made 0", "connect 0", "close 0", "made 1", "connect 1"]


@pytest.mark.parametrize("late", [None, LineCut("after all not")])
async def test_a_client_still_connecting_at_the_deadline_is_closed_when_it_is_done(
    bench: Bench, late: Exception | None
) -> None:
    released = asyncio.Event()

    async def slow() -> None:
        await released.wait()
        if late is not None:
            raise late

    bench.trouble["connect"] = slow
    with pytest.raises(ChainError, match="no answer before the deadline") as caught:
        await bench.ask()
    del bench.trouble["connect"]
    assert (caught.value.retryable, await bench.ask()) == (True, 1)
    assert bench.log == ["made 0", "connect 0", "made 1", "connect 1"]  # cutting it off would leak what it holds
    closed = asyncio.Event()

    async def note() -> None:
        closed.set()

    bench.trouble["close"] = note
    released.set()
    await closed.wait()
    assert bench.log[4:] == ["close 0"]


async def test_a_late_failure_does_not_condemn_the_successor(bench: Bench) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(_: FakeClient) -> None:
        asked.set()
        await released.wait()
        raise LineCut("late")

    late = asyncio.create_task(bench.line.call("a name", slow, deadline_s=5))
    await asked.wait()
    with pytest.raises(ChainError):
        await bench.line.call("a name", raising(LineCut("now")))
    assert await bench.ask() == 1
    released.set()
    with pytest.raises(ChainError, match="late"):
        await late
    assert await bench.ask() == 1


async def test_an_interrupted_connection_leaks_nothing(bench: Bench) -> None:
    entered = asyncio.Event()

    async def stall() -> None:
        entered.set()
        await hang()

    bench.trouble["connect"] = stall
    opening = asyncio.create_task(bench.line.open())
    await entered.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    bench.trouble.clear()
    await bench.line.close()
    assert bench.log == ["made 0", "connect 0", "close 0"]


@pytest.mark.parametrize("trouble", [raising(LineCut("x")), raising(OSError()), hang])
async def test_closing_is_idempotent_and_always_ends(bench: Bench, trouble: Callable[[], Any]) -> None:
    await bench.ask()
    bench.trouble["close"] = trouble
    await bench.line.close()
    await bench.line.close()
    assert bench.log == ["made 0", "connect 0", "close 0"]
    assert await bench.ask() == 1
