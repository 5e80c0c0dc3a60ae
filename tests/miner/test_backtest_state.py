"""A file of finished rounds survives a kill at any byte, and is never another back-test's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from miner.backtest import Played, PlayedRound
from miner.backtest_state import BacktestState, StateFile
from protocol.errors import ConfigError

KEY = {"data": {"digest": "ab"}, "strategies": [["a", ""]]}
PLAYED = (
    Played("a", "kept", 10**20 + 1, {"w_open_x192": "5"}, False, ("why",)),
    Played("b", "refused", None, None, False, ()),
)
FIRST = PlayedRound(1, 0, 75, 100, 1000, 2**96, 2**97, 3, {"fees_x192": "1"}, PLAYED)
ROUNDS = tuple(replace(FIRST, number=n) for n in range(1, 5))


def filled(path: Path) -> StateFile:
    """Return a file with two rounds, added to by a third."""
    file = StateFile(path, KEY)
    assert file.load() == BacktestState()
    file.append(ROUNDS[:2], {"a": 2})
    file.append(ROUNDS[2:3], {"a": 3, "long": "x" * 99})
    return file


def test_what_was_added_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rounds.jsonl"
    filled(path)
    assert StateFile(path, KEY).load() == BacktestState(ROUNDS[:3], {"a": 3, "long": "x" * 99})


def test_after_a_kill_at_any_byte_it_goes_on_from_the_last_whole_memory(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    filled(path)
    whole = path.read_bytes()
    first_end = whole.index(b'{"round":{"number":3')
    for cut in range(first_end, len(whole) + 1):
        path.write_bytes(whole[:cut])
        file = StateFile(path, KEY)
        known = file.load()
        assert len(known.rounds) == (3 if cut == len(whole) else 2) == (known.memories or {})["a"]
        file.append(ROUNDS[len(known.rounds) : 4], {})
        assert StateFile(path, KEY).load() == BacktestState(ROUNDS, {})
        # Less than what the killed process had begun to write must leave nothing of that behind.
        path.write_bytes(whole[:cut])
        file = StateFile(path, KEY)
        done = len(file.load().rounds)
        file.append((), {"a": "shorter"})
        assert StateFile(path, KEY).load() == BacktestState(ROUNDS[:done], {"a": "shorter"})


def test_rounds_are_added_without_writing_the_others_again(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    file = filled(path)
    before, inode = path.read_bytes(), path.stat().st_ino
    file.append(ROUNDS[3:], {"a": 4})
    assert path.read_bytes().startswith(before) and path.stat().st_ino == inode


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no file of finished rounds"),
        (b"a page of my diary", "remove it, or name another file"),
        (b'{"version": 1}\n', "no file of finished rounds"),
        (
            b'{"version":2,"key":{"data":{"digest":"cd"},"strategies":[]}}\n',
            r"another back-test \(other data, strategies\)",
        ),
        (b'{"version":2,"key":{"data":{"digest":"ab"},"strategies":[["a",""]]}}\n{"round":{}}\n', "malformed round"),
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        StateFile(path, KEY).load()
    assert path.read_bytes() == content


def test_missing_rounds_are_found(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((lines[0], *lines[2:])))
    with pytest.raises(ConfigError, match="do not follow each other"):
        StateFile(path, KEY).load()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        StateFile(tmp_path / "file" / "rounds.jsonl", KEY).append(ROUNDS[:1], {})
