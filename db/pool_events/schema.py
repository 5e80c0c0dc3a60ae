"""The tables of the pool events database, declared once for both databases.

An integer of up to 256 bits is NUMERIC(78,0) on PostgreSQL and decimal text on SQLite, as in the jobs database; what
fits 64 bits is a plain integer on both. Addresses and hashes are text, in lower case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from db.url import Dialect

VERSION = 1

_Kind = Literal["integer", "wide", "text"]
_SQL: dict[Dialect, dict[_Kind, str]] = {
    "sqlite": {"integer": "INTEGER", "wide": "TEXT", "text": "TEXT"},
    "postgres": {"integer": "BIGINT", "wide": "NUMERIC(78,0)", "text": "TEXT"},
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns in order, its key, and by what else it is searched."""

    name: str
    columns: dict[str, _Kind]
    key: tuple[str, ...]
    index: tuple[str, ...] = ()

    def statements(self, dialect: Dialect) -> list[str]:
        """Return what makes the table."""
        columns = ", ".join(f"{name} {_SQL[dialect][kind]} NOT NULL" for name, kind in self.columns.items())
        made = [f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({', '.join(self.key)}))"]
        if self.index:
            made.append(f"CREATE INDEX {self.name}_by_place ON {self.name} ({', '.join(self.index)})")
        return made


_PLACE: dict[str, _Kind] = {
    "chain_id": "integer",
    "pool": "text",
    "block_number": "integer",
    "block_hash": "text",
    "log_index": "integer",
    "tx_hash": "text",
    "tx_index": "integer",
}


def _events(name: str, **own: _Kind) -> Table:
    return Table(
        name,
        {**_PLACE, **own},
        key=("chain_id", "block_hash", "log_index"),
        index=("chain_id", "pool", "block_number", "log_index"),
    )


_RANGE: dict[str, _Kind] = {"tick_lower": "integer", "tick_upper": "integer"}
_AMOUNTS: dict[str, _Kind] = {"amount0": "wide", "amount1": "wide"}

EVENT_TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _events(
            "swaps",
            sender="text",
            recipient="text",
            **_AMOUNTS,
            sqrt_price_x96="wide",
            liquidity="wide",
            tick="integer",
        ),
        _events("mints", owner="text", **_RANGE, sender="text", amount="wide", **_AMOUNTS),
        _events("burns", owner="text", **_RANGE, amount="wide", **_AMOUNTS),
        _events("collects", owner="text", **_RANGE, recipient="text", **_AMOUNTS),
        _events("flashes", sender="text", recipient="text", **_AMOUNTS, paid0="wide", paid1="wide"),
        _events(
            "fee_protocol_changes",
            fee_protocol0_old="integer",
            fee_protocol1_old="integer",
            fee_protocol0_new="integer",
            fee_protocol1_new="integer",
        ),
    )
}

DATABASE = Table("pool_events_database", {"version": "integer", "chain_id": "integer"}, key=("version",))
POOLS = Table(
    "pools",
    {
        "chain_id": "integer",
        "pool": "text",
        "token0": "text",
        "symbol0": "text",
        "decimals0": "integer",
        "token1": "text",
        "symbol1": "text",
        "decimals1": "integer",
        "fee_pips": "integer",
        "tick_spacing": "integer",
    },
    key=("chain_id", "pool"),
)
BLOCKS = Table(
    "blocks",
    {
        "chain_id": "integer",
        "number": "integer",
        "block_hash": "text",
        "parent_hash": "text",
        "timestamp": "integer",
    },
    key=("chain_id", "number"),  # one chain: a second block of a number is a reorg, never a row
)
COVERAGE = Table(
    "coverage",
    {"chain_id": "integer", "pool": "text", "first_block": "integer", "last_block": "integer"},
    key=("chain_id", "pool", "first_block"),
)
SNAPSHOTS = Table(
    "snapshots",
    {"chain_id": "integer", "pool": "text", "block_number": "integer", "block_hash": "text", "body": "text"},
    key=("chain_id", "pool", "block_number"),
)

TABLES = (DATABASE, POOLS, BLOCKS, COVERAGE, SNAPSHOTS, *EVENT_TABLES.values())
