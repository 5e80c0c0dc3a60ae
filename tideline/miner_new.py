"""A strategy to begin with: a file that works, and a test of it that passes."""

from __future__ import annotations

import keyword
from importlib import resources
from pathlib import Path

from protocol.errors import ConfigError

_PATTERN, _CLASS = "my_strategy", "MyStrategy"
_LONGEST = 64
_FILES = {"strategy.txt": "{}.py", "test_strategy.txt": "test_{}.py"}


def write(name: str, folder: Path) -> tuple[Path, ...]:
    """Write both files and return their paths. Raises ConfigError, before anything is written, where that cannot be."""
    is_word = name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= _LONGEST
    if not is_word or keyword.iskeyword(name):
        raise ConfigError(f"{name!r:.80} is no name for a strategy; use small letters, digits and _, like my_strategy")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    if not class_name.isidentifier():
        raise ConfigError(f"{name!r} leaves no name for a class; begin with a letter")
    templates = resources.files("miner") / "kit"
    texts = {
        folder / pattern.format(name): (templates / file)
        .read_text(encoding="utf-8")
        .replace(_PATTERN, name)
        .replace(_CLASS, class_name)
        for file, pattern in _FILES.items()
    }
    there = next((path for path in texts if path.exists()), None)
    if there is not None:
        raise ConfigError(f"{there} is there already; choose another name or --dir")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}; choose another --dir") from error
    return tuple(texts)
