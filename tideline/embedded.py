"""An embedded subnet: the in-memory chain, its clock, and miners on loopback. Everything else is what runs against a
real chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from miner.config import MinerConfig
from miner.server import MinerServer
from miner.strategies import build
from miner.subtensor import MinerChain, ServeOutcome
from protocol.errors import SimulationError
from protocol.signing import keypair_from_uri
from protocol.subtensor import ChainEndpoint
from simulator.events import Block
from simulator.market import Market, MarketInfo
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot
from tideline.demo import DEMO_OWNER_URI, DemoMiner
from tideline.embedded_chain import SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor

NETUID = 98
NETWORK = "local"
TEMPO = 50  # ten minutes of 12-second blocks, so that a short demonstration sees epochs
START_BLOCK = 1_000
SUBTENSOR_BLOCK_S = 12
VALIDATOR_STAKE = 10**15
MINER_STAKE = 10**9


def make_chain(validator_hotkey: str, miner_hotkeys: Sequence[str]) -> InMemorySubtensor:
    """Return a chain on which the validator has a permit and the miners are registered, always in the same blocks."""
    owner = keypair_from_uri(DEMO_OWNER_URI).ss58_address
    rules = SubnetRules(NETUID, owner, owner, tempo=TEMPO, weights_rate_limit=TEMPO // 2, max_validators=1)
    chain = InMemorySubtensor(rules, start_block=START_BLOCK)
    chain.register(validator_hotkey, owner, stake=VALIDATOR_STAKE)
    for hotkey in miner_hotkeys:
        chain.register(hotkey, owner, stake=MINER_STAKE)
    chain.run_epoch()
    return chain


class EmbeddedClock:
    """Moves the chain with the markets' time: as far as the slowest has come, and never past what is waited for.

    A market counts from where the chain is when it first reports, and is held back until the chain has come as far as
    the slowest of them all. The chain in turn stops at the block that a waiter named, until the waiter has acted and
    waits again: nothing that is due in an epoch is missed, however fast the markets play. A waiter that ends holds
    nobody up, nor does a market that has finished or has not reported yet.
    """

    def __init__(self, chain: InMemorySubtensor) -> None:
        self._chain = chain
        self._origin_s: dict[str, int] = {}  # the market's time when the chain's was 0
        self._reached: dict[str, int] = {}  # block of the chain
        self._wake_at: dict[asyncio.Task[object], int | None] = {}  # None while the waiter acts
        self._moved = asyncio.Event()

    async def wait_blocks(self, blocks: int) -> None:
        """Return when this many blocks have passed."""
        waiter = asyncio.current_task()
        if waiter is None:
            raise RuntimeError("blocks are waited for in a task")
        if waiter not in self._wake_at:
            waiter.add_done_callback(self._forget)
        wake_at = self._wake_at[waiter] = self._chain.head + blocks
        self._move()
        try:
            while self._chain.head < wake_at:
                await self._moved.wait()
        finally:
            self._wake_at[waiter] = None

    async def report(self, market: str, timestamp: int) -> None:
        """Take how far a market has come; return once the chain has come as far as the slowest."""
        origin_s = self._origin_s.setdefault(market, timestamp - self._chain.head * SUBTENSOR_BLOCK_S)
        self._reached[market] = (timestamp - origin_s) // SUBTENSOR_BLOCK_S
        self._move()
        while self._chain.head < self._slowest():
            await self._moved.wait()

    def finish(self, market: str) -> None:
        """Wait no longer for a market that has stopped playing."""
        self._origin_s.pop(market, None)
        self._reached.pop(market, None)
        self._move()

    def _slowest(self) -> int:
        return min(self._reached.values(), default=self._chain.head)

    def _move(self) -> None:
        """Let the chain go as far as it may."""
        head = self._chain.head
        limits = [head if wake_at is None else wake_at for wake_at in self._wake_at.values()]
        goal = min([self._slowest(), *limits])
        if goal > head:
            self._chain.advance_to(goal)
        self._moved.set()
        self._moved = asyncio.Event()

    def _forget(self, waiter: asyncio.Task[object]) -> None:
        del self._wake_at[waiter]
        self._move()


class ClockedMarket:
    """A market that tells the embedded clock how far it has come."""

    def __init__(self, name: str, market: Market, clock: EmbeddedClock) -> None:
        self._name = name
        self._market = market
        self._clock = clock

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market."""
        return self._market.info

    @property
    def vault(self) -> VaultState | None:
        """The real vault, where the market reads one."""
        return self._market.vault

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head, once the chain has moved with it."""
        snapshot = await self._market.open_round(length_blocks)
        await self._clock.report(self._name, snapshot.timestamp)
        return snapshot

    async def next_block(self) -> Block:
        """Return the next block, once the chain has moved with it."""
        block = await self._market.next_block()
        await self._clock.report(self._name, block.timestamp)
        return block

    async def settle(self) -> None:
        """Return once the last block stands."""
        await self._market.settle()

    async def close(self) -> None:
        """Release the market."""
        self._clock.finish(self._name)
        await self._market.close()


async def start_miners(
    stack: AsyncExitStack, chain: InMemorySubtensor, miners: Sequence[DemoMiner], version: str
) -> None:
    """Serve every miner on a free loopback port and publish it on the chain, as its own process would."""
    for miner in miners:
        signer = keypair_from_uri(miner.key_uri)
        endpoint = ChainEndpoint(NETWORK, NETUID, substrate=chain)
        view = await MinerChain.connect(endpoint, signer)
        stack.push_async_callback(view.close)
        await view.refresh()
        strategy = build(miner.strategy, dict(miner.settings))
        config = MinerConfig(port=0, rate_per_s=10_000, burst=10_000)
        server = MinerServer(signer, strategy, view, config, version=version)
        await server.start()
        stack.push_async_callback(server.stop)
        host, port = server.address
        served = await view.serve_axon(host, port)
        if served.outcome is not ServeOutcome.PUBLISHED:
            raise SimulationError(f"the embedded chain refused an endpoint: {served.message}")


def validator_endpoint(chain: InMemorySubtensor) -> ChainEndpoint:
    """Return how the validator reaches the embedded chain: by the SDK's own client."""
    return ChainEndpoint(NETWORK, NETUID, substrate=chain)
