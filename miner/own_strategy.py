"""Strategies of one's own: a class in a file, or in a module that Python finds."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from protocol.errors import ConfigError

_VERBS = ("decide", "wish", "wish_of")
# What the code of a strategy file can raise while it is run, short of ending the process.
_FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError),
)


def is_own(name: str) -> bool:
    """Whether a strategy's name is `file.py`, `file.py:Class` or `module:Class`."""
    return ":" in name or name.endswith(".py")


def load(name: str) -> type[Any]:
    """Return the class that a name says. Raises ConfigError for what cannot be loaded."""
    file, class_name = _parts(name)
    if file is None:
        return _of_module(name)
    module = _run(file, name)
    if class_name:
        return _class(module, class_name, name)
    own = [c for c in vars(module).values() if _is_strategy(c, module)]
    if len(own) != 1:
        found = f"holds {', '.join(c.__name__ for c in own)}; say which: {file}:{own[0].__name__}" if own else ""
        raise ConfigError(f"{file} {found or 'holds no class with decide(query) or wish(view)'}")
    kind: type[Any] = own[0]
    return kind


def source(name: str) -> Path | None:
    """Return the file that a strategy of one's own is in; None for one that comes with Tideline, or cannot be found."""
    if not is_own(name):
        return None
    file, _ = _parts(name)
    if file is not None:
        return file
    spec = importlib.util.find_spec(name.partition(":")[0])
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _parts(name: str) -> tuple[Path | None, str]:
    """Return (file, class) of a name that begins with a file, (None, "") of others."""
    if name.endswith(".py"):
        return Path(name), ""
    file, colon, class_name = name.rpartition(":")
    return (Path(file), class_name) if colon and file.endswith(".py") else (None, "")


def _of_module(name: str) -> type[Any]:
    module_name, _, class_name = name.partition(":")
    try:
        kind: type[Any] = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ConfigError(f"cannot load strategy {name!r}: {error}") from error
    return kind


def _run(file: Path, name: str) -> ModuleType:
    """Run a file under a name that no other module has, so that `json.py` may be somebody's strategy."""
    if not file.is_file():
        raise ConfigError(f"there is no file {file}; write one with: tideline miner new {file.stem}")
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"own_strategy_{digest}_{file.stem}", file)
    assert spec is not None and spec.loader is not None  # a name that ends with .py always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except _FAULTS as error:
        del sys.modules[spec.name]
        raise ConfigError(f"cannot load strategy {name!r}: {_where(error, file)}{_what(error)}") from error
    return module


def _where(error: BaseException, file: Path) -> str:
    """Return the line of the file in which it went wrong, if it did so there."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f"line {lines[-1]}: " if lines else ""


def _what(error: BaseException) -> str:
    return f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"


def _class(module: ModuleType, class_name: str, name: str) -> type[Any]:
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        raise ConfigError(f"cannot load strategy {name!r}: it has no class {class_name}")
    return kind


def _is_strategy(value: object, module: ModuleType) -> bool:
    """Whether it is a public class of this very file that can decide; imported ones are somebody else's."""
    if not isinstance(value, type) or value.__module__ != module.__name__ or value.__name__.startswith("_"):
        return False
    return any(hasattr(value, verb) for verb in _VERBS)
