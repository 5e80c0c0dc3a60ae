"""The validator's adapter on a line that fails: what was lost, what arrived all the same, what may be tried again."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import bittensor as bt
import pytest
from support.subnet_of_four import ADDRESS, KEYS, NETUID, START, make_chain

from protocol.errors import ChainError
from protocol.subtensor import ChainEndpoint
from protocol.units import Uid
from tideline.embedded_subtensor import InMemorySubtensor
from validator.subtensor import ValidatorChain
from validator.weight_setter import WeightsOutcome, WeightsResult


class Unreliable:
    """A substrate in front of another that can be told to fail or to hang, per method, and counts its connections."""

    def __init__(self, inner: InMemorySubtensor) -> None:
        self.inner, self.token_symbols = inner, {}
        self.faults: dict[str, Callable[[], Any]] = {}
        self.connects = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.connects += name == "connect"
            before = self.faults.get(name, self.faults.get("*"))
            if before is not None:
                await before()
            result = await method(*args, **kwargs)
            after = self.faults.get(f"after {name}")
            if after is not None:
                await after()
            return result

        return call


async def lose_connection() -> None:
    raise bt.RpcConnectionError("connection closed by peer")


async def hang() -> None:
    await asyncio.Event().wait()


def raising(error: Exception) -> Callable[[], Any]:
    async def fault() -> None:
        raise error

    return fault


@pytest.fixture
def chain() -> InMemorySubtensor:
    return make_chain()


@pytest.fixture
def line(chain: InMemorySubtensor) -> Unreliable:
    return Unreliable(chain)


@pytest.fixture
def endpoint(line: Unreliable) -> ChainEndpoint:
    return ChainEndpoint("local", NETUID, substrate=line, deadline_s=0.2, submit_deadline_s=0.2)  # type: ignore[arg-type]  # delegates


@pytest.fixture
async def validator(endpoint: ChainEndpoint) -> AsyncIterator[ValidatorChain]:
    connected = await ValidatorChain.connect(endpoint, KEYS["val"])
    yield connected
    await connected.close()


async def test_a_lost_connection_is_retryable_and_reopened_once(validator: ValidatorChain, line: Unreliable) -> None:
    assert line.connects == 1
    line.faults["*"] = lose_connection
    for question in (validator.uid, validator.metagraph, validator.epoch, validator.limits, validator.block):
        with pytest.raises(ChainError, match="closed by peer") as caught:
            await question()
        assert caught.value.retryable
    line.faults.clear()
    before = line.connects
    answers = await asyncio.gather(validator.uid(), validator.block(), validator.uid())
    assert (answers, line.connects - before) == ([1, START, 1], 1)
    await validator.metagraph()
    assert line.connects - before == 1


async def test_a_hang_ends_at_the_deadline(validator: ValidatorChain, line: Unreliable) -> None:
    line.faults["runtime_call"] = hang
    with pytest.raises(ChainError, match="deadline") as caught:
        await validator.metagraph()
    assert caught.value.retryable
    line.faults.clear()
    assert (await validator.metagraph()).block == START


async def test_nobody_answers_at_the_start(endpoint: ChainEndpoint, line: Unreliable) -> None:
    for fault in (lose_connection, hang, raising(OSError("no route to host"))):
        line.faults["connect"] = fault
        with pytest.raises(ChainError, match="cannot connect") as caught:
            await ValidatorChain.connect(endpoint, KEYS["val"])
        assert caught.value.retryable


async def test_the_real_transport_against_nobody_and_against_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts by the kernel's hand, and never says a word
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        alone = ChainEndpoint(url, NETUID, fallback_endpoints=(), archive_endpoints=(), deadline_s=0.3)
        with pytest.raises(ChainError, match="deadline") as silence:
            await ValidatorChain.connect(alone, KEYS["val"])
    with pytest.raises(ChainError, match="could not connect to any endpoint") as nobody:
        await ValidatorChain.connect(alone, KEYS["val"])
    assert silence.value.retryable and nobody.value.retryable
    assert silence.value.where == {"network": url, "netuid": NETUID}


async def test_closing_a_dead_line_does_not_hang(validator: ValidatorChain, line: Unreliable) -> None:
    line.faults["close"] = hang
    await validator.close()
    await validator.close()
    line.faults.clear()
    assert await validator.uid() == 1  # and it can be opened again


async def test_an_impossible_answer_is_not_asked_for_again(validator: ValidatorChain, line: Unreliable) -> None:
    line.faults["runtime_call"] = raising(KeyError("hotkeys"))
    with pytest.raises(ChainError, match="impossible answer") as caught:
        await validator.metagraph()
    assert not caught.value.retryable


async def test_a_submission_that_never_arrived_is_unknown(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)
    for fault in (lose_connection, hang):
        line.faults["submit"] = fault
        result = await validator.set_weights({Uid(2): 1})
        assert (result.outcome, result.included) == (WeightsOutcome.UNKNOWN, False)
    assert chain.subnet.seats[1].weights == ()
    line.faults.clear()
    assert (await validator.set_weights({Uid(2): 1})).included


async def test_a_submission_whose_answer_was_lost_is_found_on_chain(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)
    line.faults["after submit"] = hang
    result = await validator.set_weights({Uid(2): 1})
    assert (result.outcome, result.read_back_ok, result.block) == (WeightsOutcome.INCLUDED, True, START + 30)
    assert "found on chain" in result.message


async def test_a_chain_that_holds_something_else_is_reported(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)

    async def forget() -> None:
        subnet = chain.subnet
        seats = (subnet.seats[0], replace(subnet.seats[1], weights=((3, 65535),)), *subnet.seats[2:])
        chain._store(replace(subnet, seats=seats))

    line.faults["after submit"] = forget
    result = await validator.set_weights({Uid(2): 1})
    assert result == WeightsResult(
        WeightsOutcome.INCLUDED,
        START + 30,
        ((2, 65535),),
        read_back_ok=False,
        code="",
        message="the chain does not hold what was sent",
    )


async def test_a_pool_rejection_is_a_result(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)

    async def race() -> None:
        chain._nonces[ADDRESS["val"]] = 5  # somebody used our nonces between signing and submitting

    line.faults["submit"] = race
    result = await validator.set_weights({Uid(2): 1})
    assert result.included
