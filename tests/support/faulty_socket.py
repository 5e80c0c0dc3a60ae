"""A websocket proxy that does to a connection what networks and providers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from simulator.chain.bell import Bell

HALF_OPEN, MUTE, DOUBLED, GARBLED, NO_SUBSCRIPTIONS = "half-open", "mute", "doubled", "garbled", "no subscriptions"


@dataclass(slots=True)
class FaultySocket:
    """Between a client and a node's websocket; `fault` may be changed at any time, None passes everything on.

    half-open: nothing goes through any more, and pings have no answer   ·   mute: notifications are kept back
    doubled: every notification three times, and some that say nothing   ·   garbled: what the node says is cut in half
    no subscriptions: the node has never heard of them
    """

    upstream: str
    url: str = ""
    fault: str | None = None
    asked: list[str] = field(default_factory=list)
    connections: int = 0
    heard: Bell = field(default_factory=Bell)  # rung when something was asked
    _open: set[web.WebSocketResponse] = field(default_factory=set)

    async def until_asked(self, method: str, times: int) -> None:
        """Wait until a question has come so often."""
        async with asyncio.timeout(10):
            while True:
                heard = self.heard.next_ring
                if self.asked.count(method) >= times:
                    return
                await heard.wait()

    async def cut(self) -> None:
        """Break every connection, as a node that is restarted does."""
        for client in list(self._open):
            assert client._req is not None and client._req.transport is not None
            client._req.transport.abort()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection."""
        client = web.WebSocketResponse(autoping=False)
        await client.prepare(request)
        self.connections += 1
        self._open.add(client)
        try:
            async with aiohttp.ClientSession() as session, session.ws_connect(self.upstream) as node:
                ways = [asyncio.ensure_future(way) for way in (self._up(client, node), self._down(node, client))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._open.discard(client)
        return client

    async def _up(self, client: web.WebSocketResponse, node: aiohttp.ClientWebSocketResponse[bool]) -> None:
        async for message in client:
            if message.type is aiohttp.WSMsgType.PING and self.fault != HALF_OPEN:
                await client.pong(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                question = json.loads(message.data)
                self.asked.append(question["method"])
                self.heard.ring(None)
                if self.fault == HALF_OPEN:
                    continue
                if question["method"] == "eth_subscribe" and self.fault == NO_SUBSCRIPTIONS:
                    error = {"code": -32601, "message": "no such method"}
                    await client.send_json({"jsonrpc": "2.0", "id": question["id"], "error": error})
                else:
                    await node.send_str(message.data)

    async def _down(self, node: aiohttp.ClientWebSocketResponse[bool], client: web.WebSocketResponse) -> None:
        async for message in node:
            for text in self._said(message.data):
                await client.send_str(text)

    def _said(self, text: str) -> list[str]:
        told: dict[str, Any] = json.loads(text)
        is_notice = told.get("method") == "eth_subscription"
        if self.fault == HALF_OPEN or (self.fault == MUTE and is_notice):
            return []
        if self.fault == GARBLED:
            return [text[: len(text) // 2]]
        if self.fault == DOUBLED and is_notice:
            empty = [{**told, "params": value} for value in (None, {}, {"result": None}, {"result": {"hash": 7}})]
            return [text, text, text, *map(json.dumps, empty), json.dumps([told]), "7"]
        return [text]


@asynccontextmanager
async def faulty_socket(upstream: str) -> AsyncIterator[FaultySocket]:
    """Yield a proxy before a node."""
    proxy = FaultySocket(upstream)
    application = web.Application()
    application.router.add_get("/", proxy.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    proxy.url = f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
    try:
        yield proxy
    finally:
        await runner.cleanup()
