"""Files that are replaced as a whole: a process killed at any moment leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def replace_json(path: Path, value: Any) -> None:
    """Write a value as JSON, durably, making the folder where there is none. Raises OSError."""
    _replace(path, _compact(value).encode())


def replace_lines(path: Path, values: Iterable[Any]) -> None:
    """Write values as JSON, one a line, as `replace_json` writes one."""
    _replace(path, to_lines(values))


def to_lines(values: Iterable[Any]) -> bytes:
    """Return values as JSON, one a line."""
    return b"".join(_compact(value).encode() + b"\n" for value in values)


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
