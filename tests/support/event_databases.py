"""Pool events databases filled from a record: one of ours, and one of somebody else with the public system's names."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg

from db.pool_events.external import ExternalNames
from db.pool_events.records import Batch, BlockRow, EventRow, PoolRow, SnapshotRow
from db.pool_events.store import PoolEventsStore
from simulator.events import LiquidityEvent, PoolEvent, SwapEvent
from simulator.records import Record

NAMES = ExternalNames.model_validate({"mints": {"table": "their_mints"}, "burns": {"table": "their_burns"}})
PLACE = ("evt_block_number", "evt_index", "evt_block_time", "pool")
SWAPS = (*PLACE, "amount0", "amount1", "sqrt_price_x96", "liquidity", "tick")
LIQUIDITY = (*PLACE, "tick_lower", "tick_upper", "amount", "amount0", "amount1")
TABLES = {"base_poocl_swaps_v2": SWAPS, "their_mints": LIQUIDITY, "their_burns": LIQUIDITY}


def pool_of(record: Record) -> str:
    return record.info.pair_address.lower()


def values_of(record: Record, last: int) -> dict[str, list[tuple[int | str, ...]]]:
    """Return a record's events up to a block as rows of the external tables."""
    rows: dict[str, list[tuple[int | str, ...]]] = {table: [] for table in TABLES}
    for block in record.blocks:
        for event in block.events if block.number <= last else ():
            place = (block.number, event.log_index, block.timestamp, record.info.pair_address.lower()[2:])
            if isinstance(event, SwapEvent):
                price = (event.sqrt_price_x96, event.liquidity, event.tick)
                rows["base_poocl_swaps_v2"].append((*place, event.amount0, event.amount1, *price))
            elif isinstance(event, LiquidityEvent):
                table = "their_mints" if event.liquidity_delta > 0 else "their_burns"
                bounds = (event.tick_lower, event.tick_upper, abs(event.liquidity_delta))
                rows[table].append((*place, *bounds, event.amount0 or 0, event.amount1 or 0))
    return rows


async def fill(url: str, rows: dict[str, Iterable[tuple[int | str, ...]]]) -> None:
    """Make the external tables: integers and text on SQLite, NUMERIC and timestamps on PostgreSQL."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            for table, columns in TABLES.items():
                file.execute(f"CREATE TABLE {table} (id TEXT, {', '.join(columns)})")
                marks = ", ".join("?" for _ in columns)
                texts = [[*row[:4], *map(str, row[4:])] for row in rows[table]]
                file.executemany(f"INSERT INTO {table} VALUES ('x', {marks})", texts)
        file.close()
        return
    connection = await asyncpg.connect(url)
    for table, columns in TABLES.items():
        place = "id TEXT, evt_block_number BIGINT, evt_index BIGINT, evt_block_time TIMESTAMPTZ, pool TEXT"
        await connection.execute(f"CREATE TABLE {table} ({place}, {', '.join(f'{c} NUMERIC' for c in columns[4:])})")
        typed = [
            ("x", *row[:2], datetime.fromtimestamp(int(row[2]), UTC), row[3], *map(Decimal, row[4:]))
            for row in rows[table]
        ]
        await connection.copy_records_to_table(table, records=typed)
    await connection.close()


async def fill_before(url: str, record: Record) -> None:
    """Add a row of the pool long before the record."""
    place = (record.first_block - 10, 0, record.opening.timestamp - 120, pool_of(record))
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            file.execute("INSERT INTO their_burns VALUES ('x', ?, ?, ?, ?, '0', '10', '0', '0', '0')", place)
        file.close()
        return
    connection = await asyncpg.connect(url)
    when = datetime.fromtimestamp(place[2], UTC)
    await connection.execute(
        "INSERT INTO their_burns VALUES ('x', $1, $2, $3, $4, 0, 10, 0, 0, 0)", *place[:2], when, place[3]
    )
    await connection.close()


def event_row(record: Record, number: int, block_hash: str, event: PoolEvent) -> EventRow:
    place = (number, block_hash, event.log_index, "0x" + "0" * 64, 0)
    if isinstance(event, SwapEvent):
        fields = {"sender": "0x", "recipient": "0x", "amount0": event.amount0, "amount1": event.amount1}
        fields |= {"sqrt_price_x96": event.sqrt_price_x96, "liquidity": event.liquidity, "tick": event.tick}
        return EventRow("swaps", *place, fields)
    assert isinstance(event, LiquidityEvent)
    fields = {"owner": "0x", "tick_lower": event.tick_lower, "tick_upper": event.tick_upper}
    fields |= {"amount": abs(event.liquidity_delta), "amount0": event.amount0 or 0, "amount1": event.amount1 or 0}
    table = "mints" if event.liquidity_delta > 0 else "burns"
    return EventRow(table, *place, {**fields, **({"sender": "0x"} if table == "mints" else {})})


async def fill_index(url: str, record: Record, blocks: int) -> None:
    """Put the first blocks of a record into an index, after a snapshot of its opening."""
    info, opening = record.info, replace(record.opening, pair_address=record.info.pair_address.lower())
    async with await PoolEventsStore.create(url, chain_id=info.chain_id) as store:
        tokens = [v for t in (info.token0, info.token1) for v in (t.address.lower(), t.symbol, t.decimals)]
        await store.add_pool(PoolRow(opening.pair_address, *tokens, info.fee_pips, info.tick_spacing))
        logged = record.logged()[:blocks]
        rows = tuple(BlockRow(b.number, b.block_hash, b.parent_hash, b.timestamp) for b in logged)
        events = tuple(event_row(record, b.number, b.block_hash, event) for b in logged for event in b.events)
        body = SnapshotRow(opening.block_number, opening.block_hash, json.dumps(opening.to_json()))
        await store.add(opening.pair_address, Batch(rows, events, (body,)))
