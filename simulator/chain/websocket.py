"""One node over a websocket: questions and answers by number, and a subscription to new heads that rings a bell.

    DOWN --connected--> UP          questions are sent, and heads subscribed to
    UP   --no head for `silence_s`--> UP, heads subscribed to anew
    UP   --closed, cut, garbled, a ping without answer--> DOWN       open questions fail
    DOWN --after a pause, longer while nothing is answered--> tried again

What a head says is not believed: it only wakes whoever polls, so that order, gaps, duplicates and reorgs are dealt with
in one place whatever the transport. A subscription that is silent, late or lies costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import aiohttp
from web3.types import RPCRequest

from simulator.chain.bell import Bell
from simulator.chain.rpc import MAX_ANSWER_BYTES, JsonRpc, Request, Rpc, Unreachable, node_name

T = TypeVar("T")
_log = logging.getLogger(__name__)

_CONNECT_S = 10.0
_MIN_PAUSE_S = 0.25
_MAX_PAUSE_S = 5.0
_HEADS = Request("eth_subscribe", ("newHeads",), lambda value: value)
# What ends a connection; a ValueError is an address that is none, or a message that is no JSON.
_LOST = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError)
_Socket: TypeAlias = aiohttp.ClientWebSocketResponse[bool]


class WebSocketRpc:
    """One node over a websocket, connected from the first question until it is closed.

    `heartbeat_s` is how often a ping is sent, whose answer must come in half that time; `silence_s` how long a
    subscription may say nothing before it is asked for anew. The first tells a socket that is open and dead, the second
    a subscription that is.
    """

    def __init__(
        self, url: str, *, bell: Bell | None = None, heartbeat_s: float = 10.0, silence_s: float = 30.0
    ) -> None:
        self.name = node_name(url)
        self._url = url
        self._bell = Bell() if bell is None else bell
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._json = JsonRpc(self.name)
        self._pending: dict[object, asyncio.Future[Any]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._socket: asyncio.Future[_Socket]

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Ask one question."""
        form = self._json.form(request)
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._exchange(form)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {deadline_s:g} s", endpoint=self.name) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"no answer: {type(error).__name__}", endpoint=self.name) from error
        return self._json.accept(request, form, answer)

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        """Ask all questions at once, each for itself: one socket carries them all."""
        asked = [asyncio.ensure_future(self.ask(request, deadline_s=deadline_s)) for request in requests]
        try:
            return list(await asyncio.gather(*asked))
        finally:
            for question in asked:
                question.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def close(self) -> None:
        """Hang up, and stop trying."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            self._fail_all("closed")

    async def _exchange(self, form: RPCRequest) -> Any:
        """Send a question and return the answer to it. Raises Unreachable when the connection is, or goes, down."""
        loop = asyncio.get_running_loop()
        if self._keeper is None or self._keeper.done():
            self._socket = loop.create_future()
            self._keeper = asyncio.create_task(self._keep())
        socket = await asyncio.shield(self._socket)
        answer = self._pending[form["id"]] = loop.create_future()
        try:
            await socket.send_str(self._json.codec.encode_rpc_dict(form).decode())
            return await answer
        finally:
            self._pending.pop(form["id"], None)

    async def _keep(self) -> None:
        """Connect and read, and begin again whenever the connection is lost."""
        loop, pause_s = asyncio.get_running_loop(), _MIN_PAUSE_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            while True:
                heads = _Heads(self._json, self._bell, self._silence_s)
                try:
                    why = await self._serve(session, heads)
                except _LOST as error:
                    why = type(error).__name__  # its text may hold the URL, and that a key
                finally:
                    heads.end()
                self._fail_all(why)
                _log.warning("%s: the websocket is down: %s", self.name, why)
                pause_s = _MIN_PAUSE_S if heads.was_answered else min(2 * pause_s, _MAX_PAUSE_S)
                await asyncio.sleep(pause_s)
                self._socket = loop.create_future()  # from here on questions wait for the next try

    def _fail_all(self, why: str) -> None:
        """Tell all who wait, and all who ask before the next try, that the connection is down."""
        if self._socket.done():
            self._socket = asyncio.get_running_loop().create_future()
        for waiting in (self._socket, *self._pending.values()):
            if not waiting.done():
                waiting.set_exception(Unreachable(f"the websocket is down: {why}", endpoint=self.name))
        self._socket.exception()  # perhaps nobody asks: that is no error of ours

    async def _serve(self, session: aiohttp.ClientSession, heads: _Heads) -> str:
        """Connect, and read until the connection ends; return why."""
        async with asyncio.timeout(_CONNECT_S):
            socket = await session.ws_connect(
                self._url,
                heartbeat=self._heartbeat_s,
                max_msg_size=MAX_ANSWER_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        async with socket:
            self._socket.set_result(socket)
            await heads.subscribe(socket)
            while True:
                try:
                    async with asyncio.timeout(heads.patience_s):
                        message = await socket.receive()
                except TimeoutError:
                    await heads.subscribe(socket)
                    continue
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return message.type.name.lower()
                self._take(json.loads(message.data), heads)

    def _take(self, answer: Any, heads: _Heads) -> None:
        """Give a message to whom it is for; what nobody waits for is forgotten."""
        if not isinstance(answer, dict) or heads.take(answer):
            return
        number = answer.get("id")
        waiting = self._pending.get(number) if isinstance(number, int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class _Heads:
    """One connection's subscription to new heads: asked for, standing, or refused; asked for anew when it is silent."""

    def __init__(self, json_rpc: JsonRpc, bell: Bell, silence_s: float) -> None:
        self._json = json_rpc
        self._bell = bell
        self._silence_s = silence_s
        self._form: RPCRequest | None = None
        self._number: object = None
        self._heard_at = 0.0
        self.was_answered = False

    @property
    def patience_s(self) -> float | None:
        """The seconds for which it may still say nothing; None: it was refused, and nothing is expected."""
        if self.was_answered and self._number is None:
            return None
        return self._heard_at + self._silence_s - asyncio.get_running_loop().time()

    async def subscribe(self, socket: _Socket) -> None:
        """Ask for it; what stood until now is given up."""
        forms = [self._json.form(_HEADS)]
        if self._number is not None:
            forms.append(self._json.form(Request("eth_unsubscribe", (self._number,), lambda value: value)))
        self.end()
        self._form = forms[0]
        self._hear()
        for form in forms:
            await socket.send_str(self._json.codec.encode_rpc_dict(form).decode())

    def take(self, answer: dict[str, Any]) -> bool:
        """Take a message if it is the subscription's; return whether it was."""
        if self._form is not None and answer.get("id") == self._form["id"]:
            self._form, self.was_answered, self._number = None, True, answer.get("result")
            self._hear()
            if self._number is not None:
                self._bell.attend(stands=True)
            return True
        if answer.get("method") != "eth_subscription":
            return False
        self._hear()
        told = answer.get("params")
        head = told.get("result") if isinstance(told, dict) else None
        self._bell.ring(head.get("hash") if isinstance(head, dict) else None)
        return True

    def end(self) -> None:
        """It stands no longer."""
        if self._number is not None:
            self._bell.attend(stands=False)
        self._number = None

    def _hear(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()


if TYPE_CHECKING:
    _is_an_rpc: type[Rpc] = WebSocketRpc  # mypy proves the port
