"""What goes into the pool events database and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockRange:
    """Blocks from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PoolRow:
    """What never changes about an indexed pool. Addresses in lower case."""

    pool: str
    token0: str
    symbol0: str
    decimals0: int
    token1: str
    symbol1: str
    decimals1: int
    fee_pips: int
    tick_spacing: int


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block of the one chain that the database holds."""

    number: int
    block_hash: str
    parent_hash: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """A log: its table, its place, and the values of that table's own columns."""

    table: str
    block_number: int
    block_hash: str
    log_index: int
    tx_hash: str
    tx_index: int
    fields: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """Everything that the pool held at the end of a block, as JSON that the database does not interpret."""

    block_number: int
    block_hash: str
    body: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Unbroken blocks, oldest first, with every event that a pool has in them, and snapshots taken on the way."""

    blocks: tuple[BlockRow, ...]
    events: tuple[EventRow, ...]
    snapshots: tuple[SnapshotRow, ...] = ()
