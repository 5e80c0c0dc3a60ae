"""What databases fail with, in one line."""

from __future__ import annotations

import sqlite3

import asyncpg  # type: ignore[import-untyped]  # it ships no py.typed

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
