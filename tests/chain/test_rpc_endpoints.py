"""Failover, waiting and agreement, on a clock that stands still and nodes that follow a script."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import ChainError, ConfigError
from simulator.chain.abi import read_quantity
from simulator.chain.endpoints import Endpoints
from simulator.chain.health import State
from simulator.chain.rpc import Absent, BadAnswer, RateLimited, Refused, Request, ScriptedRpc, Unreachable
from simulator.recorded import ManualClock

CHAIN = 8453
PRICE = Request("eth_gasPrice", (), read_quantity)
DECISIVE = Request("eth_gasPrice", (), lambda value: None if value is None else read_quantity(value), is_decisive=True)


def node(*answers: Any, chain_id: int = CHAIN) -> ScriptedRpc:
    """Return a node that gives these answers in turn, the last for ever; exceptions are raised."""
    left = list(answers)

    def answer(method: str, params: tuple[Any, ...]) -> Any:
        if method == "eth_chainId":
            return hex(chain_id)
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, Exception):
            raise value
        return value

    return ScriptedRpc(answer)


def endpoints(*nodes: ScriptedRpc, quorum: int = 1) -> tuple[Endpoints, ManualClock]:
    clock = ManualClock()
    named = {f"n{index}": rpc for index, rpc in enumerate(nodes)}
    return Endpoints(named, chain_id=CHAIN, quorum=quorum, clock=clock), clock


def asked(rpc: ScriptedRpc) -> int:
    """Return how often a node was asked for the price."""
    return sum(method == "eth_gasPrice" for method, _ in rpc.asked)


@pytest.mark.parametrize("error", [Unreachable("gone"), BadAnswer("nonsense"), Absent("not here")])
async def test_next_endpoint_is_asked_where_one_fails(error: ChainError) -> None:
    first, second = node(error), node("0x7")
    pool, clock = endpoints(first, second)
    assert await pool.ask(PRICE, deadline_s=5) == 7
    assert (asked(first), asked(second), clock.now) == (1, 1, 0.0)


async def test_endpoint_that_failed_is_not_the_first_any_more() -> None:
    first, second = node(Unreachable("gone"), "0x1"), node("0x7")
    pool, clock = endpoints(first, second)
    for _ in range(5):
        assert await pool.ask(PRICE, deadline_s=5) == 7
        clock.advance(60)
    assert (asked(first), asked(second)) == (1, 5)


async def test_nobody_answers_is_retryable_and_within_the_deadline() -> None:
    pool, clock = endpoints(node(Unreachable("gone")), node(Unreachable("gone")))
    with pytest.raises(ChainError, match="no endpoint answers") as raised:
        await pool.ask(PRICE, deadline_s=30)
    assert raised.value.retryable and clock.now < 30
    assert {health.state for health in pool.health().values()} == {State.UNREACHABLE}


async def test_only_endpoint_is_asked_again_until_it_answers() -> None:
    only = node(Unreachable("gone"), Unreachable("gone"), "0x7")
    pool, clock = endpoints(only)
    assert await pool.ask(PRICE, deadline_s=5) == 7
    assert clock.sleeps and clock.now < 5


async def test_time_that_the_only_endpoint_asked_for_is_waited_or_given_up_at_once() -> None:
    pool, clock = endpoints(node(RateLimited("slow", retry_after_s=3.0), "0x7"))
    assert await pool.ask(PRICE, deadline_s=5) == 7
    assert clock.now == 3.0
    pool, clock = endpoints(node(RateLimited("slow", retry_after_s=30.0), "0x7"))
    with pytest.raises(ChainError):
        await pool.ask(PRICE, deadline_s=5)
    assert clock.now == 0.0, "waiting would not have helped"


@pytest.mark.parametrize("quorum", [1, 2])
async def test_verdict_of_all_on_the_question_is_final(quorum: int) -> None:
    nodes = [node(Refused("execution reverted", code=3)) for _ in range(3)]
    pool, clock = endpoints(*nodes, quorum=quorum)
    with pytest.raises(Refused):
        await pool.ask(DECISIVE, deadline_s=5)
    assert [asked(n) for n in nodes] == [1, 1, 1] and clock.now == 0.0
    assert {health.state for health in pool.health().values()} == {State.ALIVE}, "a revert is no failure"


@pytest.mark.parametrize("quorum", [1, 2])
async def test_endpoint_that_refuses_what_others_answer_stops_nobody(quorum: int) -> None:
    """A plan without this method, a quota used up in words nobody knows."""
    first, *others = node(Refused("not in your plan", code=-32600)), node("0x7"), node("0x7")
    pool, clock = endpoints(first, *others, quorum=quorum)
    for _ in range(3):
        assert await pool.ask(DECISIVE, deadline_s=5) == 7
        clock.advance(60)
    assert asked(first) == 1, "asked last from then on"


async def test_node_of_another_chain_is_not_asked_and_looked_at_again_later() -> None:
    first, second = node("0x1", chain_id=1), node("0x7")
    pool, clock = endpoints(first, second)
    for _ in range(3):
        assert await pool.ask(PRICE, deadline_s=5) == 7
    assert asked(first) == 0 and pool.health()["n0"].state is State.WRONG_CHAIN
    clock.advance(61)
    alone, clock = endpoints(node("0x1", chain_id=1))
    with pytest.raises(ChainError, match="wrong_chain"):
        await alone.ask(PRICE, deadline_s=5)


@pytest.mark.parametrize(
    ("answers", "expected", "questions"),
    [
        (("0x7", "0x7", "0x7"), 7, 2),
        (("0x8", "0x7", "0x7"), 7, 3),
        (("0x7", Unreachable("gone"), "0x7"), 7, 3),
        ((None, "0x7", "0x7"), 7, 3),
        (("0x7", None, None), None, 3),
        (("0x7", None, Unreachable("gone")), None, 3),
        ((None, None, "0x7"), None, 2),
    ],
)
async def test_quorum_of_two_of_three(answers: tuple[Any, ...], expected: int | None, questions: int) -> None:
    nodes = [node(answer) for answer in answers]
    pool, _ = endpoints(*nodes, quorum=2)
    assert await pool.ask(DECISIVE, deadline_s=1) == expected
    assert sum(asked(n) for n in nodes) == questions


@pytest.mark.parametrize("answers", [("0x7", "0x8", "0x9"), ("0x7", Unreachable("gone"), Absent("no"))])
async def test_no_quorum_is_retryable(answers: tuple[Any, ...]) -> None:
    pool, clock = endpoints(*(node(answer) for answer in answers), quorum=2)
    with pytest.raises(ChainError) as raised:
        await pool.ask(DECISIVE, deadline_s=5)
    assert raised.value.retryable and clock.now <= 5


async def test_quorum_that_disagrees_is_asked_again_until_it_agrees() -> None:
    """Nodes see a reorg one after the other."""
    pool, clock = endpoints(node("0x7", "0x8"), node("0x8"), quorum=2)
    assert await pool.ask(DECISIVE, deadline_s=5) == 8
    assert clock.now > 0


async def test_one_answer_is_enough_for_what_decides_nothing() -> None:
    first, second = node("0x7"), node("0x7")
    pool, _ = endpoints(first, second, quorum=2)
    assert await pool.ask(PRICE, deadline_s=5) == 7
    assert (asked(first), asked(second)) == (1, 0)


async def test_batches_fail_over_and_agree_like_single_questions() -> None:
    pool, _ = endpoints(node(Unreachable("gone")), node("0x7"), node("0x7"), quorum=2)
    assert await pool.ask_all([DECISIVE, DECISIVE], deadline_s=5) == [7, 7]
    assert await pool.ask_all([], deadline_s=5) == []


@pytest.mark.parametrize("quorum", [0, 3])
def test_quorum_that_cannot_be_had_is_the_operators_error(quorum: int) -> None:
    with pytest.raises(ConfigError, match="needs as many RPC URLs"):
        endpoints(node("0x1"), node("0x1"), quorum=quorum)


async def test_closing_closes_every_endpoint() -> None:
    nodes = [node("0x1"), node("0x1")]
    pool, _ = endpoints(*nodes)
    await pool.close()
    assert all(n.is_closed for n in nodes)
