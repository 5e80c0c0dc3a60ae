"""An external pool events database as the simulator's reader: what it does not have is put in its place, openly."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from db.pool_events.external import MAX_BLOCK, ExternalEvent, ExternalEvents, ExternalNames
from db.pool_events.records import BlockRange
from protocol.errors import ConfigError, StoreError
from simulator.events import Block, LiquidityEvent, PoolEvent, SwapEvent
from simulator.indexed import PoolEventsReader
from simulator.records import block_hash
from simulator.snapshot import PoolSnapshot


class ExternalReader:
    """The `PoolEventsReader` over an external database.

    It has events and their times alone. A block's hash is made of its pool and its number, and the time of a block
    without events lies between those around it. Whether rows are missing is found by the replay, not before.
    """

    def __init__(self, database: ExternalEvents) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str, names: ExternalNames) -> ExternalReader:
        """Open a database for reading alone. Raises ConfigError when a named table or column is missing."""
        return cls(await ExternalEvents.open(url, names))

    async def last_block(self, pool: str, first: int) -> int:
        """Return the block before the pool's latest row: that row's own block may still be being written."""
        latest = await self._database.nearest(pool, MAX_BLOCK, after=False)
        return first - 1 if latest is None else max(latest[0] - 1, first - 1)

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        """Return every block of a range. Raises StoreError where no row lies before and after it."""
        before = await self._database.nearest(pool, first, after=False)
        after = await self._database.nearest(pool, last + 1, after=True)
        if before is None or after is None:
            where = {"first_block": first, "last_block": last}
            raise StoreError("the database has no events around these blocks", pool=pool, **where)
        events = await self._database.events(pool, BlockRange(first, last))
        rows = {number: tuple(group) for number, group in groupby(events, key=lambda e: e.block_number)}
        known = [before, *((number, group[0].timestamp) for number, group in rows.items()), after]
        times = _times(known, pool)
        return tuple(
            Block(n, _hash(pool, n), _hash(pool, n - 1), times[n], tuple(map(_event, rows.get(n, ()))))
            for n in range(first, last + 1)
        )

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()


def anchored(snapshot: PoolSnapshot) -> PoolSnapshot:
    """Return a snapshot of the chain under the hash that this reader gives its block, so that blocks can follow it."""
    return replace(snapshot, block_hash=_hash(snapshot.pair_address, snapshot.block_number))


def read_names(path: Path) -> ExternalNames:
    """Read what an external database's tables and columns are called, from TOML. Raises ConfigError."""
    try:
        return ExternalNames.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _times(known: list[tuple[int, int]], pool: str) -> dict[int, int]:
    """Return every block's time out of the known ones, ascending: in between, rounded down."""
    times = {}
    for (number, time), (next_number, next_time) in pairwise(known):
        if next_time < time:
            raise StoreError("time runs backwards", pool=pool, block=next_number)
        for between in range(number, next_number):
            times[between] = time + (next_time - time) * (between - number) // (next_number - number)
    return times


def _hash(pool: str, number: int) -> str:
    return block_hash(pool.lower(), lap=0, number=number)


def _event(row: ExternalEvent) -> PoolEvent:
    value = dict(row.fields)
    if row.kind == "swaps":
        amounts = (value["amount0"], value["amount1"])
        return SwapEvent(row.log_index, *amounts, value["sqrt_price_x96"], value["liquidity"], value["tick"])
    delta = value["amount"] if row.kind == "mints" else -value["amount"]
    bounds = (value["tick_lower"], value["tick_upper"])
    return LiquidityEvent(row.log_index, *bounds, delta, value["amount0"], value["amount1"])


if TYPE_CHECKING:
    _is_a_reader: type[PoolEventsReader] = ExternalReader  # mypy proves the port
