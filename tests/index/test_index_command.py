"""`tideline index` as an operator meets it."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.anvil_pool import AnvilPool
from support.indexing import execute, live
from support.postgres import PostgresServer
from support.processes import start, tideline

from db.pool_events.records import BlockRange
from db.pool_events.store import PoolEventsStore
from tideline.cli import run
from tideline.commands.index import index as index_command
from tideline.index_progress import PROGRESS_S, Bar, Lines, make_progress
from tideline.indexer import Delayed, Fact, Indexed, Rewound, Unseen

NOWHERE = "http://127.0.0.1:9"  # the port of discard, where nobody listens
POOL = "0x" + "11" * 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_in(folder: Path) -> list[str]:
    """Return what a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Run a command that must end with one line; return it."""
    assert run(["index", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("tideline: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--pool and --from-block are needed"),
        (("--pool", POOL), "--pool and --from-block are needed"),
        (("--pool", "0x12", "--from-block", "1"), "'0x12' is no address"),
        (("--pool", "0xd0b53D9277642d899DF5C87A3966A349A798F225", "--from-block", "1"), "is a checksum"),
        (("--pool", POOL, "--from-block", "1"), "no --rpc is given"),
        (("--pool", POOL, "--from-block", "1", "--rpc", "wss://h/KEY"), "--rpc number 1 is not an http"),
        (("--pool", POOL, "--from-block", "-1"), "-1 is not in the range"),
        (("--pool", POOL, "--from-block", "9", "--to-block", "8"), "--to-block 8 lies before --from-block 9"),
        (("--pool", POOL, "--from-block", "9", "--to-block", "9", "--follow"), "leave out --to-block"),
        (("--pool", POOL, "--from-block", "1", "--rpc", NOWHERE, "--quorum", "0"), "0 is not in the range"),
        (("check", "--database", "sqlite:///nowhere.sqlite3"), "there is no database nowhere.sqlite3"),
        (("check", "--database", "mysql://x"), "unknown database scheme 'mysql'"),
        (("check", "--pool", "x"), "'x' is no address"),
        (("external", "--database", "sqlite:///x", "--names", "no.toml", "--pool", POOL), "no.toml cannot be read"),
    ],
)
def test_mistakes_cost_one_line_and_touch_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    line = refused(capsys, *arguments)
    assert says in line and "KEY" not in line
    assert list(folder.iterdir()) == []


def test_a_node_that_does_not_answer_is_the_worlds_fault(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "--pool", POOL, "--from-block", "1", "--rpc", NOWHERE, code=1)
    assert "no RPC answers" in line
    assert list(folder.iterdir()) == []


async def test_mistakes_about_the_chain_cost_one_line_and_touch_nothing(chain: AnvilPool, tmp_path: Path) -> None:
    await live(chain)
    head = (await chain.head()).number
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    other = tmp_path / "other.sqlite3"
    async with await PoolEventsStore.create(f"sqlite:///{other}", chain_id=8453):
        pass
    foreign = tmp_path / "foreign.sqlite3"
    with sqlite3.connect(foreign) as file:
        file.execute("CREATE TABLE swaps (x)")
    file.close()
    good = ("--pool", chain.pool, "--rpc", chain.anvil.url)
    cases: list[tuple[tuple[str, ...], str]] = [
        (("--pool", POOL, *good[2:], "--from-block", "1"), f"{POOL} is no pool of a family that is known here"),
        ((*good, "--from-block", str(head + 1)), f"--from-block {head + 1} lies after the head of the chain, {head}"),
        ((*good, "--from-block", "1", "--to-block", str(head + 5)), f"--to-block {head + 5} lies after the head"),
        ((*good, "--from-block", "1", "--quorum", "2"), "a quorum of 2 needs as many RPC URLs"),
        ((*good, "--from-block", "1", "--database", f"sqlite:///{blocked}/x.sqlite3"), "cannot make the folder"),
        ((*good, "--from-block", "1", "--database", f"sqlite:///{tmp_path}/a/b/x.sqlite3"), "does not exist"),
        ((*good, "--from-block", "1", "--database", f"sqlite:///{blocked}"), "the file is not an SQLite database"),
        (
            (*good, "--from-block", "1", "--database", f"sqlite:///{other}"),
            "holds chain 8453, the RPC is on chain 31337",
        ),
        (
            (*good, "--from-block", "1", "--database", f"sqlite:///{foreign}"),
            "is not a pool events database (it has a table swaps)",
        ),
        ((*good, "--from-block", "1", "--database", "postgres://nobody@127.0.0.1:9/x"), "cannot open the database"),
    ]
    before, bytes_before = names_in(tmp_path), foreign.read_bytes()
    for arguments, says in cases:
        done = await asyncio.to_thread(CliRunner().invoke, index_command, list(arguments))
        assert done.exception is not None and says in str(done.exception), (arguments, done.output, done.exception)
    assert (names_in(tmp_path), foreign.read_bytes()) == (before, bytes_before)


async def test_a_real_process_indexes_checks_and_finds_a_gap(chain: AnvilPool, tmp_path: Path) -> None:
    await live(chain)
    head = (await chain.head()).number
    command = ("index", "--pool", chain.pool, "--rpc", NOWHERE, "--rpc", chain.anvil.url, "--from-block", "0")
    done = await asyncio.to_thread(tideline, tmp_path, *command)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[-1] == f"WETH/WETH  done: block {head}, 23 events, 0 blocks left"
    whole = await asyncio.to_thread(tideline, tmp_path, "index", "check")
    assert whole.returncode == 0, whole.stderr
    found = json.loads(whole.stdout)
    [pool] = found["pools"]
    assert found["whole"] is True and pool["gap"] is None
    assert (pool["ranges"], pool["swaps"], pool["swaps_replayed"]) == ([[0, head]], 12, 12)
    url = f"sqlite:///{tmp_path}/.tideline/events.sqlite3"
    await execute(url, "DELETE FROM swaps WHERE block_number = (SELECT min(block_number) FROM swaps)")
    broken = await asyncio.to_thread(tideline, tmp_path, "index", "check", "--pool", chain.pool)
    assert broken.returncode == 1, broken.stderr
    gap = json.loads(broken.stdout)["pools"][0]["gap"]
    assert gap["kind"] == "amounts_of_another_price" and gap["block"] > 0 and gap["log_index"] is not None
    unknown = await asyncio.to_thread(tideline, tmp_path, "index", "check", "--pool", POOL)
    assert (unknown.returncode, unknown.stderr) == (2, f"tideline: pool {POOL} is not in this database\n")


async def test_following_ends_with_success_when_it_is_asked_to_stop(
    chain: AnvilPool, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    await live(chain)
    url = await postgres_server.create_database()
    command = ("index", "--pool", chain.pool, "--rpc", chain.anvil.url, "--database", url, "--from-block", "1")
    with start(tmp_path, *command, "--follow") as process:
        await asyncio.to_thread(process.until, "0 blocks left")
        process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.end) == 0, process.lines
    assert "stopped: block" in process.lines[-1]


async def test_what_is_stopped_before_its_end_does_not_end_well(chain: AnvilPool, tmp_path: Path) -> None:
    for _ in range(40):
        await chain.mine()
    command = ("index", "--pool", chain.pool, "--rpc", chain.anvil.url, "--from-block", "0", "--most-blocks", "1")
    with start(tmp_path, *command) as process:
        await asyncio.to_thread(process.until, "block ")
        process.signal(signal.SIGINT)
        assert await asyncio.to_thread(process.end) == 130, process.lines


FACTS: tuple[Fact, ...] = (
    Indexed(BlockRange(1, 10), 3, 20),
    Rewound(8, 2),
    Unseen(0, "missing trie node"),
    Indexed(BlockRange(9, 20), 4, 10),
    Delayed("no endpoint answers"),
    Indexed(BlockRange(21, 30), 5, 0),
)


def test_without_a_terminal_there_are_plain_lines_now_and_then() -> None:
    out, seconds = io.StringIO(), iter([0.0, PROGRESS_S - 1, PROGRESS_S, PROGRESS_S])
    with Lines("A/B", out, monotonic=lambda: next(seconds)) as lines:
        for fact in FACTS:
            lines.take(fact)
        lines.end("done")
    assert out.getvalue().splitlines() == [
        "A/B  block 10, 3 events, 20 blocks left",
        "A/B  the chain took blocks back: 2 above block 8 are removed and read anew",
        "A/B  no RPC shows the pool at block 0, the integrity check starts later: missing trie node",
        "A/B  trying again: no endpoint answers",
        "A/B  block 30, 12 events, 0 blocks left",
        "A/B  done: block 30, 12 events, 0 blocks left",
    ]


class Terminal(io.StringIO):
    """What a terminal is to whoever asks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    yield Terminal()


def test_a_terminal_gets_a_bar(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress("A", "B", io.StringIO()), Lines)
    bar = make_progress("A", "B", terminal)
    assert isinstance(bar, Bar)
    with bar:
        for fact in FACTS:
            bar.take(fact)
        bar.end("done")
    said = terminal.getvalue()
    assert "A/B" in said and "32/32" in said and "done: 32 blocks, 12 events" in said
    assert "trying again: no endpoint answers" in said
