"""Whether a file may become, or is, our SQLite database: looked at before anything of it is changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from db.schema import RECORDS
from protocol.errors import ConfigError

_MEMORY = ":memory:"


@dataclass(frozen=True, slots=True)
class Kind:
    """A database of ours: the table that each of its kind has, what to call it, and the command that makes one."""

    marker: str
    name: str
    made_by: str


JOBS = Kind(RECORDS, "Tideline's", "tideline jobs migrate")


def check(path: Path, *, create: bool, kind: Kind = JOBS) -> None:
    """Raise ConfigError unless the file is ours or, with `create`, can be made. Blocks for as long as a disk does.

    Opening a database in WAL mode writes to it; somebody else's must not have been touched when it is refused.
    """
    if str(path) == _MEMORY:
        return
    if path.is_dir():
        raise ConfigError(f"the database {path} is a directory")
    if not path.exists():
        _check_folder(path, create=create, kind=kind)
    mode = "rwc" if create else "rw"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=0)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return  # somebody is writing: the store waits for its turn
        is_other = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB
        why = "the file is not an SQLite database" if is_other else error
        raise ConfigError(f"cannot open the database {path}: {why}") from error
    tables = sorted(name for (name,) in rows)
    if tables and kind.marker not in tables:
        raise ConfigError(f"the database {path} is not {kind.name} (it has a table {tables[0]}); choose another")


def _check_folder(path: Path, *, create: bool, kind: Kind) -> None:
    if not create:
        raise ConfigError(f"there is no database {path}; create it with: {kind.made_by}")
    # One level only: a whole missing path is more likely a mistyped one.
    if not path.parent.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the database does not exist (sqlite:////x is absolute)")
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path.parent}: {error.strerror}") from error
