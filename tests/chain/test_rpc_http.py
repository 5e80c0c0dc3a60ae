"""One node over HTTP: what its words mean."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from protocol.errors import ChainError
from simulator.chain.rpc import Absent, HttpRpc, RateLimited, Refused, Request, Unreachable, error_of

PLAIN: Request[Any] = Request("eth_test", (1,), lambda value: value)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32005, "limit exceeded", RateLimited),
        (-32005, "query returned more than 10000 results", Refused),
        (429, "Your app has exceeded its compute units per second capacity", RateLimited),
        (-32000, "header not found", Absent),
        (-32000, "unknown block", Absent),
        (-32001, "resource not found", Absent),
        (-32000, "missing trie node 1f00", Absent),
        (3, "execution reverted: block not found", Refused),
        (-32601, "the method eth_test does not exist", Refused),
        (-32602, "too many arguments, want at most 2", Refused),
        (-32603, "internal error", Unreachable),
        ("text", None, Refused),
    ],
)
def test_words_of_nodes(code: Any, message: Any, kind: type[ChainError]) -> None:
    error = error_of({"code": code, "message": message})
    assert type(error) is kind
    assert error.retryable is (kind is not Refused)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "999999999"}, 3600.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
async def test_429_says_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=429, headers=headers)

    runner, rpc = await serve(handle)
    with pytest.raises(RateLimited) as raised:
        await rpc.ask(PLAIN, deadline_s=5)
    assert raised.value.retry_after_s == seconds
    await rpc.close()
    await runner.cleanup()


async def test_batch_in_any_order_is_answered_in_the_order_asked() -> None:
    async def handle(request: web.Request) -> web.Response:
        questions = await request.json()
        answers = [{"jsonrpc": "2.0", "id": q["id"], "result": q["params"][0]} for q in questions]
        return web.json_response(answers[::-1])

    runner, rpc = await serve(handle)
    requests = [Request("eth_test", (n,), lambda value: value) for n in range(5)]
    assert await rpc.ask_all(requests, deadline_s=5) == [0, 1, 2, 3, 4]
    await rpc.close()
    await rpc.close()
    await runner.cleanup()


async def test_errors_name_the_host_and_never_the_key() -> None:
    rpc = HttpRpc("http://127.0.0.1:9/v2/secret-key?token=hidden")
    with pytest.raises(Unreachable) as raised:
        await rpc.ask(PLAIN, deadline_s=5)
    await rpc.close()
    assert "127.0.0.1:9" in str(raised.value)
    assert "secret" not in str(raised.value) and "hidden" not in str(raised.value)


async def serve(handle: Any) -> tuple[web.AppRunner, HttpRpc]:
    application = web.Application()
    application.router.add_post("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    return runner, HttpRpc(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/")
