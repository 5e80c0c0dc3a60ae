"""Measure how fast pool events are written and read, and what COPY is worth on PostgreSQL.

python -m benchmarks.index [--events 100000] [--postgres postgres://USER@HOST:PORT/EMPTY_DATABASE]

A database server works in a process of its own, so these are seconds by the clock: compare within one run.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import click

from db.pool_events.postgres import PostgresConnection
from db.pool_events.records import Batch, BlockRange, BlockRow, EventRow
from db.pool_events.schema import EVENT_TABLES
from db.pool_events.store import PoolEventsStore
from db.url import parse_database_url
from tideline.pool_events import PLAYED_TABLES, blocks_of

POOL = "0x" + "ab" * 20
BLOCKS, PER_BLOCK = 2000, 2
ROUNDS = 5


def batches(events: int) -> Iterator[Batch]:
    """Yield so many swaps, as a busy pool on Base has them: a few a block."""
    for first in range(0, events // PER_BLOCK, BLOCKS):
        numbers = range(first, min(first + BLOCKS, events // PER_BLOCK))
        blocks = tuple(BlockRow(n, f"0x{n:064x}", f"0x{n - 1:064x}" if n else "0x", 2 * n) for n in numbers)
        yield Batch(blocks, tuple(_swap(n, at) for n in numbers for at in range(PER_BLOCK)))


def _swap(number: int, at: int) -> EventRow:
    fields: dict[str, int | str] = {
        "sender": "0x" + "01" * 20,
        "recipient": "0x" + "02" * 20,
        "amount0": -(10**18) - number,
        "amount1": 2_500 * 10**6 + number,
        "sqrt_price_x96": 5_248_063_348_964_151_468_004_147 + number,
        "liquidity": 5_543_744_702_502_677_689,
        "tick": -192_455,
    }
    return EventRow("swaps", number, f"0x{number:064x}", at, f"0x{number:063x}{at}", at, fields)


async def write(url: str, events: int) -> float:
    """Return events a second through the store, blocks and coverage included."""
    work = list(batches(events))
    async with await PoolEventsStore.create(url, chain_id=8453) as store:
        begin = time.perf_counter()
        for batch in work:
            await store.add(POOL, batch)
        return events / (time.perf_counter() - begin)


async def read(url: str, events: int) -> float:
    """Return events a second out of the store, as the blocks that a round is played on."""
    async with await PoolEventsStore.open(url) as store:
        begin, seen = time.perf_counter(), 0
        for first in range(0, events // PER_BLOCK, BLOCKS):
            last = min(first + BLOCKS, events // PER_BLOCK) - 1
            history = await store.history(POOL, BlockRange(first, last), PLAYED_TABLES)
            seen += sum(len(block.events) for block in blocks_of(history))
        assert seen == events
        return events / (time.perf_counter() - begin)


async def copy_against_insert(url: str, events: int) -> dict[str, float]:
    """Return rows a second into an emptied swaps table by COPY, by COPY through a staging table, and by INSERT."""
    connection = await PostgresConnection.open(parse_database_url(url), read_only=False)
    raw: Any = connection._connection
    table = EVENT_TABLES["swaps"]
    rows = [_row(event) for batch in batches(events) for event in batch.events]
    parts = [rows[start : start + BLOCKS * PER_BLOCK] for start in range(0, len(rows), BLOCKS * PER_BLOCK)]
    marks = ", ".join(f"${place}" for place in range(1, len(table.columns) + 1))
    insert = f"INSERT INTO swaps VALUES ({marks}) ON CONFLICT DO NOTHING"
    ways: dict[str, Callable[[list[Any]], Awaitable[Any]]] = {
        "copy": lambda part: connection.insert(table, part),
        "copy_staged": lambda part: connection._insert_staged(table, part),
        "insert": lambda part: raw.executemany(insert, part),
    }
    rates: dict[str, float] = {}
    for _ in range(ROUNDS):  # in turn, and the best of each: others on the machine slow all of them down
        for way, add in ways.items():
            await raw.execute("TRUNCATE swaps")
            begin = time.perf_counter()
            for part in parts:
                async with connection.transaction(write=True):
                    await add(part)
            name, rate = f"postgres_rows_by_{way}", len(rows) / (time.perf_counter() - begin)
            rates[name] = max(rates.get(name, 0.0), rate)
    await connection.close()
    return rates


def _row(event: EventRow) -> tuple[int | str, ...]:
    place = (8453, POOL, event.block_number, event.block_hash, event.log_index, event.tx_hash, event.tx_index)
    return (*place, *event.fields.values())


async def measure(events: int, postgres: str | None) -> dict[str, float]:
    """Return every rate, in events a second."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/events.sqlite3"
        rates = {"sqlite_write": await write(url, events), "sqlite_read": await read(url, events)}
    if postgres is not None:
        rates["postgres_write"] = await write(postgres, events)
        rates["postgres_read"] = await read(postgres, events)
        rates |= await copy_against_insert(postgres, events)
    return rates


@click.command()
@click.option("--events", type=click.IntRange(min=BLOCKS), default=100_000, show_default=True)
@click.option("--postgres", help="An empty database.")
def main(*, events: int, postgres: str | None) -> None:
    """Measure the pool events database."""
    rates = asyncio.run(measure(events, postgres))
    figures = {name: round(rate) for name, rate in rates.items()}
    ratio = rates.get("postgres_rows_by_copy", 0.0) / rates.get("postgres_rows_by_insert", 1.0)
    click.echo(json.dumps({"events": events, **figures} | ({"copy_vs_insert": round(ratio, 2)} if ratio else {})))


if __name__ == "__main__":
    main()
