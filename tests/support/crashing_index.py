"""Index in processes of which each kills itself before its n-th use of the database.

Run as `python crashing_index.py DATABASE RPC POOL LAST FROM TO`: a process for each n between.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from db.pool_events.store import PoolEventsStore
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.rpc import HttpRpc
from tideline.indexer import Indexer

CHAIN_ID = 31337


class Killer:
    """A connection that kills this process when it is used for the n-th time."""

    def __init__(self, connection: Any, uses: int) -> None:
        self._connection = connection
        self._left = uses

    def __getattr__(self, name: str) -> Any:
        if name != "close":
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._connection, name)


async def index(url: str, rpc_url: str, pool: str, last: int, uses: int) -> None:
    rpc = HttpRpc(rpc_url)
    endpoints = Endpoints({"node": rpc}, chain_id=CHAIN_ID)
    info = await read_info(endpoints, pool, ChainSettings(block_time_s=2))
    async with await PoolEventsStore.create(url, chain_id=CHAIN_ID) as store:
        store._connection = Killer(store._connection, uses)
        await Indexer(endpoints, store, info, lambda fact: None, most_blocks=2).fill(0, last)
    await rpc.close()


def main(url: str, rpc_url: str, pool: str, last: int, uses_of: range) -> None:
    for uses in uses_of:
        child = os.fork()
        if child == 0:
            asyncio.run(index(url, rpc_url, pool, last, uses))
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), range(int(sys.argv[5]), int(sys.argv[6])))
