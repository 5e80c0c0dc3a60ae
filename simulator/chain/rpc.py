"""The port through which a chain is asked, and one node behind it.

    ChainError
    ├── Unreachable    retryable: no answer, or none that is one (refused, cut off, too late, 5xx, not JSON)
    ├── RateLimited    retryable: asked too often; `retry_after_s` where the node says how long
    ├── BadAnswer      retryable: an answer that cannot be true
    ├── Absent         retryable: the node has not got the block or its state
    └── Refused        not retryable: the node's own verdict on the request, with its code

An answer counts only once the request's own `read` has accepted it: what cannot be true is the endpoint's fault, and
the next one is asked.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCRequest

from protocol.errors import ChainError

T = TypeVar("T")

MAX_ANSWER_BYTES = 64 * 2**20
_MAX_RETRY_AFTER_S = 3600.0
_LIMIT_CODES = frozenset({429, -32029})
_LIMIT_WORDS = re.compile(r"rate.?limit|too many requests|compute units|throughput|capacity exceeded", re.IGNORECASE)
_ABSENT_WORDS = re.compile(
    r"unknown block|(header|block|state|resource).{0,40}not found|missing trie node|not available|pruned|not canonical",
    re.IGNORECASE,
)


class Unreachable(ChainError):
    """The node did not answer."""

    def __init__(self, message: str, **where: object) -> None:
        super().__init__(message, retryable=True, **where)


class RateLimited(ChainError):
    """The node was asked too often."""

    def __init__(self, message: str, *, retry_after_s: float | None, **where: object) -> None:
        super().__init__(message, retryable=True, **where)
        self.retry_after_s = retry_after_s


class BadAnswer(ChainError):
    """The node answered what cannot be true."""

    def __init__(self, message: str, **where: object) -> None:
        super().__init__(message, retryable=True, **where)


class Absent(ChainError):
    """The node has not got what was asked about, yet or any more."""

    def __init__(self, message: str, **where: object) -> None:
        super().__init__(message, retryable=True, **where)


class Refused(ChainError):
    """The node understood and said no: a revert, a method it has not got, a range too long."""

    def __init__(self, message: str, *, code: int, **where: object) -> None:
        super().__init__(message, retryable=False, **where)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One question. `read` turns the JSON answer into a value or raises BadAnswer.

    `is_decisive` marks reads that decide money: where several endpoints are configured to agree, they must.
    A `read` may return None for what is not there yet.
    """

    method: str
    params: tuple[Any, ...]
    read: Callable[[Any], T]
    is_decisive: bool = False


class Rpc(Protocol):
    """A chain that can be asked."""

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Return the answer. Raises one of this module's errors, within the deadline."""

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        """Return the answers to many questions, sent together. Raises as `ask` does for the first that fails."""

    async def close(self) -> None:
        """Release connections. Idempotent."""


class JsonRpc:
    """The JSON-RPC of one node, whatever carries it: questions formed, answers judged. web3.py does the JSON."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.codec = AsyncJSONBaseProvider()

    def form(self, request: Request[Any]) -> RPCRequest:
        """Return a question under an id of its own."""
        return self.codec.form_request(RPCEndpoint(request.method), list(request.params))

    def accept(self, request: Request[T], form: RPCRequest, answer: Any) -> T:
        """Return what an answer says. Raises one of this module's errors when it is none, or an error's."""
        if not isinstance(answer, dict):
            raise BadAnswer("no JSON-RPC answer", endpoint=self._name, method=request.method)
        if answer.get("id") != form["id"]:
            self.raise_error(answer, request.method)  # an error about the whole request has no id
            raise BadAnswer("the answer to another question", endpoint=self._name, method=request.method)
        self.raise_error(answer, request.method)
        if "result" not in answer:
            raise BadAnswer("neither result nor error", endpoint=self._name, method=request.method)
        try:
            return request.read(answer["result"])
        except BadAnswer as error:
            raise BadAnswer(error.message, endpoint=self._name, method=request.method, **error.where) from error

    def raise_error(self, answer: dict[str, Any], method: str) -> None:
        """Raise what a JSON-RPC error object means."""
        error = answer.get("error")
        if error is None:
            return
        if not isinstance(error, dict):
            raise BadAnswer(f"error {error!r:.80}", endpoint=self._name, method=method)
        raise error_of(error, endpoint=self._name, method=method)


def node_name(url: str) -> str:
    """Return what a node is called in errors and logs: its host, for the rest of a URL may hold a key."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


class HttpRpc:
    """One node over HTTP.

    The carrying is ours: web3.py's own HTTP session sits behind a lock of the whole
    process which a request cancelled at its deadline can leave locked for ever, it asks for the chain id around calls,
    and it opens a connection per request.
    """

    def __init__(self, url: str) -> None:
        self.name = node_name(url)
        self._url = url
        self._json = JsonRpc(self.name)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Ask one question."""
        form = self._json.form(request)
        answer = await self._exchange(self._json.codec.encode_rpc_dict(form), deadline_s)
        return self._json.accept(request, form, answer)

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        """Ask all questions in one batch."""
        if not requests:
            return []
        forms = [self._json.form(request) for request in requests]
        answer = await self._exchange(self._json.codec.encode_batch_request_dicts(forms), deadline_s)
        if isinstance(answer, dict):
            self._json.raise_error(answer, "batch")
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise BadAnswer("the answer to a batch is not a list", endpoint=self.name)
        by_id = {item.get("id"): item for item in answer}
        return [self._json.accept(r, f, by_id.get(f["id"])) for r, f in zip(requests, forms, strict=True)]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, body: bytes, deadline_s: float) -> Any:
        """Return the decoded answer to a posted body."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._post(body)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {deadline_s:g} s", endpoint=self.name) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: not JSON, or not UTF-8
            raise Unreachable(f"no answer: {type(error).__name__}", endpoint=self.name) from error

    async def _post(self, body: bytes) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            if response.status == 429:
                after = _retry_after(response.headers)
                raise RateLimited("asked too often", retry_after_s=after, endpoint=self.name)
            content = bytearray()
            async for chunk in response.content.iter_chunked(2**16):
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise BadAnswer("the answer is too long", endpoint=self.name)
            if response.status >= 500 or response.status in (401, 403):
                raise Unreachable(f"HTTP {response.status}", endpoint=self.name)
            try:
                return self._json.codec.decode_rpc_response(bytes(content))
            except (ValueError, RecursionError) as error:
                raise Unreachable(f"HTTP {response.status} without JSON", endpoint=self.name) from error


def error_of(error: dict[str, Any], **where: object) -> ChainError:
    """Return what a JSON-RPC error object means. Nodes agree on few codes, so their words are read as well."""
    code, message = error.get("code"), str(error.get("message", ""))[:200]
    code = code if isinstance(code, int) else 0
    is_about_size = re.search(r"result|range|response size|logs", message, re.IGNORECASE) is not None
    if code in _LIMIT_CODES or _LIMIT_WORDS.search(message) or (code == -32005 and not is_about_size):
        return RateLimited(message, retry_after_s=None, **where)
    if code == -32001 or (code != 3 and _ABSENT_WORDS.search(message)):  # 3: a contract's words, not the node's
        return Absent(message, **where)
    if code in (-32603, -32700):  # the node broke, or what it got was cut on the way
        return Unreachable(f"{code} {message}", **where)
    return Refused(message, code=code, **where)


def _retry_after(headers: Any) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date held against the answer's own Date."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII):
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("Date", ""))
        return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER_S)
    except (ValueError, TypeError):
        return None


@dataclass(slots=True)
class ScriptedRpc:
    """A node that answers what a function says: the stand-in for offline use and tests.

    `answer(method, params)` returns a JSON value or raises one of this module's errors.
    """

    answer: Callable[[str, tuple[Any, ...]], Any]
    name: str = "scripted"
    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    is_closed: bool = False

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Answer from the script."""
        await asyncio.sleep(0)
        self.asked.append((request.method, request.params))
        # Through JSON, as every real answer goes: tuples become lists, keys strings.
        return request.read(json.loads(json.dumps(self.answer(request.method, request.params))))

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        """Answer each from the script."""
        return [await self.ask(request, deadline_s=deadline_s) for request in requests]

    async def close(self) -> None:
        """Remember that it was closed."""
        self.is_closed = True


if TYPE_CHECKING:
    _is_an_rpc: tuple[type[Rpc], type[Rpc]] = (HttpRpc, ScriptedRpc)  # mypy proves the port
