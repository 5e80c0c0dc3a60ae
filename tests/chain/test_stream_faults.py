"""What networks and providers do to answers: each breaks the reader anybody would write first, and none breaks ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.anvil_pool import CHAIN_ID, AnvilPool, anvil_pool
from support.chain_faults import FAULTS, Json, only, result
from support.faulty_proxy import faulty_proxy
from support.naive_reader import NaiveReader, all_swaps
from support.worlds import make_opening

from simulator.base_fork import Divergence
from simulator.chain.endpoints import Endpoints
from simulator.chain.health import State
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.events import Block, SwapEvent
from simulator.fork import Inventory, virtual_vault
from simulator.portfolio import Range
from simulator.round import Round

UNIT = 10**18
EDGE = 887220
SETTINGS = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=10, stall_s=0.2, give_up_s=5)
BLOCKS = 4


@pytest.fixture
async def chain() -> AsyncIterator[AnvilPool]:
    async with anvil_pool(tick=100) as running:
        await running.mint(-EDGE, EDGE, 10**21)
        await running.mine()
        yield running


async def play(chain: AnvilPool) -> None:
    for step in range(BLOCKS):
        await chain.swap(step % 2 == 0, (3 + step) * UNIT)
        await chain.swap(step % 2 == 1, -(1 + step) * UNIT)
        await chain.mine()


async def is_naive_reader_broken(url: str, chain: AnvilPool, start: int) -> bool:
    naive = NaiveReader(url, chain.pool, start)
    try:
        async with asyncio.timeout(0.5):
            await naive.catch_up()
            await naive.catch_up()
    except (aiohttp.ClientError, TimeoutError, TypeError, ValueError, KeyError):
        return True
    return (naive.number, naive.swaps) != ((await chain.head()).number, await all_swaps(chain, start + 1))


@pytest.mark.parametrize("name", FAULTS)
async def test_second_endpoint_carries_the_stream_through_every_fault(chain: AnvilPool, name: str) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        urls = [proxy.url, chain.anvil.url]
        endpoints = Endpoints.over_http(urls, chain_id=CHAIN_ID, attempt_s=0.3)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        snapshot = await market.open_round(12)
        await play(chain)
        proxy.fault = FAULTS[name]
        assert await is_naive_reader_broken(proxy.url, chain, snapshot.block_number), "the fault does nothing"
        blocks = [await market.next_block() for _ in range(BLOCKS)]
        assert swaps_of(blocks) == await all_swaps(chain, snapshot.block_number + 1)
        assert (await market.open_round(12)).block_number == snapshot.block_number + BLOCKS
        await market.close()


PASSING = [
    "half-open socket",
    "cut off",
    "no JSON",
    "bad gateway",
    "the answer to another question",
    "logs given twice",
]


@pytest.mark.parametrize("name", PASSING)
async def test_only_endpoint_may_fail_now_and_then(chain: AnvilPool, name: str) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        endpoints = Endpoints.over_http([proxy.url], chain_id=CHAIN_ID, attempt_s=0.3)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        snapshot = await market.open_round(12)
        await play(chain)
        count = 0

        def now_and_then(question: Json, answer: Json) -> Any:
            nonlocal count
            count += 1
            return FAULTS[name](question, answer) if count % 3 else answer

        proxy.fault = now_and_then
        blocks = [await market.next_block() for _ in range(BLOCKS)]
        assert swaps_of(blocks) == await all_swaps(chain, snapshot.block_number + 1)
        await market.close()


async def test_rate_limit_is_obeyed_and_is_no_failure(chain: AnvilPool) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        endpoints = Endpoints.over_http([proxy.url, chain.anvil.url], chain_id=CHAIN_ID)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        await market.open_round(12)
        await play(chain)
        proxy.fault = FAULTS["rate limit, with a time"]
        proxy.asked.clear()
        for _ in range(BLOCKS):
            await market.next_block()
        assert len(proxy.asked) == 1, "asked once, and not again within the hour it named"
        limited = next(iter(endpoints.health().values()))
        assert (limited.state, limited.strikes, limited.error_ppm) == (State.ALIVE, 0, 0)
        await market.close()


async def test_fake_swap_in_a_quiet_block_is_not_in_its_bloom(chain: AnvilPool) -> None:
    """One endpoint, and it lies: the block's own bloom says so, and the honest endpoint is asked."""
    async with faulty_proxy(chain.anvil.url) as proxy:
        endpoints = Endpoints.over_http([proxy.url, chain.anvil.url], chain_id=CHAIN_ID)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        snapshot = await market.open_round(12)
        await play(chain)
        first = hex(snapshot.block_number + 1)
        log = (await chain.ask("eth_getLogs", {"address": chain.pool, "fromBlock": first}))[0]
        await chain.mine()
        quiet = await chain.head()
        forged = {**log, "blockHash": quiet.block_hash, "blockNumber": hex(quiet.number)}
        proxy.fault = only("eth_getLogs", result(lambda logs: logs or [forged]))
        blocks = [await market.next_block() for _ in range(BLOCKS + 1)]
        assert blocks[-1].events == ()
        assert swaps_of(blocks) == await all_swaps(chain, snapshot.block_number + 1)
        await market.close()


def forge(logs: list[Json]) -> list[Json]:
    """A little more paid in the first swap. (By one unit it can still be a swap that is possible, and passes.)"""
    if not logs:
        return logs
    amount0 = int(logs[0]["data"][2:66], 16) + 10**9
    return [{**logs[0], "data": f"0x{amount0:064x}" + logs[0]["data"][66:]}, *logs[1:]]


LIES: dict[str, Any] = {"forges": forge, "drops one": lambda logs: logs[1:], "hides all": lambda logs: []}


@pytest.mark.parametrize("lie", LIES)
async def test_liar_is_outvoted_by_a_quorum_of_two_of_three(chain: AnvilPool, lie: str) -> None:
    async with faulty_proxy(chain.anvil.url) as liar, faulty_proxy(chain.anvil.url) as other:
        urls = [liar.url, other.url, chain.anvil.url]
        endpoints = Endpoints.over_http(urls, chain_id=CHAIN_ID, quorum=2)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        snapshot = await market.open_round(12)
        await play(chain)
        liar.fault = only("eth_getLogs", result(LIES[lie]))
        assert await is_naive_reader_broken(liar.url, chain, snapshot.block_number)
        blocks = [await market.next_block() for _ in range(BLOCKS)]
        assert swaps_of(blocks) == await all_swaps(chain, snapshot.block_number + 1)
        await market.close()


@pytest.mark.parametrize("lie", LIES)
async def test_lone_liar_trips_the_wire_and_nobody_is_scored(chain: AnvilPool, lie: str) -> None:
    async with faulty_proxy(chain.anvil.url) as liar:
        endpoints = Endpoints.over_http([liar.url], chain_id=CHAIN_ID)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        snapshot = await market.open_round(12)
        vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT, ((Range(-600, 1200), UNIT, UNIT),)))
        engine = Round(make_opening(snapshot, vault, (), length_blocks=12))
        await play(chain)
        liar.fault = only("eth_getLogs", result(LIES[lie]))
        with pytest.raises(Divergence):
            for _ in range(2):  # where it hid everything, the first honest answer betrays it
                engine.advance(await market.next_block())
                liar.fault = None
        await market.close()


async def test_endpoint_of_another_chain_is_never_asked_for_anything_else(chain: AnvilPool) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        proxy.fault = only("eth_chainId", result(lambda _: "0x1"))
        endpoints = Endpoints.over_http([proxy.url, chain.anvil.url], chain_id=CHAIN_ID)
        market = await ChainMarket.connect(endpoints, chain.pool, SETTINGS)
        await market.open_round(12)
        assert set(proxy.asked) == {"eth_chainId"}
        assert next(iter(endpoints.health().values())).state is State.WRONG_CHAIN
        await market.close()


async def test_deadline_does_not_depend_on_the_node(chain: AnvilPool) -> None:
    """A cancelled request leaves nothing locked: the next one goes through at once."""
    async with faulty_proxy(chain.anvil.url) as proxy:
        endpoints = Endpoints.over_http([proxy.url], chain_id=CHAIN_ID, attempt_s=0.1)
        await endpoints.head(deadline_s=5)
        proxy.fault = FAULTS["half-open socket"]
        started = asyncio.get_running_loop().time()
        with pytest.raises(Exception, match="no endpoint answers"):
            await endpoints.head(deadline_s=0.6)
        assert asyncio.get_running_loop().time() - started < 2
        proxy.fault = None
        assert await endpoints.head(deadline_s=10) == (await chain.head()).number
        await endpoints.close()


def swaps_of(blocks: list[Block]) -> list[tuple[int, str]]:
    """Return swaps as the naive reader keeps them."""
    found = []
    for block in blocks:
        for event in block.events:
            assert isinstance(event, SwapEvent)
            numbers = (event.amount0, event.amount1, event.sqrt_price_x96, event.liquidity, event.tick)
            found.append((event.log_index, "0x" + b"".join((n % 2**256).to_bytes(32, "big") for n in numbers).hex()))
    return found
