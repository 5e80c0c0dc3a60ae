"""The port through which a round meets a market, recorded or real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocol.errors import SimulationError
from simulator.events import Block
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 as people name it."""

    address: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """What never changes about a market. `block_time_s` is the chain's nominal seconds per block."""

    chain_id: int
    pair_address: str
    token0: Token
    token1: Token
    fee_pips: int
    tick_spacing: int
    block_time_s: int


class Reorg(SimulationError):
    """The chain took back the last `depth` blocks returned; the market goes on from the common ancestor."""

    def __init__(self, ancestor_number: int, ancestor_hash: str, depth: int, **where: object) -> None:
        super().__init__(f"the chain took back {depth} blocks", ancestor=ancestor_number, **where)
        self.ancestor_number = ancestor_number
        self.ancestor_hash = ancestor_hash
        self.depth = depth


class Market(Protocol):
    """One pool on one chain, read in block order by one reader."""

    @property
    def info(self) -> MarketInfo: ...

    @property
    def vault(self) -> VaultState | None:
        """The real vault as it was at the last snapshot, or at the last block settled; None where there is none."""

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head, pinned by hash, with `length_blocks` unbroken blocks to follow.

        A recorded market first moves past its seam where a round of this length would span it.
        """

    async def next_block(self) -> Block:
        """Return the block after the last one returned (or after the snapshot), waiting for it if need be.

        A market that can lose blocks raises Reorg when it has, and returns the block after the ancestor next time.
        """

    async def settle(self) -> None:
        """Return once the last block returned is not expected to be taken back. Raises as `next_block` does."""

    async def close(self) -> None:
        """Release what the market holds. Idempotent."""
