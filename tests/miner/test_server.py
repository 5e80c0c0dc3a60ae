import asyncio
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from support.doors import client, honest_miner, hotkey, key
from support.queries import Shape, make_query, shown

from miner import server as server_module
from miner.config import MinerConfig
from miner.server import AllowList, MinerServer
from miner.strategies.hold import Hold
from miner.strategy import Decision, Keep
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery, encode, parse_response
from protocol.signing import HEADER_HOTKEY, HEADER_SIGNATURE, Caller, sign_request
from protocol.wire import MAX_BODY_BYTES, REBALANCE_PATH
from validator.transport import ExchangeStatus, MinerEndpoint

QUERY = make_query(Shape(positions=(shown(-10, 10, 5, 6),)))
BODY = encode(QUERY)
CONFIG = MinerConfig(port=0, stop_s=0.1)


def request_headers(body: bytes = BODY, *, sender: str = "Validator", nonce_ns: int | None = None) -> dict[str, str]:
    return sign_request(
        key(sender),
        path=REBALANCE_PATH,
        body=body,
        receiver=hotkey("Honest"),
        nonce_ns=nonce_ns or time.time_ns(),
    )


async def post(endpoint: MinerEndpoint, body: Any = BODY, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Send a request as it is and return the status and the text of the answer."""
    url = f"http://{endpoint.host}:{endpoint.port}{REBALANCE_PATH}"
    sent = request_headers(body) if headers is None else headers
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=sent) as answer:
        return answer.status, await answer.text()


async def test_an_answer_is_signed_and_echoes_the_question() -> None:
    async with honest_miner(strategy=Hold()) as endpoint, client() as miners:
        exchange = await miners.ask(endpoint, QUERY, deadline_s=5)
    assert exchange.status is ExchangeStatus.ANSWERED
    answer = parse_response(exchange.response_body or b"", request_id=QUERY.request_id)
    assert answer.desired_positions is not None
    assert [(p.tick_lower, p.tick_upper, p.allocation0, p.allocation1) for p in answer.desired_positions] == [
        (-10, 10, 5, 6)
    ]


async def test_health_tells_who_it_is_and_how_often_it_answered() -> None:
    async with honest_miner(strategy=Hold()) as endpoint:
        await post(endpoint)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{endpoint.host}:{endpoint.port}/health") as answer,
        ):
            assert await answer.json() == {
                "status": "ok",
                "hotkey": hotkey("Honest"),
                "strategy": "hold",
                "protocol_version": 1,
                "answered": 1,
            }


STALE = "nonce is older than the 10s freshness window\n"


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b" " * (MAX_BODY_BYTES + 1), None, (413, "body over 65536 bytes\n")),
        (BODY, {}, (401, "missing or unsupported X-Bittensor-Version\n")),
        (BODY, {"sender": "Stranger"}, (403, "this hotkey has no validator permit here\n")),
        (BODY, {"Content-Encoding": "gzip"}, (415, "compressed bodies are not accepted\n")),
        (BODY, {HEADER_SIGNATURE: "0x" + "0" * 128}, (401, "signature does not verify against the claimed hotkey\n")),
        (BODY + b" ", {"body": BODY}, (401, "signature does not verify against the claimed hotkey\n")),
        (BODY, {"nonce_ns": time.time_ns() - 60 * 10**9}, (401, STALE)),
        (b"{}", None, (400, "protocol_version: Field required\n")),
        (b"[NaN]", None, (400, "body is not valid JSON: NaN is not JSON\n")),
    ],
    ids=["oversize", "no headers", "stranger", "gzip", "forged", "changed", "stale", "no query", "nan"],
)
async def test_what_the_door_denies(body: bytes, headers: dict[str, Any] | None, expected: tuple[int, str]) -> None:
    if headers is None:
        sent = request_headers(body)
    elif not headers:
        sent = {}
    else:
        known = {k: v for k, v in headers.items() if k in {"sender", "nonce_ns", "body"}}
        sent = request_headers(**{"body": body, **known}) | {k: v for k, v in headers.items() if k not in known}
    async with honest_miner() as endpoint:
        assert await post(endpoint, body, sent) == expected
        assert (await post(endpoint))[0] == 200  # and nobody else notices


@pytest.mark.parametrize("target", ["/v1/rebalance?x=1", "/v1//rebalance", "/v1/%72ebalance", "/"])
async def test_a_signature_is_for_one_path(target: str) -> None:
    async with honest_miner() as endpoint, aiohttp.ClientSession() as session:
        from yarl import URL

        url = URL(f"http://{endpoint.host}:{endpoint.port}{target}", encoded=True)
        async with session.post(url, data=BODY, headers=request_headers()) as answer:
            assert answer.status in {401, 404}


async def test_chunked_bodies_are_counted_too() -> None:
    async def chunks() -> Any:
        for _ in range(200):
            yield b" " * 1000

    async with honest_miner() as endpoint:
        try:
            status, _ = await post(endpoint, chunks(), request_headers())
        except aiohttp.ClientError:  # the door may close before all is sent
            status = 413
        assert status == 413


@dataclass(frozen=True)
class Waiting:
    """A strategy that thinks until it is released."""

    release: threading.Event
    entered: threading.Event
    name: str = "waiting"

    def decide(self, query: RebalanceQuery) -> Decision:
        self.entered.set()
        self.release.wait(10)
        return Keep()


async def test_a_late_strategy_still_answers_within_the_deadline() -> None:
    strategy = Waiting(threading.Event(), threading.Event())
    query = make_query(Shape(positions=(shown(-10, 10, 5, 6),), deadline_s=0.4))
    async with honest_miner(strategy=strategy) as endpoint, client() as miners:
        exchange = await miners.ask(endpoint, query, deadline_s=0.4)
        strategy.release.set()
    assert exchange.status is ExchangeStatus.ANSWERED
    answer = parse_response(exchange.response_body or b"")
    assert answer.desired_positions is not None
    assert len(answer.desired_positions) == 1
    assert answer.miner_metadata is not None
    assert answer.miner_metadata.model_info.startswith("waiting: kept, the strategy took longer than 0.")


async def test_beyond_its_capacity_it_says_so() -> None:
    strategy = Waiting(threading.Event(), threading.Event())
    async with honest_miner(strategy=strategy, config=replace(CONFIG, max_decisions=1)) as endpoint:
        first = asyncio.create_task(post(endpoint))
        await asyncio.to_thread(strategy.entered.wait, 5)
        assert await post(endpoint) == (503, "busy with other decisions\n")
        strategy.release.set()
        assert (await first)[0] == 200


async def test_a_reading_slot_is_given_back() -> None:
    async with honest_miner(config=replace(CONFIG, max_readers_per_peer=1)) as endpoint:
        assert [(await post(endpoint))[0] for _ in range(3)] == [200, 200, 200]


async def test_the_permit_must_be_that_of_the_proven_hotkey(monkeypatch: pytest.MonkeyPatch) -> None:
    def proves_another(*_: object, **__: object) -> Caller:
        return Caller(hotkey("Stranger"), 1, 1)

    monkeypatch.setattr(server_module, "verify_request", proves_another)
    async with honest_miner() as endpoint:
        assert await post(endpoint) == (403, "this hotkey has no validator permit here\n")


async def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = MinerServer(key("Honest"), Hold(), AllowList(frozenset()), replace(CONFIG, port=port), version="1")
        with pytest.raises(ConfigError, match=f"^port {port} on 127.0.0.1 is in use; choose another with --port$"):
            await server.start()
        await server.stop()


async def test_a_foreign_address_is_one_line() -> None:
    config = replace(CONFIG, host="192.0.2.1")
    server = MinerServer(key("Honest"), Hold(), AllowList(frozenset()), config, version="1")
    with pytest.raises(ConfigError, match=r"^cannot listen on 192\.0\.2\.1:0: "):
        await server.start()


async def test_stopping_lets_an_answer_under_way_finish() -> None:
    strategy = Waiting(threading.Event(), threading.Event())
    allowed = AllowList(frozenset({hotkey("Validator")}))
    server = MinerServer(key("Honest"), strategy, allowed, replace(CONFIG, stop_s=5), version="1")
    await server.start()
    first = asyncio.create_task(post(MinerEndpoint(hotkey("Honest"), *server.address)))
    await asyncio.to_thread(strategy.entered.wait, 5)
    stopping = asyncio.create_task(server.stop())
    strategy.release.set()
    assert (await first)[0] == 200
    await stopping
    await server.stop()


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /v1/rebalance HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/rebalance HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"POST /v1/rebalance HTTP/1.1\r\nHost: x\r\nX-Bittensor-Hotkey: \xff\xfe\r\n\r\n",
    b"POST /v1/rebalance HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    b"A" * 100_000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_disturbs_nobody(garbage: bytes) -> None:
    async with honest_miner() as endpoint:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        writer.write(garbage)
        writer.write_eof()
        reply = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert reply == b"" or reply.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert (await post(endpoint))[0] == 200


@pytest.mark.parametrize(("late", "status"), [(False, b"400"), (True, b"408")])
async def test_a_garbled_chunk_is_refused_quietly(late: bool, status: bytes, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001
    headers = "".join(f"{name}: {value}\r\n" for name, value in request_headers().items())
    # The parser does not tell a handler that is reading already: what ends that wait is the body's deadline.
    async with honest_miner(config=replace(CONFIG, body_deadline_s=0.2)) as endpoint:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        head = f"POST {REBALANCE_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{headers}"
        writer.write(head.encode() + (b"Expect: 100-continue\r\n\r\n" if late else b"\r\n"))
        if late:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ZZ\r\nhello\r\n")
        reply = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert reply[9:12] == status
        assert (await post(endpoint))[0] == 200
    assert "Traceback" not in caplog.text


async def test_denials_are_one_line_of_text() -> None:
    async with honest_miner() as endpoint:
        for headers in ({}, request_headers(sender="Stranger"), request_headers() | {HEADER_HOTKEY: "x"}):
            status, text = await post(endpoint, BODY, headers)
            assert 400 <= status < 500
            assert text.count("\n") == 1
