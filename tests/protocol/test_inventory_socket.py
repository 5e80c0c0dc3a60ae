"""Inventories over real ZMQ sockets: followed, lost and found again; nobody who listens can slow the publisher."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest
import zmq
import zmq.asyncio
from support.inventories import held, inventory

from protocol.errors import ConfigError
from protocol.inventory import Following, parse
from protocol.inventory_socket import ASK, TOPIC, Addresses, InventoryPublisher, follow

ANYWHERE = Addresses("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
PATIENCE_S = 30


@contextlib.asynccontextmanager
async def publishing(
    wanted: Addresses = ANYWHERE, name: str = "p", *, heartbeat_s: float = 0.05, most_queued: int = 1000
) -> AsyncIterator[tuple[InventoryPublisher, Addresses]]:
    publisher = InventoryPublisher(wanted, name, heartbeat_s=heartbeat_s, most_queued=most_queued)
    addresses = publisher.bind()
    running = asyncio.create_task(publisher.run())
    try:
        yield publisher, addresses
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        publisher.close()


async def until(known: AsyncIterator[Following], is_so: Callable[[Following], bool]) -> Following:
    async with asyncio.timeout(PATIENCE_S):
        async for one in known:
            if is_so(one):
                return one
    raise AssertionError


@contextlib.asynccontextmanager
async def following(addresses: Addresses, *, most_queued: int = 1000) -> AsyncIterator[AsyncIterator[Following]]:
    known = follow(addresses, silence_s=0.5, ask_s=0.5, most_queued=most_queued)
    async with contextlib.aclosing(known):  # type: ignore[type-var]  # it is a generator
        yield known


async def test_a_follower_has_what_was_before_it_came_and_everything_after() -> None:
    async with publishing() as (publisher, addresses):
        publisher.publish(inventory("a", held(0)))
        async with following(addresses) as known:
            first = await until(known, lambda k: not k.needs_snapshot)
            assert first.books == {"a": inventory("a", held(0))}
            publisher.publish(inventory("a", held(60), idle0=3))
            publisher.publish(inventory("b"))
            last = await until(known, lambda k: k.sequence == 3)
            assert last.books == {"a": inventory("a", held(60), idle0=3), "b": inventory("b")}


async def test_a_message_lost_on_its_way_is_noticed_and_made_good_by_a_snapshot() -> None:
    """A relay between both lets one message fall, as a network does."""
    async with publishing() as (publisher, addresses), relay(addresses, lose=2) as (relayed, lost):
        async with following(relayed) as known:
            await until(known, lambda k: not k.needs_snapshot)
            for step in range(4):
                publisher.publish(inventory("a", held(60 * step)))
            end = await until(known, lambda k: k.sequence == 4 and not k.needs_snapshot)
            assert end.books == {"a": inventory("a", held(180))}
        assert lost == [2]


async def test_the_last_message_lost_is_made_good_too() -> None:
    async with (
        publishing() as (publisher, addresses),
        relay(addresses, lose=1) as (relayed, lost),
        following(relayed) as known,
    ):
        await until(known, lambda k: not k.needs_snapshot)
        publisher.publish(inventory("a", held(0)))
        end = await until(known, lambda k: bool(k.books))
        assert end.books == {"a": inventory("a", held(0))} and lost == [1]


@contextlib.asynccontextmanager
async def relay(addresses: Addresses, *, lose: int) -> AsyncIterator[tuple[Addresses, list[int]]]:
    """Pass everything on but the difference of one number."""
    context = zmq.asyncio.Context()
    incoming, outgoing = context.socket(zmq.SUB), context.socket(zmq.PUB)
    incoming.connect(addresses.updates)
    incoming.setsockopt(zmq.SUBSCRIBE, b"")
    port = outgoing.bind_to_random_port("tcp://127.0.0.1")
    lost: list[int] = []
    has_joined = asyncio.Event()

    async def run() -> None:
        while True:
            topic, body = await incoming.recv_multipart()
            has_joined.set()
            message = parse(body)
            if message.type != "heartbeat" and message.sequence == lose:
                lost.append(lose)
            else:
                await outgoing.send_multipart([topic, body])

    running = asyncio.create_task(run())
    try:
        await asyncio.wait_for(has_joined.wait(), PATIENCE_S)  # a heartbeat came through
        yield Addresses(f"tcp://127.0.0.1:{port}", addresses.snapshots), lost
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        context.destroy(linger=0)


async def test_a_subscriber_that_does_not_read_keeps_nobody_waiting_and_catches_up_when_it_does() -> None:
    """Some 40 MB for a queue of four: what does not fit is dropped at the publisher, and never waited for."""
    many = [held(60 * n, fees1=2**255) for n in range(50)]
    async with publishing(most_queued=4) as (publisher, addresses), following(addresses, most_queued=4) as known:
        await until(known, lambda k: not k.needs_snapshot)
        spent = time.thread_time()
        slowest = 0.0
        for step in range(2000):
            before = time.monotonic()
            publisher.publish(inventory("a", *many, idle0=step, place=place(step)))
            publisher.publish(inventory("b", *[h.model_copy(update={"amount0": step}) for h in many]))
            slowest = max(slowest, time.monotonic() - before)
        assert publisher._books.sequence == 4000
        assert slowest < 5 and time.thread_time() - spent < 60, "nobody was waited for"
        seen: list[int] = []

        def is_over(k: Following) -> bool:
            seen.append(k.sequence)
            return k.sequence == 4000 and not k.needs_snapshot

        end = await until(known, is_over)
        assert len(seen) < 3000, "most of it was dropped"
        assert end.books["a"].idle0 == 1999 and end.books["b"].positions[0].amount0 == 1999


def place(step: int) -> object:
    return inventory().place.model_copy(update={"block_number": step})


async def test_a_publisher_that_comes_back_is_followed_anew() -> None:
    async with publishing(name="before") as (publisher, addresses):
        publisher.publish(inventory("a"))
        known = follow(addresses, silence_s=0.3, ask_s=0.3)
        await until(known, lambda k: not k.needs_snapshot)
    gone = await until(known, lambda k: k.needs_snapshot)
    assert set(gone.books) == {"a"}, "what is known stands, and is said to be old"
    async with publishing(addresses, name="after") as (publisher, _):
        publisher.publish(inventory("b"))
        back = await until(known, lambda k: not k.needs_snapshot)
        assert (back.publisher, set(back.books)) == ("after", {"b"})
        await known.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_snapshots_are_had_by_whoever_asks_rightly_and_nonsense_harms_nobody() -> None:
    async with publishing() as (publisher, addresses):
        publisher.publish(inventory("a"))
        context = zmq.asyncio.Context()
        plain, request = context.socket(zmq.DEALER), context.socket(zmq.REQ)
        for socket in (plain, request):
            socket.connect(addresses.snapshots)
        for nonsense in ([b""], [b"snapshot?"], [b"a", b"b", b"snapshot"], [b"x" * 1000]):
            await plain.send_multipart(nonsense)
        await plain.send(ASK)
        await request.send(ASK)
        async with asyncio.timeout(PATIENCE_S):
            assert parse(await plain.recv()) == parse(await request.recv()) == publisher._books.snapshot()
        context.destroy(linger=0)


async def test_a_flood_of_messages_that_are_none_costs_the_follower_a_snapshot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with publishing() as (publisher, addresses), following(addresses) as known:
        await until(known, lambda k: not k.needs_snapshot)
        for body in (b"", b"{}", b"\xff"):
            publisher._updates.send_multipart([TOPIC, body])
        publisher._updates.send_multipart([TOPIC])
        publisher._updates.send_multipart([TOPIC, b"a", b"b"])
        publisher.publish(inventory("a"))
        assert (await until(known, lambda k: bool(k.books))).books == {"a": inventory("a")}
    assert "a message that is none" in caplog.text


async def test_what_cannot_be_bound_or_reached_is_the_operators_and_closed_again() -> None:
    async with publishing() as (_, addresses):
        with pytest.raises(ConfigError, match="cannot publish at tcp:"):
            InventoryPublisher(Addresses(ANYWHERE.updates, addresses.snapshots), "q").bind()
    with pytest.raises(ConfigError, match="cannot publish at nonsense"):
        InventoryPublisher(Addresses("nonsense", "x"), "q").bind()
    with pytest.raises(ConfigError, match="cannot connect to nonsense"):
        await anext(follow(Addresses("nonsense", "x")))


async def test_what_cannot_be_written_is_left_out_and_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with publishing() as (publisher, _):
        publisher.publish(inventory("a"))
        publisher.publish(inventory("a", idle0=2**256 - 1, idle1=2**256 - 1))
        assert "is not published" not in caplog.text
        publisher.publish(inventory("a", *[held(60 * n, amount0=2**256 - 1) for n in range(3)]))
        assert "is not published" in caplog.text
