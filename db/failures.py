"""What databases fail with, in one line, and files that cannot be databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no py.typed

from protocol.errors import ConfigError

# What the two databases raise. An overflow is sqlite3's word for an integer above 64 bits.
DRIVER_FAILURES = (
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    OverflowError,
)


def one_line(error: BaseException) -> str:
    """Return what a database complained of, in one line and in words for an operator."""
    text = " ".join(str(error).split()) or type(error).__name__
    if "database is locked" in text:
        return "it is locked by another process; stop that one or try again"
    if "file is not a database" in text:
        return "the file is not an SQLite database"
    return text


def check_file(path: Path, *, create: bool, how: str) -> None:
    """Raise ConfigError where no database can be. With `create`, make its folder; `how` is the command that does."""
    if path.is_dir():
        raise ConfigError(f"the database {path} is a directory")
    if path.exists() or str(path) == ":memory:":
        return
    if not create:
        raise ConfigError(f"there is no database {path}; create it with: {how}")
    # One level only: a whole missing path is more likely a mistyped one.
    if not path.parent.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the database does not exist (sqlite:////x is absolute)")
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path.parent}: {error.strerror}") from error
