"""What the commands share: options, the code's version, signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from importlib import metadata
from typing import Any, TypeVar

import click

from db.url import DATABASE_ENV, DEFAULT_DATABASE_URL

F = TypeVar("F", bound=Callable[..., Any])


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


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at the first SIGINT or SIGTERM; a second SIGINT kills as usual."""
    loop = asyncio.get_running_loop()

    def ask_to_stop(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop, number)
