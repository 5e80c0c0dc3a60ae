import asyncio
import errno
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.doors import answering, client, honest_miner, hostile_miner, hotkey, raw_server, read_request, signed
from support.queries import Shape, make_query

from protocol.errors import RemoteError
from protocol.messages import encode, parse_query, parse_response
from protocol.signing import verify_request_evidence, verify_response
from protocol.wire import MAX_BODY_BYTES, REBALANCE_PATH
from validator import transport
from validator.transport import Exchange, ExchangeStatus, MinerClient, MinerEndpoint, check_address

QUERY = make_query()


async def ask(endpoint: MinerEndpoint, deadline_s: float = 5.0, **knobs: Any) -> Exchange:
    async with client(**knobs) as miners:
        return await miners.ask(endpoint, QUERY, deadline_s=deadline_s)


async def test_an_answer_comes_with_everything_that_proves_it() -> None:
    async with honest_miner() as endpoint:
        exchange = await ask(endpoint)
    assert (exchange.status, exchange.http_status, exchange.detail) == (ExchangeStatus.ANSWERED, 200, "")
    assert parse_query(exchange.request_body) == QUERY
    assert exchange.response_body is not None
    assert parse_response(exchange.response_body, request_id=QUERY.request_id).accepted
    assert exchange.request_signature is not None
    assert exchange.response_signature is not None
    verify_request_evidence(
        exchange.request_signature,
        exchange.request_body,
        path=exchange.path,
        sender=hotkey("Validator"),
        receiver=hotkey("Honest"),
        nonce_ns=exchange.nonce_ns,
    )
    proof = {
        "path": exchange.path,
        "request_body": exchange.request_body,
        "nonce_ns": exchange.nonce_ns,
        "miner": hotkey("Honest"),
        "receiver": hotkey("Validator"),
    }
    verify_response(exchange.response_signature, exchange.response_body, **proof)
    with pytest.raises(RemoteError):
        verify_response(exchange.response_signature, exchange.response_body + b" ", **proof)


async def test_everyone_is_asked_their_own_question_and_answers_come_in_order() -> None:
    async with honest_miner("A") as a, honest_miner("B") as b, honest_miner("C") as c:
        questions = [(e, make_query(Shape(request_id=f"to {i}"))) for i, e in enumerate([a, b, c, a])]
        async with client() as miners:
            exchanges = await miners.ask_all(questions, deadline_s=5)
    answers = [parse_response(e.response_body or b"").request_id for e in exchanges]
    assert answers == ["to 0", "to 1", "to 2", "to 3"]
    assert [e.hotkey for e in exchanges] == [hotkey(name) for name in "ABCA"]
    assert len({e.nonce_ns for e in exchanges}) == 4


async def test_a_shared_query_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    monkeypatch.setattr(transport, "encode", lambda query: encoded.append(query) or encode(query))
    async with honest_miner("A") as a, honest_miner("B") as b, client() as miners:
        await miners.ask_all([(a, QUERY), (b, QUERY)], deadline_s=5)
    assert encoded == [QUERY]


async def test_nonces_grow_even_when_the_clock_stands_still() -> None:
    async with client(clock_ns=lambda: 7) as miners:
        endpoint = MinerEndpoint(hotkey("Honest"), "127.0.0.1", 1)
        exchanges = await miners.ask_all([(endpoint, QUERY)] * 3, deadline_s=1)
    assert [e.nonce_ns for e in exchanges] == [8, 9, 10] or [e.nonce_ns for e in exchanges] == [7, 8, 9]


async def test_asking_nobody_is_fine() -> None:
    async with client() as miners:
        assert await miners.ask_all([], deadline_s=1) == []


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await client().ask(MinerEndpoint(hotkey("A"), "127.0.0.1", 1), QUERY, deadline_s=1)


Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, **headers: str) -> Reply:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return handler


async def compressed(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"{}", headers=await signed(request, b"{}") | {"Content-Encoding": "br"})


async def unsigned(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"{}")


async def signed_by_another(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"{}", headers=await signed(request, b"{}", signer="Honest"))


@pytest.mark.parametrize(
    ("handler", "expected", "detail"),
    [
        (status(500), ExchangeStatus.REJECTED, "HTTP 500"),
        (status(403), ExchangeStatus.REJECTED, "HTTP 403"),
        (status(204), ExchangeStatus.REJECTED, "HTTP 204"),
        (status(307, Location="http://127.0.0.1/"), ExchangeStatus.REJECTED, "HTTP 307"),
        (compressed, ExchangeStatus.MALFORMED, "compressed body"),
        (unsigned, ExchangeStatus.UNSIGNED, "unsigned: no signature header"),
        (signed_by_another, ExchangeStatus.UNSIGNED, "signature does not verify"),
        (answering(b" " * (MAX_BODY_BYTES + 1)), ExchangeStatus.OVERSIZE, "body over 65536 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_does_not_count_as_an_answer(handler: Reply, expected: ExchangeStatus, detail: str) -> None:
    async with hostile_miner(handler) as endpoint:
        exchange = await ask(endpoint)
    assert (exchange.status, exchange.detail) == (expected, detail)
    assert (exchange.response_body, exchange.response_signature) == (None, None)


async def test_the_largest_answer_counts() -> None:
    async with hostile_miner(answering(b" " * MAX_BODY_BYTES)) as endpoint:
        assert (await ask(endpoint)).status is ExchangeStatus.ANSWERED


async def test_an_answer_that_announces_too_much_is_not_waited_for() -> None:
    async def announcing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
        await asyncio.Event().wait()

    async with raw_server(announcing) as endpoint:
        assert (await ask(endpoint)).status is ExchangeStatus.OVERSIZE


async def test_no_connection_is_used_twice() -> None:
    """Checkpoints are minutes apart: a connection kept from the last one may be dead, and a POST is not sent again."""
    connections: list[object] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(once) as endpoint, client() as miners:
        for _ in range(2):
            assert (await miners.ask(endpoint, QUERY, deadline_s=5)).status is ExchangeStatus.REJECTED
    assert len(connections) == 2


async def test_nobody_there() -> None:
    exchange = await ask(MinerEndpoint(hotkey("A"), "127.0.0.1", 1))
    assert exchange.status is ExchangeStatus.UNREACHABLE


async def test_having_no_descriptor_left_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(*_: object, **__: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(aiohttp.ClientSession, "post", no_descriptor)
    exchange = await ask(MinerEndpoint(hotkey("A"), "127.0.0.1", 1))
    assert exchange.status is ExchangeStatus.LOCAL_FAULT


async def test_a_bug_that_one_miner_trips_is_kept_to_that_miner(monkeypatch: pytest.MonkeyPatch) -> None:
    check = transport.verify_response

    def buggy(*args: Any, **kwargs: Any) -> None:
        if kwargs["miner"] == hotkey("Mallory"):
            raise ZeroDivisionError("a bug of ours")
        check(*args, **kwargs)

    monkeypatch.setattr(transport, "verify_response", buggy)
    async with hostile_miner(answering(b"{}")) as mallory, honest_miner() as honest, client() as miners:
        bad, good = await miners.ask_all([(mallory, QUERY), (honest, QUERY)], deadline_s=5)
    assert (bad.status, good.status) == (ExchangeStatus.MALFORMED, ExchangeStatus.ANSWERED)


async def test_a_signer_that_fails_is_not_blamed_on_the_miners() -> None:
    class Locked:
        ss58_address = hotkey("Validator")
        public_key = b""
        crypto_type = 1

        def sign(self, payload: bytes) -> bytes:
            raise PermissionError("locked")

    async with honest_miner() as endpoint, MinerClient(Locked(), allow_private=True) as miners:
        with pytest.raises(PermissionError, match="locked"):
            await miners.ask(endpoint, QUERY, deadline_s=5)


async def test_a_cancelled_ask_is_cancelled() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with raw_server(silent) as endpoint, client() as miners:
        task = asyncio.create_task(miners.ask(endpoint, QUERY, deadline_s=60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 999 ?\r\n", b"HTTP/9.9 200\r\n", b"\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 2\r\nContent-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n",
    b"X-Bittensor-Signature: 0x\xff\r\n", b"Set-Cookie: \x00=\xff; ;;\r\n", b"Content-Type: a/b; charset=\xff\r\n",
    b"Location: http://[\r\n", b"5\r\nhello\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"-1\r\n", b"0\r\n\r\n", b"\x00\xff\xfe",
    b"A" * 9000, b"A: b\r\n" * 200, b": \r\n", b" folded\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_bytes_a_miner_sends_the_result_is_an_exchange(seed: int) -> None:
    source = random.Random(seed)
    reply = b"".join(source.choices(PIECES, k=source.randint(1, 8)))
    if source.random() < 0.5:
        reply = PIECES[0] + reply

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()

    async with raw_server(script) as mallory, honest_miner() as honest, client() as miners:
        bad, good = await miners.ask_all([(mallory, QUERY), (honest, QUERY)], deadline_s=2)
    assert good.status is ExchangeStatus.ANSWERED
    assert bad.status is not ExchangeStatus.ANSWERED
    assert bad.response_body is None
    assert bad.detail.isprintable()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "224.0.0.1", "239.255.255.250",
        "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_nobodys_miner(host: str) -> None:
    assert check_address(host, 80) is not None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "example.com",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "",
        "[::1]",
        "8.8.8.8 ",
        "8.8.8.8:80",
        "1.2.3",
        "fe80::1%x",
    ],
)
def test_only_plain_addresses_are_addresses(host: str) -> None:
    assert check_address(host, 80) is not None
    assert check_address(host, 80, allow_private=True) is not None


@pytest.mark.parametrize("host", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_public_addresses_are_fine(host: str) -> None:
    assert check_address(host, 8091) is None


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_have_bounds(port: int) -> None:
    assert check_address("8.8.8.8", port) == "port out of range"


async def test_a_forbidden_address_is_not_contacted() -> None:
    async with honest_miner() as endpoint, client(allow_private=False) as miners:
        named, private = await miners.ask_all(
            [(replace(endpoint, host="localhost"), QUERY), (endpoint, QUERY)], deadline_s=5
        )
    assert [(e.status, e.detail, e.request_signature) for e in (named, private)] == [
        (ExchangeStatus.FORBIDDEN_ADDRESS, "not an IP address", None),
        (ExchangeStatus.FORBIDDEN_ADDRESS, "address is not public", None),
    ]


async def test_ipv6_endpoints_are_dialled() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_request(reader)
        assert head.startswith(f"POST {REBALANCE_PATH} HTTP/1.1\r\n".encode())
        writer.write(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "::1", 0)
    async with server:
        exchange = await ask(MinerEndpoint(hotkey("A"), "::1", server.sockets[0].getsockname()[1]))
    assert (exchange.status, exchange.http_status) == (ExchangeStatus.REJECTED, 418)
