"""An events database of somebody else, with the public system's names: read, never written."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from support.event_databases import NAMES, fill, fill_before, pool_of, values_of
from support.processes import tideline

from db.pool_events.external import ExternalEvents, ExternalNames
from db.pool_events.records import BlockRange
from protocol.errors import ConfigError, StoreError
from simulator import records
from simulator.indexed import IndexedMarket, load_flow
from simulator.records import Record
from tideline.external_events import ExternalReader, anchored, read_names

BLOCKS = 400


@pytest.fixture(scope="module")
def record() -> Record:
    return records.load("usdc-weth-005")


async def test_the_flow_of_an_external_database_is_the_records(record: Record, database_url: str) -> None:
    await fill(database_url, dict(values_of(record, record.first_block + BLOCKS)))
    reader = await ExternalReader.open(database_url, NAMES)
    first = record.blocks[0].number
    market = IndexedMarket(record.info, reader, anchored(record.opening))
    last = await reader.last_block(record.info.pair_address, first)
    assert last == max(b.number for b in record.blocks if b.number <= record.first_block + BLOCKS) - 1
    with pytest.raises(StoreError, match="no events around"):
        await market.next_block()  # nothing tells when the very first blocks were
    await fill_before(database_url, record)
    flow = await load_flow(reader, anchored(record.opening), last)
    expected = record.flow().blocks[: last - record.first_block]
    assert [(b.number, b.happenings) for b in flow.blocks] == [(b.number, b.happenings) for b in expected]
    later = [b for b in flow.blocks if b.number >= first]
    assert [b.timestamp for b in later] == [record.timestamp_at(b.number) for b in later]
    assert (await market.open_round(60)).sqrt_price_x96 == record.opening.sqrt_price_x96
    await market.seek(first + 60)
    assert market.head == first + 60
    await reader.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"swaps": {"table": "swaps"}}, "has no table swaps; set swaps.table to its name there"),
        ({"mints": {"table": "Mints"}}, "has no table Mints; set mints.table"),
        ({"swaps": {"tick": "tick_after"}}, "table base_poocl_swaps_v2 .* has no column tick_after; set swaps.tick"),
        ({"burns": {"table": "their_burns", "log_index": "i"}}, "has no column i; set burns.log_index"),
        ({"swaps": {"table": 'x"; DROP TABLE their_mints; --'}}, "has no table"),
    ],
)
async def test_what_is_missing_is_said_in_one_line_and_never_made(
    record: Record, database_url: str, changes: dict[str, dict[str, str]], says: str
) -> None:
    await fill(database_url, dict(values_of(record, record.first_block + 5)))
    names = ExternalNames.model_validate({**NAMES.model_dump(), **changes})
    with pytest.raises(ConfigError, match=says) as raised:
        await ExternalEvents.open(database_url, names)
    assert "\n" not in str(raised.value)
    async with await ExternalEvents.open(database_url, NAMES) as database:  # everything is as it was
        with pytest.raises(StoreError, match=r"read-?only"):
            await database._fetch("DELETE FROM their_mints")
        assert len(await database.events(pool_of(record), BlockRange(0, 2**31 - 1))) == 2


async def test_an_address_is_found_however_it_is_written_and_a_doubled_row_counts_once(
    record: Record, tmp_path: Path
) -> None:
    rows = values_of(record, record.first_block + 40)
    url, swaps = f"sqlite:///{tmp_path}/events.sqlite3", rows["base_poocl_swaps_v2"]
    spellings = [pool_of(record), pool_of(record)[2:], record.info.pair_address, record.info.pair_address[2:]]
    mixed = [(*row[:3], spellings[at % 4], *row[4:]) for at, row in enumerate(swaps)]
    await fill(url, {**rows, "base_poocl_swaps_v2": [*mixed, *mixed[:3]]})
    async with await ExternalEvents.open(url, NAMES) as database:
        found = await database.events(record.info.pair_address, BlockRange(0, 2**31 - 1))
        assert [(e.block_number, e.log_index) for e in found if e.kind == "swaps"] == [row[:2] for row in swaps]
        assert await database.events("0x" + "11" * 20, BlockRange(0, 2**31 - 1)) == []


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("amount0", "1.5", "none of an event's"),
        ("amount1", 1.0, "is not exact"),
        ("tick", None, "is not exact"),
        ("evt_index", None, "is not exact"),
        ("evt_index", 0, "two rows claim one place"),
    ],
)
async def test_rows_that_cannot_be_events_are_refused(
    record: Record, tmp_path: Path, column: str, value: object, says: str
) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    await fill(url, dict(values_of(record, record.first_block + 40)))
    with sqlite3.connect(tmp_path / "events.sqlite3") as file:
        file.execute(f"UPDATE base_poocl_swaps_v2 SET {column} = ?, evt_block_number = 1", (value,))
    file.close()
    async with await ExternalEvents.open(url, NAMES) as database:
        with pytest.raises(StoreError, match=says):
            await database.events(pool_of(record), BlockRange(0, 5))


async def test_the_command_says_what_a_database_can_tell(record: Record, tmp_path: Path) -> None:
    await fill(f"sqlite:///{tmp_path}/theirs.sqlite3", dict(values_of(record, record.first_block + 40)))
    names = tmp_path / "names.toml"
    names.write_text('[mints]\ntable = "their_mints"\n[burns]\ntable = "their_burns"\n')
    assert read_names(names) == NAMES
    command = ("index", "external", "--database", "sqlite:///theirs.sqlite3", "--names", "names.toml")
    done = await asyncio.to_thread(tideline, tmp_path, *command, "--pool", pool_of(record))
    numbers = [block.number for block in record.blocks if block.number <= record.first_block + 40]
    expected = {"pool": pool_of(record), "first_block": numbers[0], "last_block": numbers[-1]}
    assert (done.returncode, json.loads(done.stdout)) == (0, expected), done.stderr
    for database, says in (
        ("/proc/x.sqlite3", "unable to open database file"),
        ("names.toml", "not an SQLite database"),
    ):
        elsewhere = ("index", "external", "--database", f"sqlite:///{database}", "--names", "names.toml")
        done = await asyncio.to_thread(tideline, tmp_path, *elsewhere, "--pool", pool_of(record))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and says in done.stderr, done
    for text, says in (
        ("[swaps]\n", "mints: Field required"),
        ('[mints]\ntable = 5\n[burns]\ntable = "b"\n', "mints.table: Input should be a valid string"),
        ('[mints]\ntable = "their_mints"\n[burns]\ntable = "nowhere"\n', "has no table nowhere; set burns.table"),
        ("[mints\n", "cannot be read"),
    ):
        names.write_text(text)
        done = await asyncio.to_thread(tideline, tmp_path, *command, "--pool", pool_of(record))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and says in done.stderr, done
