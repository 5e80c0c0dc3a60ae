"""Asking miners over HTTP: all in parallel, under one wall-clock deadline, believing only what is signed.

A miner can be slow, silent, enormous, redirecting, compressed, unsigned or pointed at our own network. Each of these
costs its own answer and nobody else's. Nothing here parses an answer: a body is returned once its signature holds.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType

import aiohttp

from protocol.errors import RemoteError
from protocol.json_gate import one_line
from protocol.messages import RebalanceQuery, encode
from protocol.signing import Signature, Signer, read_signature, sign_request, verify_response
from protocol.units import Hotkey
from protocol.wire import CONTENT_TYPE, MAX_BODY_BYTES, REBALANCE_PATH

_log = logging.getLogger(__name__)

# Public by number, private by use, or a tunnel to an address we would refuse: none of them is a miner. Python's own
# tables (`is_global`) miss some and differ between releases.
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24", "2002::/16", "2001::/23")
)
_GLOBAL_UNICAST_V6 = ipaddress.ip_network("2000::/3")
_OUR_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})


class ExchangeStatus(StrEnum):
    """How an exchange ended. Only `answered` carries a body; `local_fault` is ours, everything else the miner's."""

    ANSWERED = "answered"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"  # a status other than 200, redirects included
    UNSIGNED = "unsigned"  # no signature, or one that does not hold for this request
    OVERSIZE = "oversize"
    MALFORMED = "malformed"  # not HTTP as we speak it, or a compressed body
    FORBIDDEN_ADDRESS = "forbidden_address"
    LOCAL_FAULT = "local_fault"  # no file descriptor, memory or port left here


@dataclass(frozen=True, slots=True)
class MinerEndpoint:
    """Where a hotkey says it listens. `host` is an IP address; names are not resolved."""

    hotkey: Hotkey
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and what came of it, with everything that proves it later."""

    hotkey: Hotkey
    path: str
    request_body: bytes
    nonce_ns: int
    request_signature: Signature | None  # None if nothing was sent
    status: ExchangeStatus
    http_status: int | None
    response_body: bytes | None  # only if `answered`
    response_signature: Signature | None  # only if `answered`
    elapsed_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class _Request:
    """One question, signed and ready to go, or the reason why it must not."""

    endpoint: MinerEndpoint
    body: bytes
    nonce_ns: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """What one HTTP round trip yielded."""

    status: ExchangeStatus
    http_status: int | None = None
    body: bytes | None = None
    signature: Signature | None = None
    detail: str = ""


def check_address(host: str, port: int, *, allow_private: bool = False) -> str | None:
    """Return why an endpoint must not be contacted, or None if it is an ordinary public address.

    `allow_private` admits any address written as plain numbers; names and zones are refused all the same.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "not an IP address"
    if not 0 < port < 65536:
        return "port out of range"
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "address has a zone"
        address = address.ipv4_mapped or address
    if allow_private:
        return None
    if not address.is_global or address.is_multicast:
        return "address is not public"
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST_V6:
        return "address is not public"
    if any(address in network for network in _REFUSED_NETWORKS if network.version == address.version):
        return "address is reserved for infrastructure or tunnels"
    return None


class MinerClient:
    """Signs and sends queries as one validator. Use it as an async context manager.

    `max_connections` must exceed the number of miners asked at the same time, all jobs together: below that, slow
    miners would keep the others waiting. `allow_private` opens loopback and private networks, for local use only.
    """

    def __init__(
        self,
        signer: Signer,
        *,
        allow_private: bool = False,
        max_connections: int = 1024,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._signer = signer
        self._hotkey = Hotkey(signer.ss58_address)
        self._allow_private = allow_private
        self._max_connections = max_connections
        self._max_body_bytes = max_body_bytes
        self._clock_ns = clock_ns
        self._last_nonce_ns = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> MinerClient:
        self._session = aiohttp.ClientSession(
            # A kept-alive connection may have died since the last checkpoint, and a POST is not sent twice.
            connector=aiohttp.TCPConnector(limit=self._max_connections, force_close=True, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `ask` holds the only clock
            headers={"Accept-Encoding": "identity", "Content-Type": CONTENT_TYPE, "User-Agent": "tideline"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, endpoint: MinerEndpoint, query: RebalanceQuery, *, deadline_s: float) -> Exchange:
        """Put one query to one miner. Whatever the miner does, the result is an Exchange."""
        return (await self.ask_all([(endpoint, query)], deadline_s=deadline_s))[0]

    async def ask_all(
        self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
    ) -> list[Exchange]:
        """Put all queries at once and return one Exchange each, in order, no later than the deadline."""
        if self._session is None:
            raise RuntimeError("MinerClient is not open; use `async with`")
        until = asyncio.get_running_loop().time() + deadline_s
        bodies = {id(query): encode(query) for query in {id(q): q for _, q in questions}.values()}
        # Outside the exchanges: a signer that fails is our own trouble and must not look like every miner's.
        requests = [self._prepare(endpoint, bodies[id(query)]) for endpoint, query in questions]
        results = await asyncio.gather(
            *(self._ask(self._session, request, until) for request in requests),
            return_exceptions=True,  # a miner that trips a bug of ours must not silence the others
        )
        return [self._isolate(request, result) for request, result in zip(requests, results, strict=True)]

    def _prepare(self, endpoint: MinerEndpoint, body: bytes) -> _Request:
        refusal = check_address(endpoint.host, endpoint.port, allow_private=self._allow_private)
        if refusal is not None:
            return _Request(endpoint, body, refusal=refusal)
        nonce_ns = self._next_nonce()
        headers = sign_request(
            self._signer, path=REBALANCE_PATH, body=body, receiver=endpoint.hotkey, nonce_ns=nonce_ns
        )
        return _Request(endpoint, body, nonce_ns, headers)

    def _isolate(self, request: _Request, result: Exchange | BaseException) -> Exchange:
        if isinstance(result, Exchange):
            return result
        if not isinstance(result, Exception):
            raise result
        # Only this miner's bytes were involved; were it `local_fault`, finding such a bug would excuse an answer.
        _log.error("asking %s failed unexpectedly", request.endpoint.hotkey, exc_info=result)
        return _exchange(request, _Reply(ExchangeStatus.MALFORMED, detail=one_line(repr(result))), elapsed_ms=0)

    async def _ask(self, session: aiohttp.ClientSession, request: _Request, until: float) -> Exchange:
        if request.refusal is not None:
            return _exchange(request, _Reply(ExchangeStatus.FORBIDDEN_ADDRESS, detail=request.refusal), elapsed_ms=0)
        started_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout_at(until):
                reply = await self._post(session, request)
        except TimeoutError:
            reply = _Reply(ExchangeStatus.TIMEOUT, detail="no complete answer before the deadline")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reply = _failed(error)
        return _exchange(request, reply, elapsed_ms=(time.monotonic_ns() - started_ns) // 1_000_000)

    async def _post(self, session: aiohttp.ClientSession, request: _Request) -> _Reply:
        async with session.post(
            _url(request.endpoint), data=request.body, headers=request.headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                return _Reply(ExchangeStatus.REJECTED, response.status, detail=f"HTTP {response.status}")
            if _is_compressed(response):
                return _Reply(ExchangeStatus.MALFORMED, response.status, detail="compressed body")
            answer = await self._read_capped(response)
            if answer is None:
                detail = f"body over {self._max_body_bytes} bytes"
                return _Reply(ExchangeStatus.OVERSIZE, response.status, detail=detail)
            try:
                signature = read_signature(response.headers)
                verify_response(
                    signature,
                    answer,
                    path=REBALANCE_PATH,
                    request_body=request.body,
                    nonce_ns=request.nonce_ns,
                    miner=request.endpoint.hotkey,
                    receiver=self._hotkey,
                )
            except RemoteError as error:
                return _Reply(ExchangeStatus.UNSIGNED, response.status, detail=one_line(error.message))
            return _Reply(ExchangeStatus.ANSWERED, response.status, answer, signature)

    async def _read_capped(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body, or None as soon as it is known to be too large."""
        if (response.content_length or 0) > self._max_body_bytes:
            return None
        parts = bytearray()
        async for chunk in response.content.iter_any():
            parts += chunk
            if len(parts) > self._max_body_bytes:
                return None
        return bytes(parts)

    def _next_nonce(self) -> int:
        """Return the time, always later than last time, so that no two requests share a nonce."""
        self._last_nonce_ns = max(self._last_nonce_ns + 1, self._clock_ns())
        return self._last_nonce_ns


def _exchange(request: _Request, reply: _Reply, *, elapsed_ms: int) -> Exchange:
    return Exchange(
        hotkey=request.endpoint.hotkey,
        path=REBALANCE_PATH,
        request_body=request.body,
        nonce_ns=request.nonce_ns,
        request_signature=read_signature(request.headers) if request.headers else None,
        status=reply.status,
        http_status=reply.http_status,
        response_body=reply.body,
        response_signature=reply.signature,
        elapsed_ms=elapsed_ms,
        detail=reply.detail,
    )


def _is_compressed(response: aiohttp.ClientResponse) -> bool:
    return any(coding.lower() != "identity" for coding in response.headers.getall("Content-Encoding", []))


def _url(endpoint: MinerEndpoint) -> str:
    host = str(ipaddress.ip_address(endpoint.host))  # canonical, and proof that nothing will be looked up
    return (
        f"http://[{host}]:{endpoint.port}{REBALANCE_PATH}"
        if ":" in host
        else f"http://{host}:{endpoint.port}{REBALANCE_PATH}"
    )


def _failed(error: Exception) -> _Reply:
    """Sort what can go wrong on the way by whose fault it is."""
    detail = one_line(f"{type(error).__name__}: {error}")
    if isinstance(error, OSError) and error.errno in _OUR_ERRNOS:
        return _Reply(ExchangeStatus.LOCAL_FAULT, detail=detail)
    if isinstance(error, OSError | aiohttp.ServerDisconnectedError):
        return _Reply(ExchangeStatus.UNREACHABLE, detail=detail)
    return _Reply(ExchangeStatus.MALFORMED, detail=detail)
