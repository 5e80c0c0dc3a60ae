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
from miner.subtensor import ChainEndpoint as MinerEndpointOfChain
from miner.subtensor import MinerChain, ServeOutcome
from protocol.errors import SimulationError
from protocol.signing import keypair_from_uri
from simulator.events import Block
from simulator.market import Market, MarketInfo
from simulator.snapshot import PoolSnapshot
from tideline.demo import DEMO_OWNER_URI, DemoMiner
from tideline.embedded_chain import SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor
from validator.subtensor import ChainEndpoint

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
    """Moves the chain with the markets' time: as far as the slowest market has come, one waiter's wish at a time.

    `wait_blocks` and `report` meet: the chain never runs past the block for which the waiter asked before the waiter
    has acted and waits again,
    so nothing that is due in an epoch is missed, however fast the markets play.
    """

    def __init__(self, chain: InMemorySubtensor, markets: int) -> None:
        self._chain = chain
        self._markets = markets
        self._elapsed: dict[str, int] = {}
        self._wake_at: int | None = None
        self._wake = asyncio.Event()
        self._waiting = asyncio.Event()
        self._advancing = asyncio.Lock()
        self._has_waiter = False

    async def wait_blocks(self, blocks: int) -> None:
        """Return when this many blocks have passed."""
        self._has_waiter = True
        self._wake.clear()
        self._wake_at = self._chain.head + blocks
        self._waiting.set()
        await self._wake.wait()

    def finish(self, market: str) -> None:
        """Wait no longer for a market that has stopped playing."""
        self._elapsed.pop(market, None)
        self._markets -= 1

    def detach(self) -> None:
        """Say that nobody will wait any more, so that nobody is waited for."""
        self._has_waiter = False
        self._waiting.set()

    async def report(self, market: str, elapsed_s: int) -> None:
        """Take how far one market has come since its record began, and move the chain if all have come further."""
        self._elapsed[market] = max(elapsed_s, self._elapsed.get(market, 0))
        if len(self._elapsed) < self._markets:
            return  # a market that has not reported yet is at its beginning
        target = START_BLOCK + min(self._elapsed.values()) // SUBTENSOR_BLOCK_S
        async with self._advancing:
            while self._chain.head < target:
                await self._step(target)

    async def _step(self, target: int) -> None:
        if not self._has_waiter or self._wake_at is None:
            self._chain.advance_to(target)
            return
        self._chain.advance_to(min(target, max(self._wake_at, self._chain.head)))
        if self._chain.head >= self._wake_at:
            self._waiting.clear()
            self._wake.set()
            await self._waiting.wait()


class ClockedMarket:
    """A market that tells the embedded clock how far it has come."""

    def __init__(self, name: str, market: Market, clock: EmbeddedClock, begins_at: int) -> None:
        self._name = name
        self._market = market
        self._clock = clock
        self._begins_at = begins_at

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market."""
        return self._market.info

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head."""
        return await self._market.open_round(length_blocks)

    async def next_block(self) -> Block:
        """Return the next block, once the chain has moved with it."""
        block = await self._market.next_block()
        await self._clock.report(self._name, block.timestamp - self._begins_at)
        return block

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
        endpoint = MinerEndpointOfChain(NETWORK, NETUID, substrate=chain)
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
