"""The miner's door: what a request must prove, and in which order, before a strategy hears of it.

Cheap checks come first and nothing a stranger sends is kept: size, header shape and permit before a byte of the body is
read; signature, freshness and replay before it is parsed; the caller's own rate before anything is decided.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from typing import Protocol

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from miner.config import MinerConfig
from miner.decider import Decider
from miner.limits import Slots, TokenBuckets
from miner.strategy import Strategy
from protocol.errors import ConfigError, RemoteError
from protocol.messages import RebalanceQuery, RebalanceResponse, encode, parse_query
from protocol.signing import Caller, Signer, new_nonce_store, read_claimed_hotkey, sign_response, verify_request
from protocol.units import Hotkey
from protocol.wire import CONTENT_TYPE, HEALTH_PATH, PROTOCOL_VERSION, REBALANCE_PATH

_log = logging.getLogger(__name__)


class ValidatorSet(Protocol):
    """Who may ask."""

    def is_permitted(self, hotkey: Hotkey) -> bool: ...


class AllowList:
    """A fixed set of validators, for use without a chain."""

    def __init__(self, hotkeys: frozenset[Hotkey]) -> None:
        self._hotkeys = hotkeys

    def is_permitted(self, hotkey: Hotkey) -> bool:
        return hotkey in self._hotkeys


class _Denied(Exception):
    """A request goes no further: an HTTP status and one line. Never leaves this module."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Doorman(asyncio.Protocol):
    """Meets a new connection: hands it to the HTTP server, or closes it when there are too many."""

    def __init__(self, server: web.Server, config: MinerConfig) -> None:
        self._server = server
        self._config = config

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = _peer(transport.get_extra_info("peername"))
        connections = self._server.connections
        of_peer = sum(1 for connection in connections if _peer(connection.peername) == peer)
        if len(connections) >= self._config.max_connections or of_peer >= self._config.max_connections_per_peer:
            transport.close()
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


def _is_ours(record: logging.LogRecord) -> bool:
    """Keep what strangers send instead of HTTP out of the log: they would fill it with tracebacks at will."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _peer(peername: object) -> object:
    return peername[0] if isinstance(peername, tuple) and peername else None


class MinerServer:
    """Serves one strategy under one hotkey. `start` binds the port, `stop` lets answers under way finish."""

    def __init__(
        self,
        signer: Signer,
        strategy: Strategy,
        validators: ValidatorSet,
        config: MinerConfig,
        *,
        version: str,
        observe: Callable[[RebalanceQuery, Hotkey], None] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._signer = signer
        self._hotkey = Hotkey(signer.ss58_address)
        self._strategy = strategy
        self._validators = validators
        self._config = config
        self._observe = observe  # told of every question answered; it must neither wait nor raise
        self._clock_ns = clock_ns
        self._decider = Decider(strategy, version=version, max_decisions=config.max_decisions)
        self._nonces = new_nonce_store(config.nonce_retention_s)
        self._buckets = TokenBuckets(config.rate_per_s, config.burst, time.monotonic)
        self._readers = Slots(config.max_readers_per_peer)
        self._answered = 0
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on."""
        if self._server is None:
            raise RuntimeError("the server has not been started")
        host, port, *_ = self._server.sockets[0].getsockname()
        return str(host), int(port)

    async def start(self) -> None:
        """Listen. Raises ConfigError if the address cannot be had."""
        config = self._config
        app = web.Application(client_max_size=config.max_body_bytes)
        app.router.add_post(REBALANCE_PATH, self._rebalance)
        app.router.add_get(HEALTH_PATH, self._health)
        http_log = logging.getLogger(f"{__name__}.http")
        http_log.addFilter(_is_ours)
        runner = web.AppRunner(
            app,
            logger=http_log,
            access_log=None,
            shutdown_timeout=config.stop_s,
            keepalive_timeout=config.idle_s,
            lingering_time=1.0,
            auto_decompress=False,  # a signature covers the raw bytes, and a bomb must stay folded
        )
        await runner.setup()
        server = runner.server
        assert server is not None  # `setup` has made it
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Doorman(server, config), config.host, config.port)
        except OSError as error:
            await runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {config.port} on {config.host} is in use; choose another with --port"
                ) from error
            raise ConfigError(f"cannot listen on {config.host}:{config.port}: {error.strerror or error}") from error
        self._runner = runner
        _log.info("listening on %s:%s as %s with strategy %s", *self.address, self._hotkey, self._strategy.name)

    async def stop(self) -> None:
        """Stop listening, let answers under way finish for a moment, close every connection. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": "busy" if self._decider.is_busy else "ok",
                "hotkey": self._hotkey,
                "strategy": self._strategy.name,
                "protocol_version": PROTOCOL_VERSION,
                "answered": self._answered,
            }
        )

    async def _rebalance(self, request: web.Request) -> web.Response:
        arrived_s = time.monotonic()
        try:
            body = await self._read_permitted(request)
            caller, query = self._prove(request, body)
        except _Denied as denied:
            _log.info("denied %s: %s %s", request.remote, denied.status, denied.reason)
            return web.Response(status=denied.status, text=denied.reason + "\n")
        response = await self._decide(query, arrived_s)
        self._answered += 1
        if self._observe is not None:
            self._observe(query, caller.hotkey)
        _log.info("answered %s for %s: accepted=%s", query.request_id, caller.hotkey, response.accepted)
        return self._signed(response, body, caller)

    async def _read_permitted(self, request: web.Request) -> bytes:
        """Return the body of a request whose headers claim a permitted validator; the claim is not proven yet."""
        if (request.content_length or 0) > self._config.max_body_bytes:
            raise _Denied(413, f"body over {self._config.max_body_bytes} bytes")
        if "Content-Encoding" in request.headers:
            raise _Denied(415, "compressed bodies are not accepted")
        try:
            claimed = read_claimed_hotkey(request.headers)
        except RemoteError as error:
            raise _Denied(401, error.message) from error
        if not self._validators.is_permitted(claimed):
            raise _Denied(403, "this hotkey has no validator permit here")
        peer = request.remote or ""
        if not self._readers.acquire(peer):
            raise _Denied(429, "too many requests of this address at once")
        try:
            async with asyncio.timeout(self._config.body_deadline_s):
                return await self._read_capped(request)
        except TimeoutError as error:
            raise _Denied(408, f"body took longer than {self._config.body_deadline_s:g} s") from error
        except (aiohttp.ClientPayloadError, web.RequestPayloadError, ConnectionError) as error:
            raise _Denied(400, "body is cut off or garbled") from error
        finally:
            self._readers.release(peer)

    async def _read_capped(self, request: web.Request) -> bytes:
        parts = bytearray()
        async for chunk in request.content.iter_any():
            parts += chunk
            if len(parts) > self._config.max_body_bytes:
                raise _Denied(413, f"body over {self._config.max_body_bytes} bytes")
        return bytes(parts)

    def _prove(self, request: web.Request, body: bytes) -> tuple[Caller, RebalanceQuery]:
        try:
            caller = verify_request(
                request.headers,
                body,
                path=request.raw_path,
                self_hotkey=self._hotkey,
                nonce_store=self._nonces,
                now_ns=self._clock_ns(),
            )
        except RemoteError as error:
            raise _Denied(401, error.message) from error
        if not self._validators.is_permitted(caller.hotkey):  # the proven one; it must be the claimed one
            raise _Denied(403, "this hotkey has no validator permit here")
        try:
            query = parse_query(body)
        except RemoteError as error:
            raise _Denied(400, error.message) from error
        if not self._buckets.take(caller.hotkey):
            raise _Denied(429, "too many requests of this hotkey")
        if self._decider.is_busy:
            raise _Denied(503, "busy with other decisions")
        return caller, query

    async def _decide(self, query: RebalanceQuery, arrived_s: float) -> RebalanceResponse:
        deadline_s = query.context.deadline_s
        margin_s = min(self._config.margin_s, deadline_s / 4)
        budget_s = deadline_s - margin_s - (time.monotonic() - arrived_s)
        return await self._decider.answer(query, budget_s=budget_s)

    def _signed(self, response: RebalanceResponse, request_body: bytes, caller: Caller) -> web.Response:
        body = encode(response)
        headers = sign_response(
            self._signer,
            path=REBALANCE_PATH,
            request_body=request_body,
            body=body,
            nonce_ns=caller.nonce_ns,
            receiver=caller.hotkey,
        )
        return web.Response(body=body, headers=headers, content_type=CONTENT_TYPE)
