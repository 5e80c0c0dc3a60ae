"""A private chain with the real Uniswap V3, on which a record's pool lives its recorded life again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.errors import ChainError
from simulator.chain.abi import read_quantity
from simulator.chain.anvil import STATE_BLOCKS, Anvil, find_anvil, version_of
from simulator.chain.deployment import DRIVER, SETUP_BLOCKS, Addresses, check_pool, prepare, set_up
from simulator.chain.laps import PlannedBlock, lived_from, next_busy_block, planned_block
from simulator.chain.node import Node, Transaction
from simulator.chain.playing import Difference, difference, event_transaction, seam_transactions
from simulator.chain.rpc import HttpRpc, Unreachable
from simulator.events import PoolEvent, SwapEvent
from simulator.records import Record

CHAIN_ID = 31337  # that of every anvil and hardhat, which wallets know as a development chain

_HISTORY_S = 3600  # the pool is this old at its opening, so that time-weighted prices can be asked for at once
_BLOCK_GAS = 60_000_000
_NEWS_S = 2.0


@dataclass(frozen=True, slots=True)
class DevnetSettings:
    """Port 0 takes a free one. The node answers calls for the last `state_blocks` blocks; each costs it memory."""

    port: int = 0
    chain_id: int = CHAIN_ID
    observation_cardinality: int = 1000
    state_blocks: int = STATE_BLOCKS


@dataclass(frozen=True, slots=True)
class PlayedBlock:
    """A block that was made, as the node numbers it; the log indexes of the record's swaps in it; where it differs."""

    number: int
    block_hash: str
    timestamp: int
    swaps: tuple[int, ...]
    differences: tuple[Difference, ...]


class Devnet:
    """A running devnet. Make one with `start`; leaving it as a context manager stops it.

    Block numbers and times are the record's own, lap after lap, as long as no empty block is skipped.
    """

    def __init__(
        self,
        stack: AsyncExitStack,
        anvil: Anvil,
        node: Node,
        record: Record,
        start_block: int,
        shift: _Shift,
        addresses: Addresses,
        engine: str,
    ) -> None:
        self._stack = stack
        self._anvil = anvil
        self._node = node
        self._at = self._start_block = start_block
        self._shift = shift
        self.record = record
        self.addresses = addresses
        self.engine = engine

    @staticmethod
    def prepare() -> tuple[Path, str]:
        """Return the anvil to use and what it calls itself, with all it needs fetched. Raises ConfigError."""
        binary = find_anvil()
        engine = f"anvil {version_of(binary)}"
        prepare()
        return binary, engine

    @classmethod
    async def start(
        cls,
        record: Record,
        settings: DevnetSettings | None = None,
        *,
        binary: Path | None = None,
        start_block: int | None = None,
    ) -> Devnet:
        """Start anvil, deploy everything and rebuild the record's pool; the head is the record's opening block, or
        `start_block` of any lap, as if all before it had been played.

        Raises ConfigError when anvil or the published contracts cannot be had, or the port is taken.
        """
        settings = settings or DevnetSettings()
        engine_file = await asyncio.to_thread(find_anvil) if binary is None else binary
        engine = f"anvil {await asyncio.to_thread(version_of, engine_file)}"
        await asyncio.to_thread(prepare)
        shift = _Shift.of(record)
        start = lived_from(record, record.first_block if start_block is None else start_block)
        stack = AsyncExitStack()
        try:
            anvil = await Anvil.start(
                engine_file,
                port=settings.port,
                state_blocks=settings.state_blocks,
                arguments=_arguments(start, shift, settings.chain_id),
            )
            stack.push_async_callback(anvil.stop)
            node = Node(HttpRpc(anvil.url))
            stack.push_async_callback(node.close)
            addresses = await _open(node, start, shift, settings)
        except BaseException:
            await stack.aclose()
            raise
        return cls(stack, anvil, node, record, start.first_block, shift, addresses, engine)

    @property
    def url(self) -> str:
        """Where the node answers, over HTTP and over websocket alike."""
        return self._anvil.url

    @property
    def is_running(self) -> bool:
        """Whether the node has not ended."""
        return self._anvil.is_running

    @property
    def pid(self) -> int:
        """The node's process."""
        return self._anvil.pid

    @property
    def opening_block(self) -> int:
        """The block in which the pool is rebuilt, before anything is played."""
        return self._start_block + self._shift.blocks

    @property
    def head(self) -> int:
        """The record's number (of any lap) of the block that was played last; the node's own while none was skipped."""
        return self._at

    @property
    def chain_seconds_to_next(self) -> int:
        """Seconds of chain between the head and the next block."""
        return planned_block(self.record, self._at + 1).timestamp - planned_block(self.record, self._at).timestamp

    async def next_block(self, *, skip_empty: bool = False) -> PlayedBlock:
        """Make the record's next block (or the next in which something happens) and compare it with the record."""
        target = next_busy_block(self.record, self._at) if skip_empty else self._at + 1
        planned = planned_block(self.record, target)
        try:
            played = await self._play(planned)
        except Unreachable as error:
            exit_code = await self._exit_code()
            if exit_code is None:
                raise
            raise ChainError("anvil ended by itself", retryable=False, exit_code=exit_code) from error
        self._at = target
        return played

    async def act(self, account: str, transactions: Sequence[Transaction]) -> None:
        """Put transactions of an account that has never sent before into the next block, ahead of the record's."""
        await self._node.control(account)
        await self._node.send(account, transactions)

    async def endow(self, account: str, wei: int) -> None:
        """Give an account something to pay for gas with."""
        await self._node.ask("anvil_setBalance", account, hex(wei))

    async def check_opening(self) -> None:
        """Raise SimulationError unless the pool is as at the record's opening, to the last tick."""
        await check_pool(self._node, self.addresses.pool, self.record)

    async def stop(self) -> None:
        """End the node. Idempotent."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _exit_code(self) -> int | None:
        """Return the code with which the node has ended, None while it runs. We hear of its end a moment later."""
        try:
            async with asyncio.timeout(_NEWS_S):
                return await self._anvil.wait()
        except TimeoutError:
            return None

    async def _play(self, planned: PlannedBlock) -> PlayedBlock:
        trader = self.addresses.trader
        to_do = list(_transactions(trader, planned))
        if planned.is_seam:
            price = (await self._node.call(self.addresses.pool, "slot0()"))[0]
            to_do = [(None, transaction) for transaction in seam_transactions(trader, self.record, price)]
        hashes = await self._node.send(DRIVER, [transaction for _, transaction in to_do])
        mined = await self._node.mine(planned.timestamp + self._shift.seconds)
        found = (
            difference(event, mined.receipts.get(name), pool=self.addresses.pool, block=planned.number)
            for (event, _), name in zip(to_do, hashes, strict=True)
        )
        return PlayedBlock(
            mined.number,
            mined.block_hash,
            mined.timestamp,
            tuple(event.log_index for event in planned.events if isinstance(event, SwapEvent)),
            tuple(item for item in found if item is not None),
        )


@dataclass(frozen=True, slots=True)
class _Shift:
    """How much later than the record a devnet is: a record that begins with its chain leaves no room for the setup."""

    blocks: int
    seconds: int

    @classmethod
    def of(cls, record: Record) -> _Shift:
        """Return the least that leaves room."""
        return cls(max(0, SETUP_BLOCKS + 1 - record.first_block), max(0, _HISTORY_S + 1 - record.opening.timestamp))


def _arguments(record: Record, shift: _Shift, chain_id: int) -> list[str]:
    """Return how anvil is to be started: making blocks only when asked, its genesis before what the setup takes."""
    number = record.first_block + shift.blocks - SETUP_BLOCKS - 1
    timestamp = record.opening.timestamp + shift.seconds - _HISTORY_S - 1
    return [
        *("--no-mining", "--order", "fifo", "--gas-limit", str(_BLOCK_GAS)),
        *("--chain-id", str(chain_id), "--number", str(number), "--timestamp", str(timestamp)),
    ]


async def _open(node: Node, record: Record, shift: _Shift, settings: DevnetSettings) -> Addresses:
    """Set the chain up and bring it to the record's opening block."""
    await node.ask("anvil_setLoggingEnabled", False)  # noqa: FBT003 JSON-RPC goes by position
    opening = record.opening.timestamp + shift.seconds
    cardinality = settings.observation_cardinality
    start = opening - _HISTORY_S
    addresses = await set_up(node, record, start_timestamp=start, observation_cardinality=cardinality)
    head = read_quantity(await node.ask("eth_blockNumber"))
    await node.ask("anvil_mine", hex(record.first_block + shift.blocks - 1 - head), "0x1")
    await node.mine(opening)
    return addresses


def _transactions(trader: str, planned: PlannedBlock) -> Iterator[tuple[PoolEvent | None, Transaction]]:
    """Yield the events for which there is something to do, with what is to be done."""
    for event, call in zip(planned.events, planned.calls, strict=True):
        transaction = event_transaction(trader, event, call)
        if transaction is not None:
            yield event, transaction
