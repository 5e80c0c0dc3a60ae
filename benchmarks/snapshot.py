"""How a pool with many ticks is read at one block: by the lens, by plain batches, and a call at a time.

python -m benchmarks.snapshot [--ticks 600] [--delay-ms 20]

anvil is on loopback, where a request costs next to nothing; --delay-ms puts a round trip before each. The three
ways must read the same, or the exit code is 1.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from simulator.chain.abi import call_data, read_words, signed
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.lens import lens_code
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.rpc import Request, Rpc
from simulator.chain.snapshot import bitmap_words, read_snapshot
from simulator.market import MarketInfo
from simulator.snapshot import TickState

T = TypeVar("T")

Ticks = tuple[tuple[int, TickState], ...]

_DEADLINE_S = 120.0
_RUNS = 5
_MINTS_A_BLOCK = 50


class Distant:
    """A node some way off; counts the requests that went there."""

    def __init__(self, rpc: Rpc, delay_s: float) -> None:
        self._rpc = rpc
        self._delay_s = delay_s
        self.requests = 0

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Ask one question."""
        await self._travel()
        return await self._rpc.ask(request, deadline_s=deadline_s)

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        """Ask many at once."""
        await self._travel()
        return await self._rpc.ask_all(requests, deadline_s=deadline_s)

    async def close(self) -> None:
        """Leave the node to its owner."""

    async def _travel(self) -> None:
        self.requests += 1
        if self._delay_s:
            await asyncio.sleep(self._delay_s)


async def call_at_a_time(rpc: Rpc, info: MarketInfo, header: Header) -> Ticks:
    """Read every tick as anybody would first: a call for each word of the bitmap, and one for each tick."""

    async def call(signature: str, *arguments: int) -> list[int]:
        parameters = ({"to": info.pair_address, "data": call_data(signature, *arguments)}, header.pin())
        return await rpc.ask(Request("eth_call", parameters, read_words), deadline_s=_DEADLINE_S)

    for name in ("slot0()", "liquidity()", "feeGrowthGlobal0X128()", "feeGrowthGlobal1X128()"):
        await call(name)
    ticks = []
    for word in bitmap_words(info.tick_spacing):
        [mask] = await call("tickBitmap(int16)", word)
        for number in ((word * 256 + bit) * info.tick_spacing for bit in range(256) if mask >> bit & 1):
            gross, net, outside0, outside1, *_ = await call("ticks(int24)", number)
            ticks.append((number, TickState(gross, signed(net, 128), outside0, outside1)))
    return tuple(ticks)


async def measure(ticks: int, delay_s: float) -> list[tuple[str, int, float, Ticks]]:
    """Return each way's name, requests, median seconds and ticks read."""
    from support.anvil_pool import CHAIN_ID, SPACING, anvil_pool  # of the tests, which are no package

    async with anvil_pool() as chain:
        for at in range(0, ticks, 2):
            first = (at - ticks // 2) * SPACING
            await chain.mint(first, first + SPACING, 10**15 + at)
            if at // 2 % _MINTS_A_BLOCK == _MINTS_A_BLOCK - 1:
                await chain.mine()
        await chain.mine()
        endpoints = Endpoints({"anvil": chain.rpc}, chain_id=CHAIN_ID)
        info = await read_info(endpoints, chain.pool, ChainSettings(block_time_s=2))
        header = await chain.head()

        def snapshot(lens: str | None) -> Callable[[Rpc], Awaitable[Ticks]]:
            async def read(rpc: Rpc) -> Ticks:
                reading = await read_snapshot(rpc, info, header, vault=None, lens=lens, deadline_s=_DEADLINE_S)
                return reading.snapshot.ticks

            return read

        ways: dict[str, Callable[[Rpc], Awaitable[Ticks]]] = {
            "lens": snapshot(lens_code()),
            "plain batches": snapshot(None),
            "a call at a time": lambda rpc: call_at_a_time(rpc, info, header),
        }
        return [(name, *await _timed(read, chain.rpc, delay_s)) for name, read in ways.items()]


async def _timed(read: Callable[[Rpc], Awaitable[Ticks]], node: Any, delay_s: float) -> tuple[int, float, Ticks]:
    seconds, found, requests = [], (), 0
    for _ in range(_RUNS):
        rpc = Distant(node, delay_s)
        begin = time.perf_counter()
        found = await read(rpc)
        seconds.append(time.perf_counter() - begin)
        requests = rpc.requests
    return requests, statistics.median(seconds), found


@click.command(help=__doc__)
@click.option("--ticks", type=click.IntRange(2, 4000), default=600, show_default=True)
@click.option("--delay-ms", type=click.FloatRange(0, 1000), default=0.0, show_default=True)
def main(*, ticks: int, delay_ms: float) -> None:
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    rows = asyncio.run(measure(ticks, delay_ms / 1000))
    _, _, lens_s, truth = rows[0]
    for name, requests, seconds, _ in rows:
        click.echo(f"{name:17} {requests:5} requests {seconds * 1000:9.1f} ms  {seconds / lens_s:7.1f}")
    if len(truth) < ticks or any(found != truth for *_, found in rows):
        click.echo("the ways do not read the same", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
