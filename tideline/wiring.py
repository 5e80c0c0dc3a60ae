"""What the commands share: options, the code's version, signals, and what is read from the environment."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import uuid
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from db.url import DATABASE_ENV, DEFAULT_DATABASE_URL, parse_database_url
from protocol.errors import ConfigError
from simulator.engine import Engine, check_engine, default_engine

F = TypeVar("F", bound=Callable[..., Any])

MAX_HOLDERS = 64  # processes of one kind on one SQLite database


def code_version() -> str:
    """Return the installed version, which evidence names."""
    return metadata.version("tideline")


def database_option(command: F) -> F:
    """Add `--db`."""
    return click.option(
        "--db",
        "database_url",
        envvar=DATABASE_ENV,
        default=DEFAULT_DATABASE_URL,
        show_default=True,
        show_envvar=True,
        help="Jobs database: sqlite:///FILE or postgres://USER:PASSWORD@HOST:PORT/NAME.",
    )(command)


def engine_option(command: F) -> F:
    """Add `--engine`."""

    def check(_context: click.Context, _parameter: click.Parameter, engine: Engine) -> Engine:
        return check_engine(engine)

    return click.option(
        "--engine",
        type=click.Choice(["native", "python"]),
        default=default_engine,
        show_default="native, where it was compiled",
        callback=check,
        help="What computes the pools: C, or plain Python. Scores are the same to the last digit.",
    )(command)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at the first SIGINT or SIGTERM; a second SIGINT kills as usual."""
    loop = asyncio.get_running_loop()

    def ask_to_stop(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop, number)


async def until_stopped(work: asyncio.Future[None]) -> bool:
    """Let it run until it ends (True), or a signal asks to stop and it is cancelled."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    stopping = asyncio.ensure_future(stop.wait())
    both: set[asyncio.Future[Any]] = {work, stopping}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if work.done():
        work.result()
        return True
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return False


def wallet_password(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the password of an encrypted hotkey; never an argument, which every user of the machine could read."""
    file = environment.get("BT_WALLET_PASSWORD_FILE")
    if not file:
        return environment.get("BT_WALLET_PASSWORD") or None
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"BT_WALLET_PASSWORD_FILE cannot be read: {error}") from error


class LeaseName:
    """The name under which this process leases jobs, or a key. Close it when nothing is leased any more.

    On SQLite the name goes with a lock on a file beside the database. Only the death of its owner frees such a lock, so
    whoever inherits the name may go on at once with what was leased under it. On PostgreSQL every process has a name of
    its own, and the leases of a dead one expire.
    """

    def __init__(self, database_url: str, kind: str = "validator") -> None:
        self._kind = kind
        url = parse_database_url(database_url)
        self._lock: IO[str] | None = None
        self.text = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        if url.dialect == "sqlite" and url.path != ":memory:":
            self._inherit(Path(url.path).resolve())

    def __enter__(self) -> str:
        return self.text

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the name up. Idempotent."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _inherit(self, database: Path) -> None:
        for number in range(MAX_HOLDERS):
            path = database.with_name(f"{database.name}-{self._kind}-{number}.lock")
            try:
                lock = path.open("a", encoding="utf-8")
            except OSError as error:
                raise ConfigError(f"cannot write {path}: {error.strerror}; make its folder writable") from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._lock, self.text = lock, f"{self._kind}-{number}"
            return
        raise ConfigError(f"{MAX_HOLDERS} {self._kind}s use the database {database} already; stop one")
