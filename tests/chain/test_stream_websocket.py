"""A stream over a websocket: woken by new heads, and none the worse for whatever happens to the connection."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator

import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool, anvil_pool
from support.faulty_proxy import faulty_proxy
from support.faulty_socket import DOUBLED, GARBLED, HALF_OPEN, MUTE, NO_SUBSCRIPTIONS, FaultySocket, faulty_socket
from support.naive_reader import all_swaps

from protocol.errors import ChainError
from simulator.chain.abi import read_quantity
from simulator.chain.bell import Bell, ring_or_sleep
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.rpc import Refused, Request, Unreachable
from simulator.chain.websocket import WebSocketRpc
from simulator.events import Block, SwapEvent
from simulator.market import Reorg
from simulator.recorded import RealClock

UNIT = 10**18
EDGE = 887220
NEVER_S = 30.0  # longer than a test may take: whoever polls so seldom is awake because it was woken
WOKEN = ChainSettings(block_time_s=2, poll_s=0.05, quiet_poll_s=NEVER_S, stall_s=NEVER_S, give_up_s=60, deadline_s=5)
POLLED = ChainSettings(block_time_s=2, poll_s=0.01, quiet_poll_s=0.05, stall_s=1, give_up_s=10, deadline_s=5)
HEAD = Request("eth_blockNumber", (), read_quantity)
BLOCKS = 6


@pytest.fixture
async def chain() -> AsyncIterator[AnvilPool]:
    async with anvil_pool(tick=100) as running:
        await running.mint(-EDGE, EDGE, 10**21)
        await running.mine()
        yield running


def ws(url: str) -> str:
    return url.replace("http://", "ws://")


async def stands(bell: Bell) -> None:
    """Wait until a subscription stands."""
    async with asyncio.timeout(10):
        await bell.attended.wait()


async def play(chain: AnvilPool, step: int) -> None:
    await chain.swap(step % 2 == 0, (3 + step) * UNIT)
    await chain.swap(step % 2 == 1, -(1 + step) * UNIT)
    await chain.mine()


def swaps_of(blocks: list[Block]) -> list[tuple[int, int]]:
    return [(e.log_index, e.sqrt_price_x96) for b in blocks for e in b.events if isinstance(e, SwapEvent)]


async def swaps_on(chain: AnvilPool, first: int) -> list[tuple[int, int]]:
    return [(index, int(data[130:194], 16)) for index, data in await all_swaps(chain, first)]


async def test_only_a_websocket_is_enough_and_new_heads_wake_the_market(chain: AnvilPool) -> None:
    endpoints = Endpoints.over_http([ws(chain.anvil.url)], chain_id=CHAIN_ID)
    market = await ChainMarket.connect(endpoints, chain.pool, WOKEN)
    snapshot = await market.open_round(12)
    await stands(endpoints.bell)
    blocks = []
    for step in range(BLOCKS):
        waiting = asyncio.create_task(market.next_block())
        await play(chain, step)
        async with asyncio.timeout(5):
            blocks.append(await waiting)
    assert swaps_of(blocks) == await swaps_on(chain, snapshot.block_number + 1)
    assert [block.number for block in blocks] == [snapshot.block_number + 1 + n for n in range(BLOCKS)]
    await market.close()


async def test_subscription_beside_http_saves_the_polls(chain: AnvilPool) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        endpoints = Endpoints.over_http([proxy.url, ws(chain.anvil.url)], chain_id=CHAIN_ID)
        market = await ChainMarket.connect(endpoints, chain.pool, WOKEN)
        await market.open_round(12)
        await stands(endpoints.bell)
        proxy.asked.clear()
        waiting = asyncio.create_task(market.next_block())
        assert await asyncio.wait({waiting}, timeout=20 * WOKEN.poll_s) == (set(), {waiting})
        assert proxy.asked == ["eth_getBlockByNumber"], "asked once while nothing happened"
        await play(chain, 0)
        await waiting
        assert proxy.asked == ["eth_getBlockByNumber"] * 2 + ["eth_getLogs"]
        await market.close()


async def test_reorg_is_told_though_the_heads_that_came_with_it_were_not_believed(chain: AnvilPool) -> None:
    endpoints = Endpoints.over_http([ws(chain.anvil.url)], chain_id=CHAIN_ID)
    market = await ChainMarket.connect(endpoints, chain.pool, POLLED)
    await market.open_round(12)
    for step in range(3):
        await play(chain, step)
        await market.next_block()
    await chain.reorg(2)
    await play(chain, 3)
    with pytest.raises(Reorg) as raised:
        await market.next_block()
    assert raised.value.depth == 2
    first = raised.value.ancestor_number + 1
    blocks = [await market.next_block() for _ in range(3)]
    assert swaps_of(blocks) == await swaps_on(chain, first)
    await market.close()


FAULTS = [HALF_OPEN, MUTE, DOUBLED, GARBLED, NO_SUBSCRIPTIONS, "cut", "cut, again and again"]


@pytest.mark.parametrize("name", FAULTS)
async def test_no_event_is_lost_or_doubled_whatever_happens_to_the_socket(chain: AnvilPool, name: str) -> None:
    async with faulty_socket(ws(chain.anvil.url)) as proxy, asyncio.timeout(30):
        bell = Bell()
        rpc = WebSocketRpc(proxy.url, bell=bell, heartbeat_s=0.2, silence_s=1.0)
        endpoints = Endpoints({"socket": rpc}, chain_id=CHAIN_ID, attempt_s=1, bell=bell)
        proxy.fault = NO_SUBSCRIPTIONS if name == NO_SUBSCRIPTIONS else None
        market = await ChainMarket.connect(endpoints, chain.pool, POLLED)
        snapshot = await market.open_round(12)
        blocks: list[Block] = []
        for step in range(BLOCKS):
            waiting = asyncio.create_task(market.next_block())
            await spoil(proxy, name, step)
            await play(chain, step)
            blocks += [await waited(market, waiting, proxy)]
        assert swaps_of(blocks) == await swaps_on(chain, snapshot.block_number + 1)
        assert [block.number for block in blocks] == [snapshot.block_number + 1 + n for n in range(BLOCKS)]
        assert bell.attended.is_set() is (name != NO_SUBSCRIPTIONS)
        assert (proxy.connections > 1) is (name not in (MUTE, DOUBLED, NO_SUBSCRIPTIONS))
        await market.close()
        assert not bell.attended.is_set()


async def spoil(proxy: FaultySocket, name: str, step: int) -> None:
    if name == "cut, again and again" or (name == "cut" and step == 2):
        await proxy.cut()
    elif name in (HALF_OPEN, MUTE, DOUBLED, GARBLED):
        proxy.fault = name if step == 2 or name in (MUTE, DOUBLED) else None


async def waited(market: ChainMarket, waiting: asyncio.Task[Block], proxy: FaultySocket) -> Block:
    """Return the block; where the only endpoint is down for long, ask again as a runner does, once it is back."""
    done, _ = await asyncio.wait({waiting}, timeout=1)
    if not done and proxy.fault in (HALF_OPEN, GARBLED):
        proxy.fault = None
    try:
        return await waiting
    except ChainError as error:
        assert error.retryable
        return await market.next_block()


async def test_silent_subscription_on_a_socket_that_answers_is_begun_anew(chain: AnvilPool) -> None:
    async with faulty_socket(ws(chain.anvil.url)) as proxy:
        bell = Bell()
        rpc = WebSocketRpc(proxy.url, bell=bell, silence_s=0.2)
        await rpc.ask(HEAD, deadline_s=5)
        await proxy.until_asked("eth_subscribe", 3)
        await stands(bell)
        ring = bell.next_ring
        await chain.mine()
        async with asyncio.timeout(5):
            await ring.wait()
        assert (proxy.connections, proxy.asked.count("eth_unsubscribe")) == (1, proxy.asked.count("eth_subscribe") - 1)
        await rpc.close()


async def test_half_open_socket_is_noticed_by_its_missing_pong(chain: AnvilPool) -> None:
    async with faulty_socket(ws(chain.anvil.url)) as proxy:
        bell = Bell()
        rpc = WebSocketRpc(proxy.url, bell=bell, heartbeat_s=0.2, silence_s=NEVER_S)
        await rpc.ask(HEAD, deadline_s=5)
        await stands(bell)
        proxy.fault = HALF_OPEN
        with pytest.raises(Unreachable, match="down: error"):
            await rpc.ask(HEAD, deadline_s=10)
        assert not bell.attended.is_set()
        proxy.fault = None
        await stands(bell)
        assert await rpc.ask(HEAD, deadline_s=5) == (await chain.head()).number
        await rpc.close()


async def test_answers_find_their_questions_and_errors_are_the_nodes(chain: AnvilPool) -> None:
    rpc = WebSocketRpc(ws(chain.anvil.url))
    numbers = [
        Request("eth_getBlockByNumber", (hex(n), False), lambda block: int(block["number"], 16)) for n in range(4)
    ]
    assert await rpc.ask_all(numbers * 50, deadline_s=5) == list(range(4)) * 50
    assert await rpc.ask_all([], deadline_s=5) == []
    with pytest.raises(Refused):
        await rpc.ask_all([HEAD, Request("eth_nonsense", (), lambda value: value)], deadline_s=5)
    assert not rpc._pending
    await rpc.close()
    assert await rpc.ask(HEAD, deadline_s=5) == (await chain.head()).number, "closed is not for ever"
    await rpc.close()


async def test_nobody_there_is_told_at_once_and_nothing_is_left_running() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{probe.getsockname()[1]}/secret-key"
    rpc = WebSocketRpc(url)
    for _ in range(2):
        with pytest.raises(Unreachable) as raised:
            await rpc.ask(HEAD, deadline_s=5)
        assert "secret" not in str(raised.value)
    before = asyncio.all_tasks()
    await rpc.close()
    await rpc.close()
    assert len(asyncio.all_tasks()) < len(before)


async def test_node_that_dies_fails_the_open_questions(chain: AnvilPool) -> None:
    async with faulty_socket(ws(chain.anvil.url)) as proxy:
        rpc = WebSocketRpc(proxy.url)
        await rpc.ask(HEAD, deadline_s=5)
        proxy.fault = HALF_OPEN  # the questions stay open
        asked = [asyncio.create_task(rpc.ask(HEAD, deadline_s=20)) for _ in range(3)]
        await proxy.until_asked("eth_blockNumber", 4)
        os.killpg(chain.anvil.pid, signal.SIGKILL)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unreachable] * 3
        await rpc.close()


async def test_ring_that_comes_before_the_wait_is_heard() -> None:
    bell, clock = Bell(), RealClock()
    ring = bell.next_ring
    bell.ring("0x01")
    assert await ring_or_sleep(ring, clock, NEVER_S)
    again = bell.next_ring
    bell.ring("0x01")
    assert not await ring_or_sleep(again, clock, 0.01), "another node tells of the same head"
    bell.ring("0x02")
    assert await ring_or_sleep(again, clock, NEVER_S)
