"""Mistakes at the command line, each in a real process: one line that says what to change, exit 2, nothing touched."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import environment, tideline
from support.services import recorded_job

from db.store import Store
from protocol.signing import keypair_from_uri
from simulator import records

ALICE = keypair_from_uri("//Alice").ss58_address
MISTYPED = "0xd0b53d9277642d899DF5C87A3966A349A798F224"  # one letter in the wrong case
VAULT = "0x52908400098527886E0F7030069857D2E4169EE7"
DB = ("--db", "sqlite:///jobs.sqlite3")
MINER = ("miner", "--dev-key", "//Bob", "--allow-validator", ALICE)
ADD = ("jobs", "add", "new", "--vault", VAULT, "--target", "pol", "--quote-token", "token0", *DB)
PAIR = ("--pair", "0xd0b53D9277642d899DF5C87A3966A349A798F224")
NAMED = ("--dev-key", "//Alice", "--miner", f"{ALICE}@127.0.0.1:8091", "--allow-private")


def contents(folder: Path) -> dict[str, str]:
    """Return every file below a folder with the digest of what is in it."""
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(b"SQLite format 3\0"):
        data = data[:18] + data[20:24] + data[28:92] + data[96:]  # but for the journal mode and the counters of changes
    return hashlib.sha256(data).hexdigest()


def refused(folder: Path, *arguments: str) -> str:
    """Run a command that must be refused in one line without touching anything; return the line."""
    before = contents(folder)
    done = tideline(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("tideline: ") and done.stderr.endswith("\n") and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert contents(folder) == before
    return done.stderr


@pytest.fixture(scope="module")
def with_a_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that holds one job."""
    folder = tmp_path_factory.mktemp("with-a-job")

    async def make() -> None:
        async with await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=True) as store:
            await store.add_job(recorded_job("known"))

    asyncio.run(make())
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("jobs", "pause", "nowhere", *DB), "there is no job nowhere"),
        (("jobs", "resume", "nowhere", *DB), "there is no job nowhere"),
        (("jobs", "remove", "nowhere", *DB), "there is no job nowhere"),
        (("jobs", "show", "nowhere", *DB), "there is no job nowhere; known: known"),
        (("jobs", "update", "nowhere", "--weight", "2", *DB), "there is no job nowhere"),
        (("leaderboard", "--job", "nowhere", *DB), "there is no job nowhere; known: known"),
        (("evidence", "list", "--job", "nowhere", *DB), "there is no job nowhere; `tideline jobs list` shows the jobs"),
        (("evidence", "verify", "nowhere-evaluation-1", *DB), "nowhere-evaluation-1"),
        (("evidence", "export", "nowhere-evaluation-1", *DB), "nowhere-evaluation-1"),
        ((*ADD, "--pair", MISTYPED), "pair_address has a wrong checksum; if its digits are right it is 0xd0b53D92"),
        ((*ADD, "--pair", "0x1234"), "pair_address must be 0x and 40 hex digits"),
        ((*ADD, *PAIR, "--checkpoint-interval-blocks", "0"), "checkpoint_interval_blocks must be 1 to"),
        ((*ADD, *PAIR, "--weight", "nan"), "weight must be a number"),
        ((*ADD, *PAIR, "--feed", "recorded", "--record", "r"), "needs opening"),
        (("jobs", "update", "known", "--checkpoint-interval-blocks", "0", *DB), "checkpoint_interval_blocks must be"),
        (("jobs", "update", "known", *DB), "nothing to change"),
        (
            ("jobs", "update", "known", "--checkpoint-interval-blocks", "5", *DB),
            "5 is shorter than the 6 blocks in which",
        ),
        (("up", "--speed", "fast", *DB), "speed 'fast' is not a speed; use for example 1x, 500x or max"),
        (("up", "--speed", "0x", *DB), "is not a speed"),
        (("up", "--rounds", "none", *DB), "Invalid value for '--rounds'"),
        (("validator", *NAMED, "--speed", "fast", *DB), "speed 'fast' is not a speed"),
        (("validator", *DB), "set --netuid"),
        (("validator", "--dev-key", "//Alice", *DB), "--dev-key and --miner go together"),
        (("validator", *NAMED[:2], "--miner", "nonsense", *DB), "'nonsense' is not HOTKEY@IP:PORT"),
        (("validator", *NAMED[:2], "--miner", "5Grw@127.0.0.1:1", *DB), "add --allow-private"),
        (("validator", *NAMED[:2], "--miner", "5Grw@203.0.113.7:1", *DB), "address is not public"),
        (("validator", *NAMED[:2], "--miner", "5Grw@8.8.8.8:99999", *DB), "port out of range"),
        (("validator", *NAMED[:2], "--miner", "5Grw@8.8.8.8:1", *DB), "'5Grw' is not a hotkey"),
        (("validator", *NAMED, *NAMED[2:4], *DB), "--miner names one hotkey twice"),
        (("validator", "--netuid", "98", "--wallet.path", "none", *DB), "there is no such hotkey"),
        ((*MINER, "--strategy", "genius"), "no strategy is named 'genius'; choose one of avellaneda_stoikov, band, "),
        ((*MINER, "--strategy", "no_such_module:Mine"), "no_such_module"),
        ((*MINER, "--set", "depth=3"), "depth"),
        ((*MINER, "--strategy", "band", "--set", "half_width=wide"), "'wide' is not an integer"),
        ((*MINER, "--port", "99999"), "Invalid value for '--port'"),
        (("replay", "no-such-file"), "no-such-file"),
        (("bogus",), "No such command 'bogus'. See: tideline --help"),
        (("jobs", "pausee"), "Did you mean 'pause'? See: tideline jobs --help"),
        (("up", "--round", "3", *DB), "See: tideline up --help"),
        (("up", "--live", "--rounds", "3", *DB), "--live plays its own rounds on its own devnet"),
        (("up", "--live", "--market", "recorded", *DB), "--live plays its own rounds on its own devnet"),
        (("replay",), "Missing argument 'FILE'. See: tideline replay --help"),
        (("leaderboard", "--db", "mysql://x"), "unknown database scheme 'mysql'"),
        (("leaderboard", "--db", "jobs.sqlite3"), "the database address has no scheme"),
        (("leaderboard", "--db", "sqlite:///."), "is a directory"),
    ],
)
def test_a_mistake_costs_one_line_and_changes_nothing(with_a_job: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(with_a_job, *arguments)


# Databases that cannot be used. `up` and `jobs migrate` would make one; everybody needs one that is theirs.

READERS = [
    ("leaderboard",),
    ("jobs", "list"),
    ("jobs", "pause", "known"),
    ("evidence", "list", "--job", "known"),
    ("evidence", "verify", "known-evaluation-1"),
    ("validator", *NAMED),
]
MAKERS = [("up", "--rounds", "1", "--speed", "max"), ("jobs", "migrate")]


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_a_missing_database_is_named_and_not_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    line = refused(tmp_path, *command, *DB)
    assert "there is no database jobs.sqlite3; create it with: tideline jobs migrate" in line
    assert list(tmp_path.iterdir()) == []


def garbage(path: Path) -> None:
    path.write_bytes(b"This is not a database.\n" * 400)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("create table jobs (name text)")
    raw.close()


def newer(path: Path) -> None:
    asyncio.run(_make(path))
    with sqlite3.connect(path) as raw:
        columns = [row[1] for row in raw.execute("pragma table_info(tortoise_migrations)")]
        rows = raw.execute("select * from tortoise_migrations").fetchall()
        later = dict(zip(columns, rows[-1], strict=True)) | {"name": "9999_later"}
        later.pop("id", None)
        names, marks = ", ".join(later), ", ".join("?" * len(later))
        raw.execute(f"insert into tortoise_migrations ({names}) values ({marks})", list(later.values()))
    raw.close()


def cut_off(path: Path) -> None:
    asyncio.run(_make(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


async def _make(path: Path) -> None:
    async with await Store.open(f"sqlite:///{path}", create=True) as store:
        await store.add_job(recorded_job("known"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (garbage, "the file is not an SQLite database"),
        (foreign, "Tideline"),
        (newer, "is newer than this Tideline (it has 9999_later); upgrade Tideline"),
        (cut_off, "malformed"),
    ],
)
def test_a_database_that_is_none_of_ours_is_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(tmp_path / "jobs.sqlite3")
    for command in (*READERS, *MAKERS):
        line = refused(tmp_path, *command, *DB)
        assert says in line, (command, line)


def test_a_locked_database_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "jobs.sqlite3"))
    holding = "import sqlite3, sys\nraw = sqlite3.connect('jobs.sqlite3', isolation_level=None)\n"
    holding += "raw.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", holding],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        before = (tmp_path / "jobs.sqlite3").read_bytes()
        for command in (("jobs", "pause", "known"), ("up", "--rounds", "1", "--speed", "max")):
            started = time.monotonic()
            done = tideline(tmp_path, *command, *DB)
            assert done.returncode == 2 and "it is locked by another process" in done.stderr, done.stderr
            assert done.stderr.count("\n") == 1
            assert time.monotonic() - started < 60, "the busy timeout is 10 s; the rest is a slow machine's"
        assert (tmp_path / "jobs.sqlite3").read_bytes() == before
        holder.stdin.close()
    assert tideline(tmp_path, "jobs", "pause", "known", *DB).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ("jobs", "migrate", "--db", "sqlite:////sys/tideline/jobs.sqlite3"),
        ("up", "--rounds", "1", "--db", "sqlite:////sys/tideline/jobs.sqlite3"),
        (*ADD[:-2], *PAIR, "--db", "sqlite:////sys/tideline/jobs.sqlite3"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    """In /sys not even root can make a file."""
    assert "/sys/" in refused(tmp_path, *command)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(tmp_path, *MINER, "--port", str(port), "--log-level", "error")
    assert f"port {port} on 127.0.0.1 is in use; choose another with --port" in line


@pytest.fixture
def market_files(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """A shipped market, packed and unpacked, cut in half or spoilt."""
    with records.locate("wbtc-weth-03") as path:
        packed = path.read_bytes()
    text = gzip.decompress(packed)
    files = {
        "packed in half": packed[: len(packed) // 2],
        "text in half": text[: len(text) // 2 + 7],
        "bytes": bytes(range(256)) * 9,
        "empty": b"",
    }
    named = {}
    for name, data in files.items():
        suffix = ".jsonl" if name == "text in half" else ".jsonl.gz"
        named[name] = tmp_path / (name.replace(" ", "-") + suffix)
        named[name].write_bytes(data)
    yield named


@pytest.mark.parametrize("name", ["packed in half", "text in half", "bytes", "empty"])
def test_a_market_file_that_is_cut_or_spoilt_is_named(tmp_path: Path, market_files: dict[str, Path], name: str) -> None:
    assert market_files[name].name in refused(tmp_path, "replay", market_files[name].name)


def test_a_folder_is_no_market_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder" in refused(tmp_path, "replay", "folder")


@pytest.mark.parametrize("data", [b"", b"{}", b'{"opening": 3}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_evidence_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "round.json").write_bytes(data)
    done = tideline(tmp_path, "evidence", "verify", "round.json")
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
