import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from miner.config import MinerConfig
from miner.server import AllowList, MinerServer
from miner.service import PublicAddress, run
from miner.strategies.hold import Hold
from protocol.errors import ChainError, ConfigError
from protocol.signing import keypair_from_uri

ADDRESS = PublicAddress("203.0.113.7", 8091)


@dataclass
class Served:
    outcome: str
    message: str = ""


@dataclass
class ScriptedChain:
    """Answers each call with the next of its script, and stops the miner when the script has ended."""

    stop: asyncio.Event
    script: list[tuple[str, Any]]

    async def _next(self, call: str) -> Any:
        if not self.script:
            await asyncio.Event().wait()  # a silent chain: only being stopped ends this
        expected, outcome = self.script.pop(0)
        assert call == expected
        if not self.script:
            self.stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def uid(self) -> object:
        return await self._next("uid")

    async def refresh(self) -> object:
        return await self._next("refresh")

    async def serve_axon(self, ip: str, port: int) -> Served:
        assert (ip, port) == ("203.0.113.7", 8091)
        return Served(await self._next("serve"))


def make_server() -> MinerServer:
    return MinerServer(keypair_from_uri("//Miner"), Hold(), AllowList(frozenset()), MinerConfig(port=0), version="1")


async def follow(script: list[tuple[str, Any]], address: PublicAddress | None = ADDRESS) -> list[tuple[str, Any]]:
    """Run a miner through a script and return what is left of it."""
    stop = asyncio.Event()
    chain = ScriptedChain(stop, script)
    async with asyncio.timeout(5):
        await run(make_server(), stop, chain=chain, address=address, refresh_s=0, retry_s=0)
    return chain.script


LOST = ChainError("gone", retryable=True)
NONSENSE = ChainError("nonsense", retryable=False)


async def test_the_endpoint_is_published_once_and_permits_are_read_again_and_again() -> None:
    calls = ["uid", "refresh", "serve", "refresh", "serve", "refresh", "refresh"]
    outcomes = [7, None, "rate_limited", None, "published", None, None]
    assert await follow(list(zip(calls, outcomes, strict=True))) == []


async def test_a_silent_chain_is_asked_again() -> None:
    calls = ["uid", "uid", "refresh", "refresh", "serve", "refresh", "serve", "refresh", "refresh"]
    outcomes = [LOST, 7, LOST, None, LOST, None, "unchanged", NONSENSE, None]
    assert await follow(list(zip(calls, outcomes, strict=True))) == []


async def test_without_an_address_nothing_is_published() -> None:
    assert await follow([("uid", 7), ("refresh", None), ("refresh", None)], address=None) == []


@pytest.mark.parametrize("error", [ConfigError("not registered"), NONSENSE], ids=["unregistered", "nonsense"])
async def test_what_cannot_work_ends_the_miner(error: Exception) -> None:
    with pytest.raises(type(error)):
        await follow([("uid", error)])


async def test_stopping_does_not_wait_for_the_chain() -> None:
    stop = asyncio.Event()
    server = make_server()
    stop.set()
    async with asyncio.timeout(5):
        await run(server, stop, chain=ScriptedChain(stop, []), address=None)
    with pytest.raises(RuntimeError, match="not been started"):
        _ = server.address
