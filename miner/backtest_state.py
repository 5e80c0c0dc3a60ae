"""The finished rounds of a back-test in a file, from which it goes on after any end of its process.

One JSON value a line: the key, then rounds and, after some of them, what the strategies had learnt by then. Lines are
only ever added, so that a long back-test is not written again and again. What follows the last whole memory is played
again: a process may have been killed while it wrote it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.backtest import PlayedRound
from miner.whole_file import replace_lines, to_lines
from protocol.errors import ConfigError

_VERSION = 2


@dataclass(frozen=True, slots=True)
class BacktestState:
    """Rounds 1 to n, and what the strategies had learnt by their end."""

    rounds: tuple[PlayedRound, ...] = ()
    memories: Mapping[str, Any] | None = None


class StateFile:
    """The file of one back-test: `key` is all that decides how rounds go."""

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        self._key = json.loads(json.dumps(key))
        self._whole_bytes = 0  # up to the last memory

    def load(self) -> BacktestState:
        """Return what is in the file; nothing where there is none. Raises ConfigError where it is that of another
        back-test, or damaged.
        """
        try:
            return self._read(self._path.read_bytes().splitlines(keepends=True))
        except FileNotFoundError:
            return BacktestState()
        except OSError as error:
            raise ConfigError(f"cannot read {self._path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f"{self._path} cannot be gone on from: {error}; remove it, or name another file"
            raise ConfigError(why) from error

    def _read(self, lines: Sequence[bytes]) -> BacktestState:
        head = json.loads(lines[0]) if lines else None
        if not isinstance(head, dict) or head.get("version") != _VERSION:
            raise ValueError("it is no file of finished rounds")
        changed = sorted(name for name in self._key if head["key"].get(name) != self._key[name])
        if changed:
            raise ConfigError(f"{self._path} holds the rounds of another back-test (other {', '.join(changed)})")
        rounds: list[PlayedRound] = []
        state, at = BacktestState(), 0
        for line in lines:
            at += len(line)
            if not line.endswith(b"\n"):
                break  # the end of a killed process
            value = json.loads(line)
            if "round" in value:
                rounds.append(PlayedRound.from_json(value["round"]))
            elif "memories" in value:
                state, self._whole_bytes = BacktestState(tuple(rounds), dict(value["memories"])), at
        if [r.number for r in state.rounds] != list(range(1, len(state.rounds) + 1)):
            raise ValueError("its rounds do not follow each other")
        return state

    def append(self, rounds: Sequence[PlayedRound], memories: Mapping[str, Any]) -> None:
        """Add rounds, and what is known after them. Raises ConfigError where that cannot be."""
        values = [*({"round": r.to_json()} for r in rounds), {"memories": memories}]
        try:
            if not self._whole_bytes:
                replace_lines(self._path, [{"version": _VERSION, "key": self._key}, *values])
                self._whole_bytes = self._path.stat().st_size
                return
            with self._path.open("r+b") as file:
                file.truncate(self._whole_bytes)
                file.seek(self._whole_bytes)
                file.write(to_lines(values))
                file.flush()
                os.fsync(file.fileno())
                self._whole_bytes = file.tell()
        except OSError as error:
            raise ConfigError(f"cannot write {self._path}: {error.strerror}; name another file") from error
