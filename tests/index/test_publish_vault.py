"""A vault on a real chain is published from it, followed over real sockets, and hedged by its owner's tokens."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path

from support.anvil_pool import CHAIN_ID, SPACING, AnvilPool
from support.indexing import EDGE, UNIT, trade
from support.processes import environment

from protocol.inventory import Following
from protocol.inventory_socket import Addresses, InventoryPublisher, follow
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.snapshot import VaultQuery
from simulator.hedge import token0_to_short
from tideline.vault_publishing import publish_vault

SCRIPT = Path(__file__).parents[2] / "scripts" / "publish_vault.py"
ANYWHERE = Addresses("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")


async def test_what_the_chain_says_of_a_vault_is_followed(chain: AnvilPool) -> None:
    await chain.mint(-EDGE, EDGE, 10**21)
    await chain.managed_mint(-10 * SPACING, 20 * SPACING, UNIT, UNIT)
    await chain.mine()
    endpoints = Endpoints.over_http([chain.anvil.url], chain_id=CHAIN_ID)
    query = VaultQuery(chain.owner, chain.manager)
    market = await ChainMarket.connect(endpoints, chain.pool, ChainSettings(block_time_s=2, poll_s=0.01), vault=query)
    publisher = InventoryPublisher(ANYWHERE, "vault", heartbeat_s=0.2)
    known = follow(publisher.bind())
    tasks = [
        asyncio.create_task(publisher.run()),
        asyncio.create_task(publish_vault(market, chain.owner, publisher.publish, every_blocks=1)),
    ]
    try:
        async with asyncio.timeout(60):
            first = await with_books(known)
            [before] = first.books.values()
            await trade(chain, 0)
            async for now in known:
                if now.books and next(iter(now.books.values())) != before:
                    break
        [after] = now.books.values()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RuntimeError):
            await known.aclose()  # type: ignore[attr-defined]  # it is a generator
        publisher.close()
        await endpoints.close()
    head = await chain.head()
    assert (after.kind, after.chain_id, after.pair_address) == ("vault", CHAIN_ID, chain.pool)
    assert (after.place.block_number, after.place.timestamp) == (head.number, head.timestamp)
    [slot0, *_] = await chain.call(chain.pool, "slot0()")
    assert after.place.sqrt_price_x96 == slot0 != before.place.sqrt_price_x96
    [position] = after.positions
    assert (position.tick_lower, position.tick_upper) == (-10 * SPACING, 20 * SPACING)
    assert position.fees0 > 0 and token0_to_short(after) == after.total[0]
    token0 = f"0x{(await chain.call(chain.pool, 'token0()'))[0]:040x}"
    assert after.idle0 == (await chain.call(token0, "balanceOf(address)", int(chain.owner, 16)))[0]


async def with_books(known: object) -> Following:
    async for one in known:  # type: ignore[attr-defined]  # an iterator
        if one.books:
            return one  # type: ignore[no-any-return]  # of what is known
    raise AssertionError


async def test_the_script_does_the_same(chain: AnvilPool, free_port: int) -> None:
    await chain.mint(-EDGE, EDGE, 10**21)
    await chain.managed_mint(-10 * SPACING, 20 * SPACING, UNIT, UNIT)
    await chain.mine()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other_port = int(probe.getsockname()[1])
    at = Addresses(f"tcp://127.0.0.1:{free_port}", f"tcp://127.0.0.1:{other_port}")
    options = {
        "--rpc": f"{CHAIN_ID}={chain.anvil.url}",
        "--block-time": f"{CHAIN_ID}=2",
        "--position-manager": f"{CHAIN_ID}={chain.manager}",
        "--pair": chain.pool,
        "--vault": chain.owner,
    }
    words = [word for option in options.items() for word in option]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), *words, "--publish", at.updates, at.snapshots, env=environment(PYTHONPATH=".")
    )
    try:
        async with asyncio.timeout(60):
            known = await with_books(follow(at, silence_s=1, ask_s=1))
        [told] = known.books.values()
        assert (told.kind, told.token0.decimals, len(told.positions)) == ("vault", 18, 1)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
