"""Opening an SQLite file: whether it may become, or is, our database, and a turn among those that open it at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from db.schema import RECORDS
from protocol.errors import ConfigError

_MEMORY = ":memory:"
_BUSY_PAUSE_S = 0.01


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
        if _is_busy(error):
            return  # somebody is writing: the store waits for its turn
        is_other = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB
        why = "the file is not an SQLite database" if is_other else error
        raise ConfigError(f"cannot open the database {path}: {why}") from error
    tables = sorted(name for (name,) in rows)
    if tables and kind.marker not in tables:
        raise ConfigError(f"the database {path} is not {kind.name} (it has a table {tables[0]}); choose another")


async def switch_to_wal(switch: Callable[[], Awaitable[object]], *, within_s: float) -> None:
    """Await what switches a file to WAL, again while another holds it. Raises what the last attempt raised.

    SQLite's own timeout is not enough: where two switch the same new file, one is told at once that it is locked.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within_s
    while True:
        try:
            await switch()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or loop.time() >= give_up:
                raise
            await asyncio.sleep(_BUSY_PAUSE_S)
        else:
            return


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


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
