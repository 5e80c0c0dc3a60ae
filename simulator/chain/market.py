"""A pool on a real chain as the round's market: block after block, and said when the chain took some back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from protocol.errors import ChainError, ConfigError, SimulationError
from simulator.base_fork import Divergence
from simulator.chain.abi import address_of, call_data, read_words, signed, unsigned
from simulator.chain.bell import ring_or_sleep
from simulator.chain.blocks import Header, PoolLog, Trail, expects_events, header_request, pool_logs_request
from simulator.chain.endpoints import Endpoints
from simulator.chain.families import PoolKind, recognise
from simulator.chain.gauges import refuse_stakes, stake_events, staking_event
from simulator.chain.lens import lens_code
from simulator.chain.ownership import own_events
from simulator.chain.rpc import Absent, BadAnswer, Refused, Request
from simulator.chain.snapshot import Reading, VaultQuery, VaultSource, read_snapshot
from simulator.events import Block, PoolEvent, SwapEvent
from simulator.family import Family
from simulator.market import Market, MarketInfo, Reorg, Token
from simulator.portfolio import VaultState
from simulator.recorded import Clock, RealClock
from simulator.snapshot import PoolSnapshot

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """How a chain is read. Seconds are real ones.

    It is asked for the next block every `poll_s`; where a subscription to new heads stands, when that tells of one and
    else every `quiet_poll_s`. `stall_s` without a new block makes it look at every endpoint anew, `give_up_s` ends the
    round. A round's last block counts once `confirmations` blocks lie on it.
    """

    block_time_s: int
    poll_s: float = 0.5
    quiet_poll_s: float = 4.0
    deadline_s: float = 15.0
    stall_s: float = 20.0
    give_up_s: float = 120.0
    kept_blocks: int = 256
    confirmations: int = 2


class ChainMarket:
    """The `Market` over a pool on a chain, for one reader."""

    def __init__(
        self,
        endpoints: Endpoints,
        info: MarketInfo,
        settings: ChainSettings,
        *,
        kind: PoolKind,
        vault: VaultSource | None = None,
        lens: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._info = info
        self._settings = settings
        self._kind = kind
        self._vault_source = vault
        self._vault_query: VaultQuery | None = None
        self._lens = lens
        self._clock: Clock = RealClock() if clock is None else clock
        self._trail: Trail | None = None
        self._vault: VaultState | None = None
        self._last_arrival = 0.0
        self._last_look = 0.0
        self._ring = endpoints.bell.next_ring
        self._is_expected = False  # a subscription has told of a block that has not arrived

    @classmethod
    async def connect(
        cls,
        endpoints: Endpoints,
        pair_address: str,
        settings: ChainSettings,
        *,
        vault: VaultSource | None = None,
        clock: Clock | None = None,
    ) -> ChainMarket:
        """Return the market of a pool, its facts read from the chain. Raises ConfigError when it is no such pool."""
        kind = await recognise(endpoints, pair_address, deadline_s=settings.deadline_s)
        info = await read_info(endpoints, pair_address, settings)
        try:
            lens: str | None = await asyncio.to_thread(lens_code)
        except ConfigError as error:
            _log.warning("snapshots take the plain way: %s", error)
            lens = None
        return cls(endpoints, info, settings, kind=kind, vault=vault, lens=lens, clock=clock)

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market; its fee, where that may change, as it was in the last snapshot."""
        return self._info

    @property
    def family(self) -> Family:
        """Which contract the pool is."""
        return self._kind.family

    @property
    def vault(self) -> VaultState | None:
        """The vault at the block of the last snapshot, or at the last block settled; None where none is read."""
        return self._vault

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head, pinned by hash. Raises a retryable ChainError when no endpoint can say."""
        deadline_s = self._settings.deadline_s
        with _passing():
            number = await self._endpoints.head(deadline_s=deadline_s)
            header = await self._header(number)
            if header is None:
                raise ChainError("the head is gone", retryable=True, block=number)
            if self._kind.family is Family.SLIPSTREAM and self._kind.gauge is None:  # it may have been given one
                self._kind = await recognise(self._endpoints, self._info.pair_address, deadline_s=deadline_s)
            reading = await self._read(header)
        self._info = replace(self._info, fee_pips=reading.snapshot.fee_pips)
        self._trail = Trail(header, kept=self._settings.kept_blocks)
        self._vault = reading.vault
        self._arrived()
        return reading.snapshot

    async def _read(self, header: Header) -> Reading:
        """Return the pool and the vault at a block; which positions the vault has is found out there."""
        deadline_s, source = self._settings.deadline_s, self._vault_source
        query = source if source is None or isinstance(source, VaultQuery) else await source(self._endpoints, header)
        if query is not None:
            await refuse_stakes(self._endpoints, header, self._kind, query.owner, deadline_s=deadline_s)
        self._vault_query = query
        family, lens = self._kind.family, self._lens
        return await read_snapshot(
            self._endpoints, self._info, header, family=family, vault=query, lens=lens, deadline_s=deadline_s
        )

    async def next_block(self) -> Block:
        """Return the next block once the chain has it. Cancelling the wait loses no block.

        Raises Reorg when the chain took blocks back, having moved to the common ancestor itself; Divergence when that
        is older than what is kept, or the pool did something unknown; a retryable ChainError when no block comes.
        """
        trail = self._opened_trail()
        while True:
            why: ChainError | None = None
            try:
                block = await self._next(trail)
            except (Absent, Refused) as error:  # taken back, a node that lags, or one that cannot just now
                block, why = None, error
            if block is not None:
                self._arrived()
                return block
            await self._wait(trail, why)

    async def _next(self, trail: Trail) -> Block | None:
        """Return the next block, having taken it into the trail; None where the chain has none yet that fits on."""
        header = await self._header(trail.last.number + 1)
        if header is None:
            return None
        if not trail.continues(header):
            await self._rewind(trail)
            return None  # it did not hold: a node that lags, or the chain changed back
        logs = await self._logs(header)
        own = await own_events(self._endpoints, logs, header, self._vault_query, deadline_s=self._settings.deadline_s)
        told = [*(log.event for log in logs), *await self._beside(header, logs)]
        trail.append(header)
        events = tuple(sorted(told, key=lambda event: event.log_index))
        return Block(header.number, header.block_hash, header.parent_hash, header.timestamp, events, own)

    async def settle(self) -> None:
        """Return once as many blocks as the settings want lie on the last one returned. Raises as `next_block` does."""
        trail = self._opened_trail()
        while await self._header(trail.last.number + self._settings.confirmations) is None:
            await self._wait(trail)
        if await self._header(trail.last.number) != trail.last:
            await self._rewind(trail)
            raise ChainError("the chain changes back and forth", retryable=True, block=trail.last.number)
        await self.read_vault()

    async def read_vault(self) -> None:
        """Take the vault as it is at the last block, where one is read. Raises a retryable ChainError."""
        if self._vault_source is not None:
            with _passing():
                self._vault = (await self._read(self._opened_trail().last)).vault

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._endpoints.close()

    def _opened_trail(self) -> Trail:
        if self._trail is None:
            raise SimulationError("blocks are asked for before a round was opened", pool=self._info.pair_address)
        return self._trail

    def _arrived(self) -> None:
        self._last_arrival = self._last_look = self._clock.monotonic()
        # Taken before looking for the next block: no ring is missed.
        self._ring, self._is_expected = self._endpoints.bell.next_ring, False

    async def _header(self, number: int) -> Header | None:
        """Return a block's header. A node that refuses even that is broken for now, and asked again for a while."""
        until = self._clock.monotonic() + self._settings.deadline_s
        while True:
            try:
                return await self._endpoints.ask(header_request(number), deadline_s=self._settings.deadline_s)
            except Refused as error:
                if self._clock.monotonic() >= until:
                    raise ChainError(error.message, retryable=True, **error.where) from error
                await self._clock.sleep(self._settings.poll_s)

    async def _logs(self, header: Header) -> tuple[PoolLog, ...]:
        """Return the pool's logs in a block. Nodes index logs after they serve the block, so an empty answer that the
        bloom does not expect is asked for once more.
        """
        pair_address, family, deadline_s = self._info.pair_address, self._kind.family, self._settings.deadline_s
        request = pool_logs_request(header, pair_address, family)
        logs = await self._endpoints.ask(request, deadline_s=deadline_s)
        if not logs and expects_events(header, pair_address, family):
            await self._clock.sleep(self._settings.poll_s)
            logs = await self._endpoints.ask(request, deadline_s=deadline_s)
        return logs

    async def _beside(self, header: Header, logs: tuple[PoolLog, ...]) -> list[PoolEvent]:
        """Return what a family's other contracts did to the pool in a block."""
        pair_address, family, deadline_s = self._info.pair_address, self._kind.family, self._settings.deadline_s
        parent = self._opened_trail().last
        stakes = await stake_events(self._endpoints, header, parent, self._kind, deadline_s=deadline_s)
        told: list[PoolEvent] = [*stakes]
        if family is Family.SLIPSTREAM and any(isinstance(log.event, SwapEvent) for log in logs):
            told.append(await staking_event(self._endpoints, header, pair_address, deadline_s=deadline_s))
        return told

    async def _wait(self, trail: Trail, why: ChainError | None = None) -> None:
        """Wait a little for the next block; look into it when none comes for long. `why` is what was wrong last."""
        settings = self._settings
        if (
            self._endpoints.bell.attended.is_set() and not self._is_expected
        ):  # one ring a block: a flood is no more than polls
            quiet_s = min(settings.quiet_poll_s, settings.stall_s)
            self._is_expected = await ring_or_sleep(self._ring, self._clock, quiet_s)
        else:
            await self._clock.sleep(settings.poll_s)
        now = self._clock.monotonic()
        if now - self._last_arrival >= settings.give_up_s:
            reason = "" if why is None else f": {why.message}"
            raise ChainError(
                f"no new block for {settings.give_up_s:g} s{reason}",
                retryable=True,
                pool=self._info.pair_address,
                block=trail.last.number,
            ) from why
        if now - self._last_look >= settings.stall_s:
            self._last_look = now
            with _passing():
                head = await self._endpoints.head(deadline_s=settings.deadline_s)
                if await self._header(trail.last.number) != trail.last:
                    await self._rewind(trail)
            _log.warning("pool %s: no block after %d, the head is %d", self._info.pair_address, trail.last.number, head)

    async def _rewind(self, trail: Trail) -> None:
        """Move to the common ancestor and raise Reorg, or Divergence where it is not among the blocks kept.

        Returns where nothing was taken back after all. A block that a node has not got proves nothing: it may lag.
        """
        kept = trail.oldest_first()
        low, high = -1, len(kept) - 1  # the first high + 1 may be canonical; up to low they are
        while low < high:
            middle = (low + high + 1) // 2
            now = await self._header(kept[middle].number)
            if now is None:
                return
            if now == kept[middle]:
                low = middle
            else:
                high = middle - 1
        if low < 0:
            raise Divergence("reorg_too_deep", pool=self._info.pair_address, block=trail.last.number)
        depth = trail.rewind(kept[low])
        if depth:
            raise Reorg(kept[low].number, kept[low].block_hash, depth, pool=self._info.pair_address)


@contextmanager
def _passing() -> Iterator[None]:
    """Turn a node's no into something that may pass: the pool was there when the market was opened."""
    try:
        yield
    except Refused as error:
        raise ChainError(error.message, retryable=True, **error.where) from error


async def read_info(endpoints: Endpoints, pair_address: str, settings: ChainSettings) -> MarketInfo:
    """Return what never changes about a pool. Raises ConfigError when there is no pool at the address."""

    async def getter(to: str, name: str) -> list[int]:
        def read(value: Any) -> list[int]:
            if value == "0x":
                raise ConfigError(f"{to} has no {name} on chain {endpoints.chain_id}; check the address of the pool")
            return read_words(value)

        request = Request("eth_call", ({"to": to, "data": call_data(name)}, "latest"), read, is_decisive=True)
        return await endpoints.ask(request, deadline_s=settings.deadline_s)

    async def token(address: str) -> Token:
        [decimals] = await getter(address, "decimals()")
        return Token(address, _read_text(await getter(address, "symbol()")), unsigned(decimals, 8))

    addresses = [address_of((await getter(pair_address, name))[0]) for name in ("token0()", "token1()")]
    [fee_pips], [spacing] = [await getter(pair_address, name) for name in ("fee()", "tickSpacing()")]
    if (await getter(pair_address, "slot0()"))[0] == 0:
        raise ConfigError(f"pool {pair_address} has no price yet; initialise it first")
    return MarketInfo(
        chain_id=endpoints.chain_id,
        pair_address=pair_address.lower(),
        token0=await token(addresses[0]),
        token1=await token(addresses[1]),
        fee_pips=unsigned(fee_pips, 24),
        tick_spacing=signed(spacing, 24),
        block_time_s=settings.block_time_s,
    )


def _read_text(answer: list[int]) -> str:
    """Return a symbol: a string, or the one word of the tokens that came before strings. Anybody may name a token
    anything: only what the protocol can carry is kept.
    """
    data = b"".join(word.to_bytes(32, "big") for word in answer)
    if len(answer) >= 2 and answer[0] == 32:
        if answer[1] > len(data) - 64:
            raise BadAnswer("a string that is cut off")
        data = data[64 : 64 + answer[1]]
    text = data.rstrip(b"\0").decode("utf-8", "replace")
    return "".join(c for c in text if c.isprintable()).strip()[:32] or "?"


if TYPE_CHECKING:
    _is_a_market: type[Market] = ChainMarket  # mypy proves the port
