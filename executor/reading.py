"""A vault and its pool at one block hash, as the executor needs them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from executor.liquidity_manager import LiquidityManager
from executor.pool_trust import require_factory
from executor.vault import VaultLimits
from executor.vault_adapter import Listing, TidelineVault, VaultAdapter
from executor.vault_facts import is_our_code, read_code
from protocol.errors import ChainError, ConfigError, SimulationError
from simulator.chain.abi import address_of, call_data, read_words, selector, signed, words
from simulator.chain.blocks import Header, header_request
from simulator.chain.endpoints import Endpoints
from simulator.chain.families import recognise
from simulator.chain.lens import lens_code
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.rpc import Refused, Request
from simulator.chain.snapshot import read_snapshot
from simulator.family import Family
from simulator.fork import VAULT, Fork
from simulator.market import MarketInfo
from simulator.portfolio import Range


@dataclass(frozen=True, slots=True)
class VaultReading:
    """A vault at a block; on the fork it owns what it minted itself, with the fees of all that stands in its name.

    `gifts` is the liquidity that strangers added in its name: the contract takes it when it closes the range.
    `mean_tick` is the pool's over the asked seconds, None where it does not remember so far; `daily_loss_x18` what the
    vault itself counts as lost in the last day, in units of 1e-18 of its worth, and `limits` those that it sets; both
    None where it does neither.
    """

    header: Header
    listing: Listing
    fork: Fork
    gifts: tuple[tuple[Range, int], ...]
    mean_tick: int | None
    daily_loss_x18: int | None
    limits: VaultLimits | None


class VaultReader:
    """Reads one vault. Made by `connect`, or, where nothing is entrusted to it, by `look`."""

    def __init__(self, endpoints: Endpoints, info: MarketInfo, adapter: VaultAdapter, settings: ChainSettings) -> None:
        self._endpoints = endpoints
        self._adapter = adapter
        self._deadline_s = settings.deadline_s
        self._lens = ""
        self.info = info

    @property
    def adapter(self) -> VaultAdapter:
        """The vault's family."""
        return self._adapter

    @classmethod
    async def connect(
        cls,
        endpoints: Endpoints,
        pair_address: str,
        vault: str,
        settings: ChainSettings,
        *,
        fee_receiver: str | None = None,
        factory: str | None = None,
    ) -> VaultReader:
        """Return the reader of a vault that has our code, on a pool that the factory made (None: Uniswap's own, where
        it is known); with a receiver of its fees, that of a LiquidityManager, whose code nobody can know.

        Raises ConfigError when it is none, or on another pool.
        """
        reader = await cls.look(endpoints, pair_address, vault, settings, fee_receiver=fee_receiver)
        header, deadline_s = await reader.header(None), settings.deadline_s
        await require_factory(endpoints, header, reader.info, factory=factory, deadline_s=deadline_s)
        if fee_receiver is None:
            code = await read_code(endpoints, header, vault, deadline_s=deadline_s)
            if not is_our_code(code, reader.info):
                raise ConfigError(f"the code at {vault} is not our vault's as built here; it only answers like one")
        return reader

    @classmethod
    async def look(
        cls,
        endpoints: Endpoints,
        pair_address: str,
        vault: str,
        settings: ChainSettings,
        *,
        fee_receiver: str | None = None,
    ) -> VaultReader:
        """Return the reader of whatever answers as such a vault does. Raises ConfigError when it does not."""
        kind = await recognise(endpoints, pair_address, deadline_s=settings.deadline_s)
        if kind.family is not Family.UNISWAP_V3:
            raise ConfigError(
                f"pool {pair_address} is of family {kind.family}; our vault is for Uniswap V3's own pools"
            )
        info = await read_info(endpoints, pair_address, settings)
        reader = cls(endpoints, info, TidelineVault(vault), settings)
        header = await reader.header(None)
        if fee_receiver is None:
            await reader._require_ours(header, vault)
        else:
            reader._adapter = await LiquidityManager.connect(
                endpoints, header, vault, info, fee_receiver, deadline_s=settings.deadline_s
            )
        reader._lens = await asyncio.to_thread(lens_code)
        return reader

    async def _require_ours(self, header: Header, vault: str) -> None:
        try:
            [pool] = await self._ask(header, vault, call_data("POOL()"))
        except (ValueError, Refused) as error:
            raise ConfigError(f"{vault} is no vault of ours on chain {self._endpoints.chain_id}") from error
        if address_of(pool) != self.info.pair_address:
            raise ConfigError(f"vault {vault} is on pool {address_of(pool)}, not {self.info.pair_address}")

    async def header(self, number: int | None) -> Header:
        """Return the header of a block, or of the head. Raises ChainError."""
        if number is None:
            number = await self._endpoints.head(deadline_s=self._deadline_s)
        header = await self._endpoints.ask(header_request(number), deadline_s=self._deadline_s)
        if header is None:
            raise ChainError("the block is gone", retryable=True, block=number)
        return header

    async def read(self, header: Header, *, twap_s: int) -> VaultReading:
        """Return vault and pool as they were at the end of a block. Raises ChainError, SimulationError."""
        deadline_s = self._deadline_s
        listing = await self._adapter.listing(self._endpoints, header.block_hash, deadline_s=deadline_s)
        reading = await read_snapshot(
            self._endpoints, self.info, header, vault=listing.query, lens=self._lens, deadline_s=deadline_s
        )
        if reading.vault is None:
            raise SimulationError("the vault was asked for and not read", vault=self._adapter.address)
        fork = Fork.from_opening(reading.snapshot, reading.vault)
        gifts = _disown_gifts(fork, listing)
        daily_loss_x18 = limits = None
        if self._adapter.guards_itself:
            [daily_loss_x18] = await self._ask(header, self._adapter.address, call_data("daily_loss_x18()"))
            limits = VaultLimits(*await self._ask(header, self._adapter.address, call_data("limits()")))
        mean_tick = await self._mean_tick(header, twap_s)
        return VaultReading(header, listing, fork, gifts, mean_tick, daily_loss_x18, limits)

    async def _mean_tick(self, header: Header, seconds: int) -> int | None:
        data = "0x" + (selector("observe(uint32[])") + words(32, 2, seconds, 0)).hex()
        try:
            answer = await self._ask(header, self.info.pair_address, data)
        except Refused:
            return None
        before, now = (signed(word, 56) for word in answer[3:5])  # behind two offsets and a length
        return (now - before) // seconds

    async def _ask(self, header: Header, to: str, data: str) -> list[int]:
        request = Request("eth_call", ({"to": to, "data": data}, header.pin()), read_words, is_decisive=True)
        return await self._endpoints.ask(request, deadline_s=self._deadline_s)


def _disown_gifts(fork: Fork, listing: Listing) -> tuple[tuple[Range, int], ...]:
    """Leave the vault the liquidity that it minted itself, with the fees of all; return what strangers added."""
    gifts = []
    for listed in listing.positions:
        key = (VAULT, listed.range.tick_lower, listed.range.tick_upper)
        found = fork.pool.positions[key].liquidity if key in fork.pool.positions else 0
        if found < listed.liquidity:
            raise SimulationError("the vault lists more than the pool has", listed=listed.liquidity, found=found)
        if found > listed.liquidity:
            fork.pool.burn(*key, 0)  # books the fees of all
            fork.pool.positions[key] = replace(fork.pool.positions[key], liquidity=listed.liquidity)
            gifts.append((listed.range, found - listed.liquidity))
    return tuple(gifts)
