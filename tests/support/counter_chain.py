"""A real node that mines when told to, a contract that counts its calls, and a key with funds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from eth_account import Account

from executor.keys import LocalSigner
from simulator.chain.anvil import Anvil, find_anvil
from simulator.chain.rpc import HttpRpc, Request

CHAIN_ID = 31337
KEY = "0x" + "4c" * 32
SIGNER = LocalSigner(Account.from_key(KEY))
COUNTER = "0x" + "c0" * 20
STUBBORN = "0x" + "c1" * 20
# storage[0] += 1; and, for the stubborn one, a revert in every block whose number is even.
_COUNT = "600054600101600055"
_REFUSE_EVEN = "4360011615600957005b60006000fd"


@dataclass(slots=True)
class CounterChain:
    """A chain with nothing on it but a counter."""

    anvil: Anvil
    rpc: HttpRpc

    async def ask(self, method: str, *params: Any) -> Any:
        """Ask the node itself."""
        return await self.rpc.ask(Request(method, params, lambda value: value), deadline_s=20.0)

    async def mine(self, blocks: int = 1) -> None:
        """Mine, whatever is waiting into the first."""
        for _ in range(blocks):
            await self.ask("evm_mine")

    async def count(self, address: str = COUNTER) -> int:
        """Return how often the counter was called."""
        return int(await self.ask("eth_getStorageAt", address, "0x0", "latest"), 16)

    async def nonce(self) -> int:
        """Return how many transactions of our key are on the chain."""
        return int(await self.ask("eth_getTransactionCount", SIGNER.address, "latest"), 16)

    async def time(self) -> int:
        """Return the latest block's time."""
        return int((await self.ask("eth_getBlockByNumber", "latest", False))["timestamp"], 16)

    async def waiting(self) -> list[str]:
        """Return the hashes of our key's transactions that are not in a block."""
        pool = (await self.ask("txpool_content"))["pending"]
        ours = {address.lower(): entries for address, entries in pool.items()}.get(SIGNER.address.lower(), {})
        return [entry["hash"] for entry in ours.values()]


@asynccontextmanager
async def counter_chain() -> AsyncIterator[CounterChain]:
    """Yield a fresh chain."""
    options = ["--no-mining", "--chain-id", str(CHAIN_ID)]
    async with await Anvil.start(find_anvil(), arguments=options) as anvil:
        chain = CounterChain(anvil, HttpRpc(anvil.url))
        try:
            await chain.ask("anvil_setCode", COUNTER, "0x" + _COUNT + "00")
            await chain.ask("anvil_setCode", STUBBORN, "0x" + _REFUSE_EVEN)
            await chain.ask("anvil_setBalance", SIGNER.address, hex(10**20))
            await chain.mine(4)
            yield chain
        finally:
            await chain.rpc.close()
