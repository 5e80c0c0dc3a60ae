"""Real doors on loopback: honest miners, hostile ones that sign whatever they like, raw sockets that speak no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from miner.config import MinerConfig
from miner.server import AllowList, MinerServer
from miner.strategies.wide import Wide
from miner.strategy import Strategy
from protocol.messages import RebalanceQuery, parse_response
from protocol.signing import HEADER_HOTKEY, HEADER_NONCE, Signer, keypair_from_uri, sign_response
from protocol.units import Hotkey
from protocol.wire import REBALANCE_PATH
from validator.transport import Exchange, ExchangeStatus, MinerClient, MinerEndpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@functools.cache
def key(name: str) -> Signer:
    return keypair_from_uri(f"//{name}")


def hotkey(name: str) -> Hotkey:
    return Hotkey(key(name).ss58_address)


def client(name: str = "Validator", **knobs: object) -> MinerClient:
    return MinerClient(key(name), **({"allow_private": True} | knobs))  # type: ignore[arg-type]  # knobs of the test


@contextlib.asynccontextmanager
async def honest_miner(
    name: str = "Honest",
    *,
    strategy: Strategy | None = None,
    validators: tuple[str, ...] = ("Validator",),
    config: MinerConfig | None = None,
    clock_ns: Callable[[], int] | None = None,
) -> AsyncIterator[MinerEndpoint]:
    allowed = AllowList(frozenset(hotkey(validator) for validator in validators))
    clock = {} if clock_ns is None else {"clock_ns": clock_ns}
    server = MinerServer(
        key(name), strategy or Wide(), allowed, config or MinerConfig(port=0, stop_s=0.1), version="1", **clock
    )
    await server.start()
    try:
        yield MinerEndpoint(hotkey(name), *server.address)
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def hostile_miner(handler: Handler, name: str = "Mallory") -> AsyncIterator[MinerEndpoint]:
    """An HTTP server under the attacker's own hotkey, or under a stolen name."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield MinerEndpoint(hotkey(name), *runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_server(script: Script, name: str = "Mallory") -> AsyncIterator[MinerEndpoint]:
    """A socket that says what the script says; whatever is still open at the end is cut."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield MinerEndpoint(hotkey(name), *server.sockets[0].getsockname()[:2])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def signed(request: web.Request, body: bytes, *, signer: str = "Mallory") -> dict[str, str]:
    """Return the headers that make `body` the signer's proper answer to this very request."""
    return sign_response(
        key(signer),
        path=REBALANCE_PATH,
        request_body=await request.read(),
        body=body,
        nonce_ns=int(request.headers[HEADER_NONCE]),
        receiver=Hotkey(request.headers[HEADER_HOTKEY]),
    )


def answering(body: bytes) -> Handler:
    """A miner that signs and sends these bytes, whatever it is asked."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=await signed(request, body))

    return handler


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one whole request from a socket and return its head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(length)


async def duel(attacker: MinerEndpoint, query: RebalanceQuery, *, deadline_s: float = 5.0, **knobs: Any) -> Exchange:
    """Ask an attacker and an honest miner together; the honest one must be heard. Return the attacker's exchange."""
    async with honest_miner() as honest, client(**knobs) as miners:
        bad, good = await miners.ask_all([(attacker, query), (honest, query)], deadline_s=deadline_s)
    assert good.status is ExchangeStatus.ANSWERED
    assert parse_response(good.response_body or b"", request_id=query.request_id).accepted
    return bad
