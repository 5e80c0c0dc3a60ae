"""The finished rounds of a back-test in a file, from which it goes on after any end of its process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.backtest import PlayedRound
from miner.whole_file import replace_json
from protocol.errors import ConfigError

_VERSION = 1


@dataclass(frozen=True, slots=True)
class BacktestState:
    """Rounds 1 to n, and what the strategies had learnt by their end."""

    rounds: tuple[PlayedRound, ...] = ()
    memories: Mapping[str, Any] | None = None


def load(path: Path, key: Mapping[str, Any]) -> BacktestState:
    """Return what is in a file; nothing where there is none. Raises ConfigError where it is that of another back-test:
    `key` is all that decides how rounds go.
    """
    try:
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict) or value.get("version") != _VERSION:
            raise ValueError("it is no file of finished rounds")
        changed = sorted(name for name in key if value["key"].get(name) != key[name])
        if changed:
            raise ConfigError(f"{path} holds the rounds of another back-test (other {', '.join(changed)}); remove it")
        rounds = tuple(PlayedRound.from_json(entry) for entry in value["rounds"])
        if [r.number for r in rounds] != list(range(1, len(rounds) + 1)):
            raise ValueError("its rounds do not follow each other")
        return BacktestState(rounds, dict(value["memories"]))
    except FileNotFoundError:
        return BacktestState()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be gone on from: {error}; remove it, or name another file") from error


def save(path: Path, key: Mapping[str, Any], rounds: Sequence[PlayedRound], memories: Mapping[str, Any]) -> None:
    """Replace the file as a whole. Raises ConfigError where that cannot be."""
    value = {"version": _VERSION, "key": key, "rounds": [r.to_json() for r in rounds], "memories": memories}
    try:
        replace_json(path, value)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another file") from error
