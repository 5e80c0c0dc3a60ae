"""Attacks of miners on the validator: false names, and answers that are too slow, too large or lead elsewhere.

Every attack is made twice: with the one defence that stops it taken away, where it must succeed (else the test would
prove nothing), and with everything in place, where it must hurt only its sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.doors import (
    client,
    duel,
    honest_miner,
    hostile_miner,
    hotkey,
    raw_server,
    read_request,
    signed,
)
from support.queries import make_query

import miner.server
import protocol.signing
from protocol.errors import RemoteError
from protocol.messages import RebalanceResponse, encode
from protocol.signing import Caller, Signature, read_signature, verify_response
from protocol.units import Hotkey
from protocol.wire import MAX_BODY_BYTES, REBALANCE_PATH
from validator import transport
from validator.transport import ExchangeStatus, MinerEndpoint

QUERY = make_query()
BODY = encode(QUERY)
WITHDRAW = encode(
    RebalanceResponse(protocol_version=1, request_id=QUERY.request_id, accepted=True, desired_positions=())
)
SHORT_S = 0.3


async def forging(request: web.Request) -> web.StreamResponse:
    """On the path of an honest miner, without its key: answer in its name."""
    return web.Response(body=WITHDRAW, headers={"X-Bittensor-Signature": "0x" + "5" * 128})


async def test_bad_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile_miner(forging, name="Victim") as victim:
        with monkeypatch.context() as patch:
            patch.setattr(transport, "verify_response", lambda *_, **__: None)
            assert (await duel(victim, QUERY)).status is ExchangeStatus.ANSWERED
        assert (await duel(victim, QUERY)).status is ExchangeStatus.UNSIGNED


async def test_unsigned_response(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unsigned(request: web.Request) -> web.StreamResponse:
        return web.Response(body=WITHDRAW)

    def lenient(headers: Any) -> Signature:
        with contextlib.suppress(RemoteError):
            return read_signature(headers)
        return Signature("", 1)

    def only_if_signed(signature: Signature, *args: Any, **kwargs: Any) -> None:
        if signature.signature:
            verify_response(signature, *args, **kwargs)

    async with hostile_miner(unsigned, name="Victim") as victim:
        with monkeypatch.context() as patch:
            patch.setattr(transport, "read_signature", lenient)
            patch.setattr(transport, "verify_response", only_if_signed)
            assert (await duel(victim, QUERY)).status is ExchangeStatus.ANSWERED
        assert (await duel(victim, QUERY)).status is ExchangeStatus.UNSIGNED


async def test_response_signed_for_another_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with honest_miner("Victim") as real, client() as miners:
        recorded = await miners.ask(real, make_query(), deadline_s=5)
    assert recorded.response_body is not None
    assert recorded.response_signature is not None

    async def relaying(request: web.Request) -> web.StreamResponse:
        assert recorded.response_signature is not None
        return web.Response(body=recorded.response_body, headers=recorded.response_signature.headers())

    def unbound(*args: Any, **kwargs: Any) -> None:
        """Check that the miner did sign this once, for whatever question."""
        if kwargs["miner"] == hotkey("Victim"):
            kwargs |= {"nonce_ns": recorded.nonce_ns, "request_body": recorded.request_body}
        verify_response(*args, **kwargs)

    async with hostile_miner(relaying, name="Victim") as victim:
        with monkeypatch.context() as patch:
            patch.setattr(transport, "verify_response", unbound)
            assert (await duel(victim, QUERY)).status is ExchangeStatus.ANSWERED
        assert (await duel(victim, QUERY)).status is ExchangeStatus.UNSIGNED


async def test_another_miners_answer_passed_on_as_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lazy miner sends the validator's very request on to a good one and returns what comes back."""
    async with honest_miner("Good") as good:

        async def passing_on(request: web.Request) -> web.StreamResponse:
            url = f"http://{good.host}:{good.port}{REBALANCE_PATH}"
            auth = {k: v for k, v in request.headers.items() if k.lower().startswith("x-bittensor")}
            body = await request.read()
            async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=auth) as answer:
                kept = {k: v for k, v in answer.headers.items() if k.lower().startswith("x-bittensor")}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        def verify_for_anyone(headers: Any, body: bytes, **kwargs: Any) -> Caller:
            receiver = Hotkey(headers["X-Bittensor-Receiver"])
            return protocol.signing.verify_request(headers, body, **(kwargs | {"self_hotkey": receiver}))

        def signed_by_anyone(signature: Signature, body: bytes, **kwargs: Any) -> None:
            for name in ("Good", "Honest"):
                with contextlib.suppress(RemoteError):
                    return verify_response(signature, body, **(kwargs | {"miner": hotkey(name)}))
            raise RemoteError("nobody signed this")

        async with hostile_miner(passing_on) as lazy:
            with monkeypatch.context() as patch:
                patch.setattr(miner.server, "verify_request", verify_for_anyone)  # the good miner checks no receiver
                assert (await duel(lazy, QUERY)).status is ExchangeStatus.UNSIGNED  # not the lazy one's, even so
                patch.setattr(transport, "verify_response", signed_by_anyone)
                assert (await duel(lazy, QUERY)).status is ExchangeStatus.ANSWERED
            exchange = await duel(lazy, QUERY)
            assert (exchange.status, exchange.http_status) == (ExchangeStatus.REJECTED, 401)


HUGE = 4 * 2**20


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
async def test_oversize_answer(announced: bool) -> None:  # noqa: FBT001  # a table
    sent = 0

    async def flooding(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        headers = await signed(request, b" " * HUGE)
        if announced:
            headers["Content-Length"] = str(HUGE)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        sent = 0
        with contextlib.suppress(ConnectionError):
            for _ in range(HUGE // 2**16):
                await response.write(b" " * 2**16)
                sent += 2**16
        return response

    async with hostile_miner(flooding) as mallory:
        exchange = await duel(mallory, QUERY, max_body_bytes=2**30)
        assert len(exchange.response_body or b"") == HUGE
        exchange = await duel(mallory, QUERY)
    assert (exchange.status, exchange.response_body) == (ExchangeStatus.OVERSIZE, None)
    assert sent < HUGE


async def dripping_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Always send something, never finish: each single read succeeds at once."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def dripping_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless_continue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def no_deadline(_: float) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("script", [dripping_body, dripping_head, endless_continue, silence])
async def test_slow_answer(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(script) as mallory:
        with monkeypatch.context() as patch:
            patch.setattr(transport.asyncio, "timeout_at", no_deadline)
            held = asyncio.create_task(duel(mallory, QUERY, deadline_s=SHORT_S))
            _, pending = await asyncio.wait([held], timeout=3 * SHORT_S)
            assert pending == {held}  # the whole checkpoint hangs, and the honest answer with it
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)
        started = time.monotonic()
        exchange = await duel(mallory, QUERY, deadline_s=SHORT_S)
        assert exchange.status is ExchangeStatus.TIMEOUT
        assert time.monotonic() - started < 3 * SHORT_S


async def test_slow_answers_of_many_do_not_use_up_the_connections() -> None:
    async with raw_server(silence) as mallory, honest_miner() as honest:
        questions = [(mallory, QUERY)] * 20 + [(honest, QUERY)]
        async with client(max_connections=20) as few:
            starved = await few.ask_all(questions, deadline_s=SHORT_S)
        assert starved[-1].status is ExchangeStatus.TIMEOUT
        async with client() as enough:
            served = await enough.ask_all(questions, deadline_s=SHORT_S)
        assert served[-1].status is ExchangeStatus.ANSWERED
        assert {e.status for e in served[:-1]} == {ExchangeStatus.TIMEOUT}


@contextlib.asynccontextmanager
async def internal_service() -> AsyncIterator[tuple[MinerEndpoint, list[str]]]:
    """Something on the validator's own network that nobody outside should make it touch."""
    touched: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        touched.append(request.method)
        return web.Response(text="secret")

    async with hostile_miner(handler) as endpoint:
        yield endpoint, touched


async def test_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    post = aiohttp.ClientSession.post

    def following(self: aiohttp.ClientSession, url: str, **kwargs: Any) -> Any:
        return post(self, url, **(kwargs | {"allow_redirects": True}))

    async with internal_service() as (service, touched):

        async def redirecting(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"http://{service.host}:{service.port}/latest/meta-data")

        async with hostile_miner(redirecting) as mallory:
            with monkeypatch.context() as patch:
                patch.setattr(aiohttp.ClientSession, "post", following)
                await duel(mallory, QUERY)
                assert touched == ["POST"]
            touched.clear()
            exchange = await duel(mallory, QUERY)
    assert (exchange.status, exchange.http_status, touched) == (ExchangeStatus.REJECTED, 307, [])


async def test_ssrf_address() -> None:
    async with internal_service() as (service, touched):
        async with client(allow_private=True) as careless:
            await careless.ask(service, QUERY, deadline_s=5)
        assert touched == ["POST"]
        touched.clear()
        async with client(allow_private=False) as careful:
            exchange = await careful.ask(service, QUERY, deadline_s=5)
    assert (exchange.status, exchange.request_signature, touched) == (ExchangeStatus.FORBIDDEN_ADDRESS, None, [])


async def test_gzip_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b" " * HUGE)
    assert len(bomb) < MAX_BODY_BYTES

    async def bombing(request: web.Request) -> web.StreamResponse:
        headers = await signed(request, b" " * HUGE)
        return web.Response(body=bomb, headers=headers | {"Content-Encoding": "gzip"})

    session = aiohttp.ClientSession

    def inflating(**kwargs: Any) -> aiohttp.ClientSession:
        return session(**(kwargs | {"auto_decompress": True}))

    async with hostile_miner(bombing) as mallory:
        with monkeypatch.context() as patch:
            patch.setattr(transport, "_is_compressed", lambda _: False)
            patch.setattr(transport.aiohttp, "ClientSession", inflating)
            exchange = await duel(mallory, QUERY, max_body_bytes=2**30)
            assert len(exchange.response_body or b"") == HUGE
        exchange = await duel(mallory, QUERY)
    assert (exchange.status, exchange.response_body) == (ExchangeStatus.MALFORMED, None)
