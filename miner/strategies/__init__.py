"""Strategies: one small class each, one pure method. A new one is a file here and a line in `available`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from miner.strategies.band import Band
from miner.strategies.hold import Hold
from miner.strategies.wide import Wide
from miner.strategy import Strategy
from protocol.errors import ConfigError


def available() -> dict[str, type[Strategy]]:
    """Return the strategies that come with Tideline, by name."""
    return {"band": Band, "hold": Hold, "wide": Wide}


def build(name: str, settings: Mapping[str, str]) -> Strategy:
    """Return a strategy by name, or by `module:Class` for one of your own, with its settings parsed as integers."""
    kind = _load(name) if ":" in name else available().get(name)
    if kind is None:
        raise ConfigError(
            f"no strategy is named {name!r}; choose one of {', '.join(sorted(available()))} or module:Class"
        )
    known = list(getattr(kind, "__dataclass_fields__", ()))
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"strategy {name} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return kind(**{key: _integer(key, text) for key, text in settings.items()})


def _load(path: str) -> type[Strategy]:
    module_name, _, class_name = path.partition(":")
    try:
        kind: type[Strategy] = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"cannot load strategy {path!r}: {error}") from error
    return kind


def _integer(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"setting {key}={text!r} is not an integer") from error
