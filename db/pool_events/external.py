"""Somebody else's database of pool events, read and never written: settings say what its tables and columns are called.

What is known of the public system is the default: the name of its swaps table (misspelt there, too) and the columns of
its swaps. It has no block hashes, no blocks and no keys, and nothing in it says that a block is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from db.failures import DRIVER_FAILURES, one_line
from db.pool_events.connection import Connection, connect
from db.pool_events.records import BlockRange
from db.url import DatabaseUrl, parse_database_url
from protocol.addresses import to_checksum_address
from protocol.errors import ConfigError, StoreError

_COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info($1)",
    "postgres": "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0"
    " AND NOT attisdropped",
}


class _Names(BaseModel):
    """A table and the columns that every kind of event has."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    block_number: str = "evt_block_number"
    log_index: str = "evt_index"
    timestamp: str = "evt_block_time"
    pool: str = "pool"
    amount0: str = "amount0"
    amount1: str = "amount1"


class SwapNames(_Names):
    """The table of swaps."""

    table: str = "base_poocl_swaps_v2"
    sqrt_price_x96: str = "sqrt_price_x96"
    liquidity: str = "liquidity"
    tick: str = "tick"


class LiquidityNames(_Names):
    """The table of mints, or that of burns: what the public system calls it is not known, so it has to be named."""

    table: str
    tick_lower: str = "tick_lower"
    tick_upper: str = "tick_upper"
    amount: str = "amount"


class ExternalNames(BaseModel):
    """What everything is called."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    swaps: SwapNames = SwapNames()
    mints: LiquidityNames
    burns: LiquidityNames

    def of(self, kind: str) -> SwapNames | LiquidityNames:
        """Return the names of one kind of event."""
        names: SwapNames | LiquidityNames = getattr(self, kind)
        return names


KINDS = ("swaps", "mints", "burns")
MAX_BLOCK = 2**31 - 1  # of a column of 32 bits


@dataclass(frozen=True, slots=True)
class ExternalEvent:
    """A row: its kind, its place and time, and its integers by our names."""

    kind: str
    block_number: int
    log_index: int
    timestamp: int
    fields: tuple[tuple[str, int], ...]


class ExternalEvents:
    """An open external database. Use `open`; close it when done, or use it as a context manager."""

    def __init__(self, url: DatabaseUrl, connection: Connection, names: ExternalNames) -> None:
        self._url = url
        self._connection = connection
        self._names = names
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, url: str, names: ExternalNames) -> ExternalEvents:
        """Open a database for reading alone. Raises ConfigError when a table or a column that was named is missing."""
        parsed = parse_database_url(url)
        database = cls(parsed, await connect(parsed, read_only=True), names)
        try:
            for kind in KINDS:
                await database._check(kind)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Release the database. Idempotent."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def events(self, pool: str, within: BlockRange) -> list[ExternalEvent]:
        """Return a pool's events in chain order, a row that is there twice once.

        Raises StoreError when two rows claim one place, or a value is none of an event's.
        """
        found: dict[tuple[int, int], ExternalEvent] = {}
        for kind in KINDS:
            for row in await self._rows(kind, pool, within):
                event = self._event(kind, row)
                place = (event.block_number, event.log_index)
                if found.setdefault(place, event) != event:
                    where = {"block": place[0], "log_index": place[1], "database": self._url.shown}
                    raise StoreError("two rows claim one place", pool=pool, **where)
        return [found[place] for place in sorted(found)]

    async def nearest(self, pool: str, number: int, *, after: bool) -> tuple[int, int] | None:
        """Return number and time of the nearest block with an event of a pool, at or above a number or below it."""
        order, compare = ("ASC", ">=") if after else ("DESC", "<")
        found = []
        for kind in KINDS:
            names = self._names.of(kind)
            block, time = _quoted(names.block_number), _quoted(names.timestamp)
            where = f"{_quoted(names.pool)} IN ($1, $2, $3, $4) AND {block} {compare} $5"
            sql = f"SELECT {block}, {time} FROM {_quoted(names.table)} WHERE {where} ORDER BY {block} {order} LIMIT 1"
            found += [(int(row[0]), _seconds(row[1])) for row in await self._fetch(sql, *_spellings(pool), number)]
        return (min(found) if after else max(found)) if found else None

    async def _check(self, kind: str) -> None:
        names = self._names.of(kind)
        # PostgreSQL takes a name as it is written in SQL, SQLite as it is.
        table = names.table if self._url.dialect == "sqlite" else _quoted(names.table)
        there = {str(row[0]) for row in await self._fetch(_COLUMNS[self._url.dialect], table)}
        if not there:
            raise ConfigError(
                f"the events database {self._url.shown} has no table {names.table}; set {kind}.table to its name there"
            )
        for name, column in names.model_dump(exclude={"table"}).items():
            if column not in there:
                raise ConfigError(
                    f"table {names.table} of the events database {self._url.shown} has no column {column}; "
                    f"set {kind}.{name} to its name there"
                )

    async def _rows(self, kind: str, pool: str, within: BlockRange) -> Sequence[Sequence[Any]]:
        names = self._names.of(kind)
        columns = ", ".join(_quoted(getattr(names, name)) for name in ("block_number", "log_index", "timestamp"))
        own = ", ".join(_quoted(getattr(names, name)) for name in _own(names))
        where = f"{_quoted(names.pool)} IN ($1, $2, $3, $4) AND {_quoted(names.block_number)} BETWEEN $5 AND $6"
        sql = f"SELECT {columns}, {own} FROM {_quoted(names.table)} WHERE {where}"
        return await self._fetch(sql, *_spellings(pool), within.first, within.last)

    def _event(self, kind: str, row: Sequence[Any]) -> ExternalEvent:
        number, log_index, timestamp, *values = row
        try:
            fields = tuple((name, _integer(v)) for name, v in zip(_own(self._names.of(kind)), values, strict=True))
            return ExternalEvent(kind, _integer(number), _integer(log_index), _seconds(timestamp), fields)
        except (TypeError, ValueError) as error:
            where = {"table": self._names.of(kind).table, "block": number, "database": self._url.shown}
            raise StoreError(f"a value is none of an event's: {error}", **where) from error

    async def _fetch(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        try:
            async with self._turn, self._connection.transaction(write=False):
                return await self._connection.fetch(sql, *values)
        except DRIVER_FAILURES as error:
            raise StoreError(one_line(error), database=self._url.shown) from error


def _own(names: SwapNames | LiquidityNames) -> list[str]:
    """Return the names of ours for the columns that are read as an event's values."""
    place = ("table", "block_number", "log_index", "timestamp", "pool")
    return [name for name in type(names).model_fields if name not in place]


def _quoted(name: str) -> str:
    """Return a name, or a schema's and a table's, safe in SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _spellings(pool: str) -> tuple[str, str, str, str]:
    """Return the ways in which databases write an address: with 0x or without, checksummed or in lower case."""
    checksum = to_checksum_address(pool)
    return (pool.lower(), checksum, pool.lower()[2:], checksum[2:])


def _integer(value: Any) -> int:
    """Return an integer out of a number or a text. Raises ValueError for a fraction, and for any float."""
    if isinstance(value, float) or value is None:
        raise ValueError(f"{value!r} is not exact")
    number = int(value)
    if number != value and not isinstance(value, str):
        raise ValueError(f"{value!r} is no integer")
    return number


def _seconds(value: Any) -> int:
    """Return a time as unix seconds; one without a zone is UTC."""
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    return _integer(value)
