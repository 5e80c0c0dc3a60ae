"""A JSON-RPC proxy that does to a node's answers what networks and providers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

# Given the question and the node's honest answer, returns what to send; or says how to fail.
Fault = Callable[[dict[str, Any], dict[str, Any]], "Any | Response"]


@dataclass(frozen=True, slots=True)
class Response:
    """Something other than an answer in JSON with status 200."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: asyncio.Event | None = None  # hold the answer back until it is set
    is_cut: bool = False  # promise more bytes than are sent


@dataclass(slots=True)
class FaultyProxy:
    """Between a client and a node; `fault` may be changed at any time, None passes everything on."""

    upstream: str
    url: str = ""
    fault: Fault | None = None
    asked: list[str] = field(default_factory=list)
    _last: dict[str, Any] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        question = await request.json()
        self.asked.append(question["method"] if isinstance(question, dict) else f"batch of {len(question)}")
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(self.upstream, json=question) as response:
                    answer = await response.json()
            except aiohttp.ClientError:
                return web.Response(status=502)
        if self.fault is None or not isinstance(question, dict):
            return web.json_response(answer)
        sent = self.fault(question, answer)
        if not isinstance(sent, Response):
            return web.json_response(sent)
        if sent.delay is not None:
            await sent.delay.wait()
            return web.json_response(answer)
        if sent.is_cut:
            return await self._cut(request, json.dumps(answer).encode())
        return web.Response(body=sent.body, status=sent.status, headers=sent.headers)

    async def _cut(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response


@asynccontextmanager
async def faulty_proxy(upstream: str) -> AsyncIterator[FaultyProxy]:
    """Yield a proxy before a node."""
    proxy = FaultyProxy(upstream)
    application = web.Application()
    application.router.add_post("/", proxy.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    proxy.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
    try:
        yield proxy
    finally:
        await runner.cleanup()
