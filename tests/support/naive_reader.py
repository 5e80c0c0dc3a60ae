"""The reader that anybody would write first: the latest number, then the logs up to it. It believes everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiohttp
from support.anvil_pool import AnvilPool

from simulator.chain.abi import SWAP, topic

Swap = tuple[int, str]  # log index in its block, data


@dataclass(slots=True)
class NaiveReader:
    """Follows a pool's swaps by block number over one node."""

    url: str
    pool: str
    number: int
    swaps: list[Swap] = field(default_factory=list)

    async def catch_up(self) -> None:
        """Read up to the latest block."""
        latest = int((await self._ask("eth_getBlockByNumber", ["latest", False]))["number"], 16)
        if latest > self.number:
            self.swaps += await self._swaps(self.number + 1, latest)
            self.number = latest

    async def _swaps(self, first: int, last: int) -> list[Swap]:
        query = {"address": self.pool, "fromBlock": hex(first), "toBlock": hex(last), "topics": [topic(SWAP)]}
        return [(int(log["logIndex"], 16), log["data"]) for log in await self._ask("eth_getLogs", [query])]

    async def _ask(self, method: str, params: object) -> Any:
        async with aiohttp.ClientSession() as session:
            question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            async with session.post(self.url, json=question) as response:
                return (await response.json())["result"]


async def all_swaps(chain: AnvilPool, first: int = 0) -> list[Swap]:
    """Return the swaps that the node itself has."""
    return await NaiveReader(chain.anvil.url, chain.pool, 0)._swaps(first, (await chain.head()).number)
