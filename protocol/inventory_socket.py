"""Inventories over ZMQ: differences on a PUB socket, snapshots on a ROUTER. The only module that knows pyzmq.

PUB drops what a slow subscriber does not take, so publishing never waits; who was dropped sees a gap in the numbers.
Nothing is encrypted and nobody is asked who he is: bind to loopback or to a private network.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import zmq
import zmq.asyncio
from pydantic import ValidationError

from protocol.errors import ConfigError, RemoteError
from protocol.inventory import Books, Following, Inventory, parse
from protocol.messages import encode

_log = logging.getLogger(__name__)

TOPIC = b"tideline.inventory.1"
ASK = b"snapshot"
_MOST_ASK_BYTES = 1024
_MOST_TOLD_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where differences and snapshots are had, as ZMQ spells it: tcp://127.0.0.1:5601."""

    updates: str
    snapshots: str


class InventoryPublisher:
    """Publishes inventories for whoever subscribes. Use it from one event loop; `run` answers for snapshots."""

    def __init__(
        self,
        wanted: Addresses,
        publisher: str,
        *,
        heartbeat_s: float = 5.0,
        most_queued: int = 1000,
        most_books: int = 64,
    ) -> None:
        self._wanted = wanted
        self._books = Books(publisher, most_books)
        self._heartbeat_s = heartbeat_s
        self._context = zmq.Context()
        self._updates = self._context.socket(zmq.PUB)  # not asynchronous: a send to PUB never waits
        self._snapshots = zmq.asyncio.Context(self._context).socket(zmq.ROUTER)
        self._updates.setsockopt(zmq.SNDHWM, most_queued)
        self._snapshots.setsockopt(zmq.SNDHWM, most_queued)
        self._snapshots.setsockopt(zmq.MAXMSGSIZE, _MOST_ASK_BYTES)

    def bind(self) -> Addresses:
        """Listen; return where. Raises ConfigError where that cannot be."""
        for socket, address in ((self._updates, self._wanted.updates), (self._snapshots, self._wanted.snapshots)):
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                self.close()
                raise ConfigError(
                    f"cannot publish at {address}: {error}; use for example tcp://127.0.0.1:5601"
                ) from error
        return Addresses(_bound(self._updates), _bound(self._snapshots))

    def publish(self, inventory: Inventory) -> None:
        """Tell of an inventory. Never waits, never raises: a miner's answer must not depend on who listens."""
        try:
            self._send(encode(self._books.tell(inventory)))
        except (zmq.ZMQError, ValidationError) as error:
            _log.warning("an inventory of %s is not published: %s", inventory.book, error)

    async def run(self) -> None:
        """Answer for snapshots and send heartbeats, until cancelled."""
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                peer, *between, said = await self._snapshots.recv_multipart()
                if said == ASK and between in ([], [b""]):  # of a DEALER, of a REQ
                    await self._snapshots.send_multipart([peer, *between, encode(self._books.snapshot())])
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            self._send(encode(self._books.heartbeat()))

    def _send(self, body: bytes) -> None:
        self._updates.send_multipart([TOPIC, body], zmq.DONTWAIT)

    def close(self) -> None:
        """Drop what nobody has taken yet. Idempotent."""
        self._snapshots.close(linger=0)
        self._context.destroy(linger=0)


async def follow(
    addresses: Addresses, *, silence_s: float = 15.0, ask_s: float = 2.0, most_queued: int = 1000
) -> AsyncIterator[Following]:
    """Yield what is known, each time it changes. It is the same object; `needs_snapshot` says when it may be old.

    A publisher that is silent for longer than its heartbeats, or not there, is asked for a snapshot again and again.
    """
    context = zmq.asyncio.Context()
    known = Following()
    try:
        updates = _connected(context, zmq.SUB, addresses.updates, most_queued)
        updates.setsockopt(zmq.SUBSCRIBE, TOPIC)
        while True:
            if known.needs_snapshot and await _snapshot(context, addresses.snapshots, known, ask_s):
                yield known
            try:
                async with asyncio.timeout(ask_s if known.needs_snapshot else silence_s):
                    body = (await updates.recv_multipart())[-1]  # after the topic
            except TimeoutError:
                if not known.needs_snapshot:
                    known.needs_snapshot = True
                    yield known
                continue
            if _take(known, body):
                yield known
    finally:
        context.destroy(linger=0)


async def _snapshot(context: zmq.asyncio.Context, address: str, known: Following, ask_s: float) -> bool:
    """Ask for a snapshot, on a socket of its own: a lost answer must not be taken for the next one's."""
    asking = _connected(context, zmq.DEALER, address, 1)
    try:
        async with asyncio.timeout(ask_s):
            await asking.send(ASK)
            return _take(known, await asking.recv())
    except TimeoutError:
        return False
    finally:
        asking.close(linger=0)


def _take(known: Following, body: bytes) -> bool:
    try:
        return known.take(parse(body))
    except RemoteError as error:
        _log.warning("a message that is none: %s", error)
        known.needs_snapshot = True
        return False


def _connected(context: zmq.asyncio.Context, kind: int, address: str, most_queued: int) -> zmq.asyncio.Socket:
    socket = context.socket(kind)
    socket.setsockopt(zmq.RCVHWM, most_queued)
    socket.setsockopt(zmq.MAXMSGSIZE, _MOST_TOLD_BYTES)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        raise ConfigError(f"cannot connect to {address}: {error}; use for example tcp://127.0.0.1:5601") from error
    return socket


def _bound(socket: zmq.Socket[Any]) -> str:
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)
