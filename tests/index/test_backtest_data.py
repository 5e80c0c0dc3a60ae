"""A back-test reads the same market out of a database that it reads out of a record."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.event_databases import NAMES, fill, fill_before, fill_index, values_of

from protocol.errors import ConfigError
from simulator import records
from simulator.records import Record
from tideline.backtest_data import Source, load
from tideline.commands.backtest import backtest
from tideline.demo import demo_jobs

BLOCKS = 160  # two rounds and a rest
JOB = next(job for job in demo_jobs() if job.job_id == "usdc-weth")


@pytest.fixture(scope="module")
def record() -> Record:
    return records.load("usdc-weth-005")


def scores(*arguments: str) -> list[list[str | None]]:
    result = CliRunner().invoke(backtest, ["--strategy", "band", "--against", "charm", "--json", *arguments])
    assert result.exception is None, result.exception
    return [s["scores_e18"] for s in json.loads(result.stdout)["strategies"]]


def test_an_index_is_played_as_the_record_that_it_holds(record: Record, database_url: str) -> None:
    asyncio.run(fill_index(database_url, record, BLOCKS))
    found = load(Source.of(JOB, database_url))
    assert [(b.number, b.block_hash, b.timestamp) for b in found.blocks] == [
        (b.number, b.block_hash, b.timestamp) for b in record.logged()[:BLOCKS]
    ]
    assert scores("--data", database_url) == scores("--rounds", "2")
    later = load(Source.of(JOB, database_url, from_block=record.first_block + 75))
    assert later.opening.block_number == record.first_block + 75 and len(later.blocks) == BLOCKS - 75
    with pytest.raises(ConfigError, match=r"holds nothing of pool .* after block"):
        load(Source.of(JOB, database_url, from_block=record.first_block + BLOCKS))
    with pytest.raises(ConfigError, match="holds 2 rounds of job usdc-weth"):
        raise CliRunner().invoke(backtest, ["--data", database_url, "--rounds", "3"]).exception or AssertionError
    # A future that is drawn from it is longer than it.
    assert len(scores("--data", database_url, "--days", "0.05", "--window-hours", "0.2")[0]) == 4


def test_a_database_of_somebody_else_needs_names_and_a_snapshot(
    record: Record, database_url: str, tmp_path: Path
) -> None:
    ours = f"sqlite:///{tmp_path}/ours.sqlite3"
    asyncio.run(fill_index(ours, record, 1))
    asyncio.run(fill(database_url, dict(values_of(record, record.first_block + BLOCKS))))
    asyncio.run(fill_before(database_url, record))
    names = tmp_path / "names.toml"
    names.write_text(f'[mints]\ntable = "{NAMES.mints.table}"\n[burns]\ntable = "{NAMES.burns.table}"\n')
    given = ("--data", database_url, "--names", str(names), "--snapshots", ours)
    assert scores(*given, "--rounds", "1") == scores("--rounds", "1")
    with pytest.raises(ConfigError, match="needs both --names and --snapshots"):
        Source.of(JOB, database_url, names=names)
