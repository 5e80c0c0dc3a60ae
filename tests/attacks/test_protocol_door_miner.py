"""Attacks on a miner by whoever can reach its port.

Every attack is made twice: with the one defence that stops it taken away, where it must succeed (else the test would
prove nothing), and with everything in place, where it must hurt only its sender.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from support.doors import (
    client,
    honest_miner,
    hotkey,
    key,
)
from support.queries import make_query

import miner.server
import protocol.signing
from miner.config import MinerConfig
from protocol.errors import RemoteError
from protocol.messages import encode
from protocol.signing import Caller, read_claimed_hotkey, sign_request
from protocol.units import Hotkey
from protocol.wire import MAX_BODY_BYTES, REBALANCE_PATH
from validator.transport import ExchangeStatus, MinerEndpoint

QUERY = make_query()
BODY = encode(QUERY)
SHORT_S = 0.3
CONFIG = MinerConfig(port=0, stop_s=0.05)


def request_headers(body: bytes = BODY, *, sender: str = "Validator", receiver: str = "Honest") -> dict[str, str]:
    now_ns = time.time_ns()
    return sign_request(key(sender), path=REBALANCE_PATH, body=body, receiver=hotkey(receiver), nonce_ns=now_ns)


async def knock(
    endpoint: MinerEndpoint, headers: Any, body: Any = BODY, *, source: str = "127.0.0.2"
) -> tuple[int, str]:
    """Send one request from an address of the attacker's own."""
    url = f"http://{endpoint.host}:{endpoint.port}{REBALANCE_PATH}"
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        return answer.status, (await answer.text()).strip()


async def is_served(endpoint: MinerEndpoint, deadline_s: float = 2.0) -> bool:
    """Whether an honest validator gets its answer."""
    async with client() as miners:
        return (await miners.ask(endpoint, QUERY, deadline_s=deadline_s)).status is ExchangeStatus.ANSWERED


async def test_replayed_request(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful:
        def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
            return True

    with monkeypatch.context() as patch:
        patch.setattr(miner.server, "new_nonce_store", lambda _: Forgetful())
        async with honest_miner() as endpoint:
            captured = request_headers()
            assert [(await knock(endpoint, captured))[0] for _ in range(2)] == [200, 200]
    async with honest_miner() as endpoint:
        captured = request_headers()
        assert (await knock(endpoint, captured))[0] == 200
        assert await knock(endpoint, captured) == (401, "this nonce was already accepted from this hotkey")
        assert await is_served(endpoint)


async def test_stale_nonce() -> None:
    captured = request_headers()
    then_ns = int(captured["X-Bittensor-Nonce"])
    for later_s, expected in ((0, 200), (11, 401)):  # a clock that never moves on is what having no freshness means
        async with honest_miner(clock_ns=lambda later=later_s: then_ns + later * 10**9) as endpoint:  # type: ignore[misc]
            assert (await knock(endpoint, captured))[0] == expected
    async with honest_miner() as endpoint:
        assert await is_served(endpoint)


async def test_wrong_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who was asked by a validator asks the same of another miner in the validator's name."""
    captured = request_headers(receiver="Mallory")

    def verify_for_anyone(headers: Any, body: bytes, **kwargs: Any) -> Caller:
        receiver = Hotkey(headers["X-Bittensor-Receiver"])
        return protocol.signing.verify_request(headers, body, **(kwargs | {"self_hotkey": receiver}))

    async with honest_miner() as endpoint:
        with monkeypatch.context() as patch:
            patch.setattr(miner.server, "verify_request", verify_for_anyone)
            assert (await knock(endpoint, captured))[0] == 200
        reason = "request was signed for a different receiving hotkey"
        assert await knock(endpoint, captured) == (401, reason)
        assert await is_served(endpoint)


async def announce(endpoint: MinerEndpoint, headers: dict[str, str]) -> bytes:
    """Send the head of a request only, and return how the answer begins."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, local_addr=("127.0.0.2", 0))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST {REBALANCE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n{lines}\r\n".encode())
    try:
        async with asyncio.timeout(5):
            return await reader.read(12)
    finally:
        writer.transport.abort()


async def test_stranger_at_the_door() -> None:
    """Without a permit not one byte of a body is waited for; with one, it is, up to its deadline."""
    config = replace(CONFIG, body_deadline_s=SHORT_S)
    async with honest_miner(validators=("Validator", "Stranger"), config=config) as endpoint:
        assert await announce(endpoint, request_headers(sender="Stranger")) == b"HTTP/1.1 408"
    async with honest_miner(config=replace(CONFIG, body_deadline_s=1e6)) as endpoint:
        assert await announce(endpoint, request_headers(sender="Stranger")) == b"HTTP/1.1 403"
        assert await is_served(endpoint)


async def test_two_hotkeys_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger names a validator in the first header and himself, whose signature is good, in the second."""
    from multidict import CIMultiDict

    headers = CIMultiDict([("X-Bittensor-Hotkey", hotkey("Validator"))])
    headers.extend(request_headers(sender="Stranger"))
    store = protocol.signing.new_nonce_store(60)

    def prove() -> tuple[Hotkey, Hotkey]:
        claimed = read_claimed_hotkey(headers)
        caller = protocol.signing.verify_request(
            headers, BODY, path=REBALANCE_PATH, self_hotkey=hotkey("Honest"), nonce_store=store
        )
        return claimed, caller.hotkey

    with monkeypatch.context() as patch:
        patch.setattr(protocol.signing, "read_auth_headers", lambda h: h)
        assert prove() == (hotkey("Validator"), hotkey("Stranger"))
    with pytest.raises(RemoteError, match="is repeated"):
        prove()
    async with honest_miner() as endpoint:
        assert await knock(endpoint, headers) == (401, "X-Bittensor-Hotkey is repeated")
        assert await is_served(endpoint)


async def drip(endpoint: MinerEndpoint, headers: dict[str, str]) -> bytes:
    """Send a request whose body never ends from the attacker's own address; return how the answer begins."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, local_addr=("127.0.0.2", 0))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {REBALANCE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n{lines}\r\n"
    try:
        writer.write(head.encode())
        answer = asyncio.create_task(reader.read(12))
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=0.01)
        return answer.result()
    finally:
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)
        writer.transport.abort()


async def test_slow_request() -> None:
    """Whoever knows a validator's hotkey can claim it; the claim alone must not hold the door open."""
    async with honest_miner(config=replace(CONFIG, body_deadline_s=1e6)) as endpoint:
        held = asyncio.create_task(drip(endpoint, request_headers()))
        _, pending = await asyncio.wait([held], timeout=2 * SHORT_S)
        assert pending == {held}
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
    async with honest_miner(config=replace(CONFIG, body_deadline_s=SHORT_S)) as endpoint:
        dripping = asyncio.create_task(drip(endpoint, request_headers()))
        assert await is_served(endpoint)
        assert await asyncio.wait_for(dripping, 5) == b"HTTP/1.1 408"
        assert await is_served(endpoint)


async def test_many_slow_requests_fill_only_their_own_address() -> None:
    config = replace(CONFIG, body_deadline_s=5, max_readers_per_peer=3)
    async with honest_miner(config=config) as endpoint:
        held = [asyncio.create_task(drip(endpoint, request_headers())) for _ in range(4)]
        done, pending = await asyncio.wait(held, timeout=3, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [b"HTTP/1.1 429"]
        assert await is_served(endpoint)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def test_oversize_request() -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    async with honest_miner(config=replace(CONFIG, max_body_bytes=2**30)) as endpoint:
        status, reason = await knock(endpoint, request_headers(body), body)
        assert (status, reason) == (400, "body is 65537 bytes, the limit is 65536")  # read, hashed and verified first
    async with honest_miner() as endpoint:
        assert await knock(endpoint, request_headers(body), body) == (413, "body over 65536 bytes")
        assert await is_served(endpoint)


async def test_flood_of_one_validator() -> None:
    async def flood(endpoint: MinerEndpoint) -> set[int]:
        return {(await knock(endpoint, request_headers(sender="Greedy")))[0] for _ in range(8)}

    both = ("Validator", "Greedy")
    async with honest_miner(validators=both, config=replace(CONFIG, rate_per_s=1e9)) as endpoint:
        assert await flood(endpoint) == {200}
    async with honest_miner(validators=both, config=replace(CONFIG, rate_per_s=0.001, burst=4)) as endpoint:
        assert await flood(endpoint) == {200, 429}
        assert await is_served(endpoint)


async def test_connections_held_open() -> None:
    async def hold(endpoint: MinerEndpoint, count: int) -> list[asyncio.StreamWriter]:
        opened = [
            await asyncio.open_connection(endpoint.host, endpoint.port, local_addr=("127.0.0.2", 0))
            for _ in range(count)
        ]
        return [writer for _, writer in opened]

    for per_peer, served in ((1000, False), (5, True)):
        config = replace(CONFIG, max_connections=10, max_connections_per_peer=per_peer)
        async with honest_miner(config=config) as endpoint:
            held = await hold(endpoint, 10)
            assert await is_served(endpoint, deadline_s=1) is served
            for writer in held:
                writer.transport.abort()


async def test_idle_connections_are_closed() -> None:
    async with honest_miner(config=replace(CONFIG, idle_s=0.1)) as endpoint:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        writer.write(b"POST /v1/rebalance HTTP/1.1\r\nX: ")  # a head that never ends
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert await is_served(endpoint)


async def test_a_caller_that_hangs_up_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async with honest_miner() as endpoint:
        for length in (0, 10):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            lines = "".join(f"{name}: {value}\r\n" for name, value in request_headers().items())
            head = f"POST {REBALANCE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n{lines}\r\n"
            writer.write(head.encode() + b" " * length)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert await is_served(endpoint)
    assert "Traceback" not in caplog.text
