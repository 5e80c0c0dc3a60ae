"""A record's pool on a private chain of our own, read over HTTP as any chain is: the market of a demonstration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fractions import Fraction

from protocol.errors import ChainError
from simulator.chain.devnet import Devnet, DevnetSettings
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.pacing import Pace, Pacer
from simulator.chain.snapshot import VaultSource
from simulator.events import Block
from simulator.market import MarketInfo
from simulator.portfolio import VaultState
from simulator.recorded import RealClock
from simulator.records import Record
from simulator.snapshot import PoolSnapshot


@dataclass(frozen=True, slots=True)
class Furniture:
    """What a devnet's pool is given besides its record: `furnish` puts a vault there with the next block, and says how
    it is read; `hold` returns when the next block may be made.
    """

    furnish: Callable[[Devnet], Awaitable[VaultSource]]
    hold: Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Running:
    """A devnet with its reader; the stack ends both."""

    net: Devnet
    chain: ChainMarket
    stack: AsyncExitStack


class DevnetMarket:
    """The `Market` over a devnet that makes its next block when that is wanted.

    So it waits while miners are asked, as a record does, and rounds open at the record's own blocks. A devnet that has
    died is followed by another, from the last block on, when the next round opens.
    """

    def __init__(
        self,
        running: _Running,
        record: Record,
        settings: DevnetSettings,
        speed: Fraction | None,
        furniture: Furniture | None = None,
    ) -> None:
        self._running = running
        self._furniture = furniture
        self._record = record
        self._settings = settings
        self._pacer = Pacer(Pace(speed), RealClock())
        self._made = self._read = running.net.opening_block

    @classmethod
    async def start(
        cls,
        record: Record,
        *,
        chain_id: int,
        speed: Fraction | None,
        start_block: int | None = None,
        furniture: Furniture | None = None,
    ) -> DevnetMarket:
        """Start a devnet at the record's opening, or at a block of any lap. Raises ConfigError without an anvil."""
        settings = DevnetSettings(chain_id=chain_id)
        return cls(await _start(record, settings, start_block, furniture), record, settings, speed, furniture)

    @property
    def url(self) -> str:
        """Where the devnet answers."""
        return self._running.net.url

    @property
    def pid(self) -> int:
        """The devnet's process."""
        return self._running.net.pid

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market."""
        return self._running.chain.info

    @property
    def vault(self) -> VaultState | None:
        """The vault that stands there; None where the demonstration's is virtual."""
        return self._running.chain.vault

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head, having gone to the next lap if this one has too few blocks left."""
        if not self._running.net.is_running:
            await self._running.stack.aclose()
            self._running = await _start(self._record, self._settings, self._running.net.head, self._furniture)
        net, lap = self._running.net, self._record.length_blocks
        left = lap - 1 - (net.head - self._record.first_block) % lap
        if left < length_blocks:
            for _ in range(left + 1):
                await self._make()
        snapshot = await self._running.chain.open_round(length_blocks)
        self._made = self._read = snapshot.block_number
        return snapshot

    async def next_block(self) -> Block:
        """Let the devnet make a block when it is due, and read it."""
        if self._made == self._read:
            await self._pacer.wait(self._running.net.chain_seconds_to_next)
            await self._make()
        block = await self._running.chain.next_block()
        self._read = block.number
        return block

    async def settle(self) -> None:
        """Take the vault as it is, where there is one: nobody else makes blocks here."""
        await self._running.chain.read_vault()

    async def close(self) -> None:
        """End the devnet. Idempotent."""
        await self._running.stack.aclose()

    async def _make(self) -> None:
        if self._furniture is not None:
            await self._furniture.hold(self._running.net.head)
        try:
            self._made = (await self._running.net.next_block()).number
        except ChainError as error:  # the next round gets a new one
            raise ChainError(error.message, retryable=True, **error.where) from error


async def _start(
    record: Record, settings: DevnetSettings, start_block: int | None, furniture: Furniture | None
) -> _Running:
    stack = AsyncExitStack()
    try:
        net = await stack.enter_async_context(await Devnet.start(record, settings, start_block=start_block))
        endpoints = Endpoints.over_http([net.url], chain_id=settings.chain_id)
        stack.push_async_callback(endpoints.close)
        reading = ChainSettings(block_time_s=record.info.block_time_s)
        vault = None if furniture is None else await furniture.furnish(net)
        chain = await ChainMarket.connect(endpoints, net.addresses.pool, reading, vault=vault)
    except BaseException:
        await stack.aclose()
        raise
    return _Running(net, chain, stack)
