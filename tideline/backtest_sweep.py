"""Which settings are better, and whether that is more than luck: grids of settings, and choosing on one stretch what
is believed on a later one.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from miner.strategies.plus.optimizer import paired_gain
from miner.strategies.plus.walk_forward import FoldParams, make_folds
from protocol.errors import ConfigError
from tideline.backtest_play import Entry
from tideline.backtest_units import Row, Rows
from validator.leaderboard import Excess, describe

_FEWEST_BLOCKS = 12
_MOST_CANDIDATES = 1000


def grid(sweeps: Sequence[str], base: Entry) -> tuple[Entry, ...]:
    """Return every combination of settings, strategy by strategy.

    A sweep is `strategy.setting=1,2,3`, `setting=1,2,3` of the base strategy, or a TOML file with a table for each
    strategy. What is not swept of the base strategy stays as it is there. Raises ConfigError.
    """
    axes: dict[str, dict[str, list[str]]] = {}
    for text in sweeps:
        for strategy, setting, values in _axes(text, base.strategy):
            axes.setdefault(strategy, {})[setting] = values
    entries = []
    for strategy, settings in axes.items():
        fixed = dict(base.settings) if strategy == base.strategy else {}
        if math.prod(map(len, settings.values())) > _MOST_CANDIDATES:
            raise ConfigError(f"the sweep of {strategy} has more than {_MOST_CANDIDATES} combinations; thin it out")
        for chosen in itertools.product(*settings.values()):
            entries.append(Entry.of(strategy, {**fixed, **dict(zip(settings, chosen, strict=True))}))
    return tuple(dict.fromkeys(entries))


def _axes(text: str, default: str) -> list[tuple[str, str, list[str]]]:
    if text.endswith(".toml"):
        return _file_axes(Path(text))
    name, separator, values = text.partition("=")
    strategy, dot, setting = name.rpartition(".")
    found = [value.strip() for value in values.split(",") if value.strip()]
    if not separator or not setting or not found or (dot and not strategy):
        raise ConfigError(f"--sweep {text!r:.80} is not STRATEGY.SETTING=VALUE,VALUE,… nor a .toml file")
    return [(strategy or default, setting, found)]


def _file_axes(path: Path) -> list[tuple[str, str, list[str]]]:
    try:
        tables: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    axes = []
    for strategy, settings in tables.items():
        if not isinstance(settings, dict):
            raise ConfigError(f"{path}: {strategy} is no table of settings")
        for setting, values in settings.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(f"{path}: {strategy}.{setting} is no list of values")
            axes.append((strategy, setting, [str(value) for value in values]))
    return axes


@dataclass(frozen=True, slots=True)
class Standing:
    """One candidate over all markets. `excess` counts blocks of rounds, since neighbouring rounds go together."""

    label: str
    excess: Excess
    rounds: int
    fees_bp: float
    lvr_bp: float
    costs_bp: float
    rebalances: int
    in_range: float


def standing(label: str, markets: Sequence[Rows], per_day: int) -> Standing:
    """Return what a candidate came to; means a round, in bp."""
    rows = [row for market in markets for row in market]
    scored = [row for row in rows if row.score_bp is not None]
    blocks = [mean for market in markets for mean in block_means(market, _block(len(rows), per_day))]
    duration = sum(row.duration_s for row in scored)
    count = max(len(scored), 1)
    return Standing(
        label,
        describe(np.array(blocks) * 1e14),
        len(scored),
        math.fsum(row.fees_bp for row in scored) / count,
        math.fsum(row.lvr_bp for row in scored) / count,
        math.fsum(row.costs_bp for row in scored) / count,
        sum(row.rebalances for row in scored),
        sum(row.in_range_s for row in scored) / duration if duration else 0.0,
    )


def _block(rounds: int, per_day: int) -> int:
    """Return how many rounds are taken together: a day of them, less where that would leave too few blocks."""
    return max(1, min(per_day, rounds // _FEWEST_BLOCKS))


def block_means(rows: Sequence[Row], block: int) -> list[float]:
    """Return the mean score of each whole block of rounds; a rest that fills no block is left out."""
    scores = [row.score_bp or 0.0 for row in rows]
    return [math.fsum(scores[at : at + block]) / block for at in range(0, len(scores) - block + 1, block)]


@dataclass(frozen=True, slots=True)
class Choice:
    """What one fold of one market chose, and what that came to on its train and its test days, bp a round."""

    market: int
    fold: int
    label: str
    train_bp: float
    test_bp: float
    incumbent_bp: float


@dataclass(frozen=True, slots=True)
class WalkForward:
    """All choices, and by how much they beat the incumbent on days that they had not seen, bp a round."""

    choices: tuple[Choice, ...]
    gain_bp: float
    gain_se_bp: float
    tried: int

    @property
    def luck_bp(self) -> float:
        """What the best of so many equal ones would seem ahead by."""
        return math.sqrt(2 * math.log(self.tried)) * self.gain_se_bp if self.tried > 1 else self.gain_se_bp

    @property
    def is_believed(self) -> bool:
        """Whether the gain is more than luck."""
        return self.gain_bp > 0 and self.gain_bp > self.luck_bp


def walk_forward(
    labels: Sequence[str], results: Sequence[Sequence[Rows]], per_day: int, folds: FoldParams, seed: int
) -> WalkForward:
    """Return what choosing the settings as one went along would have come to.

    `results` are by candidate, then by market; the first candidate is the incumbent. A fold chooses the highest mean
    less its standard error over train days; between them and the test lies a gap as long as what signals look back.
    A candidate plays each market once, in one go: what it learnt before a test it would know then, too. Raises
    ConfigError where a market is shorter than the folds.
    """
    choices, ours, theirs = [], [], []
    for market in range(len(results[0])):
        days = [np.array(block_means(by_market[market], per_day)) for by_market in results]
        for number, fold in enumerate(_folds(len(days[0]), folds), start=1):
            marks = [_judged(of_candidate[fold[0]]) for of_candidate in days]
            best = int(np.argmax(marks))
            chosen, incumbent = days[best][fold[1]], days[0][fold[1]]
            ours += list(chosen)
            theirs += list(incumbent)
            means = (float(days[best][fold[0]].mean()), float(chosen.mean()), float(incumbent.mean()))
            choices.append(Choice(market + 1, number, labels[best], *means))
    gain, error = paired_gain(ours, theirs, seed)
    return WalkForward(tuple(choices), gain, error, len(labels))


def _judged(days: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(days.mean() - days.std() / math.sqrt(len(days)))


def _folds(days: int, params: FoldParams) -> list[tuple[slice, slice]]:
    try:
        return [(fold.train, fold.test) for fold in make_folds(days, params, per_day=1)]
    except ValueError as error:
        raise ConfigError(str(error)) from error
