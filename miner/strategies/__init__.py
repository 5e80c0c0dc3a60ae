"""Strategies: one small class each, one pure method. A new one is a file here and a line below."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from miner import own_strategy
from protocol.errors import ConfigError

if TYPE_CHECKING:
    from miner.remembering import Told, Tuning
    from miner.strategy import Strategy

DEFAULT = "btr_plus"
NAMES = {
    "avellaneda_stoikov": "miner.strategies.avellaneda_stoikov:AvellanedaStoikov",
    "band": "miner.strategies.band:Band",
    "btr_compat": "miner.strategies.btr_compat:BtrCompat",
    "btr_plus": "miner.strategies.btr_plus:BtrPlus",
    "charm": "miner.strategies.charm:Charm",
    "ensemble": "miner.strategies.ensemble:Ensemble",
    "glft": "miner.strategies.glft:Glft",
    "hold": "miner.strategies.hold:Hold",
    "kappa": "miner.strategies.kappa:Kappa",
    "predictable_loss": "miner.strategies.predictable_loss:PredictableLoss",
    "static": "miner.strategies.static:Static",
    "tau_reset": "miner.strategies.tau_reset:TauReset",
    "wide": "miner.strategies.wide:Wide",
}


def available() -> dict[str, type]:
    """Return the classes that come with Tideline, by name: strategies, and rules that need remembering."""
    return {name: own_strategy.load(path) for name, path in NAMES.items()}


def build(
    name: str,
    settings: Mapping[str, str],
    *,
    memory: Path | None = None,
    told: Told | None = None,
    tuning: Tuning | None = None,
) -> Strategy:
    """Return a strategy by name, or one of your own by `file.py`, `file.py:Class` or `module:Class`, with its settings.

    What a rule remembers is kept in the file `memory`, if one is given; `told` and `tuning` help it. Raises ConfigError
    for what cannot be built.
    """
    path = name if own_strategy.is_own(name) else NAMES.get(name)
    if path is None:
        raise ConfigError(f"no strategy is named {name!r}; choose one of {', '.join(NAMES)}, file.py or module:Class")
    kind = own_strategy.load(path)
    kinds = {field.name: str(field.type) for field in dataclasses.fields(kind)} if _is_dataclass(kind) else {}
    unknown = sorted(set(settings) - set(kinds))
    if unknown:
        raise ConfigError(f"strategy {name} has no setting {unknown[0]!r}; it has {', '.join(kinds) or 'none'}")
    made = kind(**{key: _value(key, text, kinds[key]) for key, text in settings.items()})
    if hasattr(made, "decide"):
        if told is not None or tuning is not None:
            raise ConfigError(f"strategy {name} decides by the query alone; feeds and --tune are for rules")
        strategy: Strategy = made
        return strategy
    if not (hasattr(made, "wish") or hasattr(made, "wish_of")):
        raise ConfigError(f"strategy {name} has neither decide(query) nor wish(view); see docs/miner-strategy.md")
    from miner.remembering import Remembering  # here, or views and strategies would import each other

    return Remembering(made, memory, told=told, tuning=tuning)


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


def _value(key: str, text: str, kind: str) -> float | str:
    if kind in ("str", "<class 'str'>"):
        return text
    is_float = kind in ("float", "<class 'float'>")
    try:
        number = float(text) if is_float else int(text)
    except ValueError as error:
        raise ConfigError(f"setting {key}={text!r} is not {'a number' if is_float else 'an integer'}") from error
    if not math.isfinite(number):
        raise ConfigError(f"setting {key}={text!r} is not a finite number")
    return number
