"""The optimizer as a process of its own: one task from standard input, one result to standard output, both JSON.

It can be killed at any moment: it holds nothing and writes nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from miner.strategies.btr_plus import BtrPlus
from miner.strategies.plus.optimizer import AXES, Found, SearchParams, optimize
from miner.strategies.plus.walk_forward import BARS_PER_DAY, FoldParams, bootstrap, make_path
from miner.strategies.three_force.candles import M15_MS, Candle

NICENESS = 10  # answers come first


def gapless(bars: Sequence[Candle]) -> list[Candle]:
    """Return bars with flat ones where some are missing.

    Parameters: bars  M15, ascending
    Returns:    one bar each quarter of an hour
    Rounding:   none
    Raises:     nothing
    Source:     ours
    """
    whole: list[Candle] = []
    for bar in bars:
        while whole and whole[-1][0] + M15_MS < bar[0]:
            start, *_, close, _volume = whole[-1]
            whole.append((start + M15_MS, close, close, close, close, 0.0))
        whole.append(bar)
    return whole


def search(task: Mapping[str, Any]) -> Found:
    """Return what the optimizer finds for a task.

    Parameters: task  bars, fee_rate, cost, tick_spacing, is_stable, rule, seed, budget, folds, as `tuner` writes them
    Returns:    the same for the same task; days are drawn from the bars until they fill the folds
    Rounding:   floats
    Raises:     ValueError for less than a day of bars
    Source:     strategy reference B2.6
    """
    folds = FoldParams(**task["folds"])
    bars = gapless([tuple(bar) for bar in task["bars"]])
    if len(bars) < folds.days * BARS_PER_DAY:
        bars = bootstrap(bars, folds.days, task["seed"])
    market = {name: task[name] for name in ("fee_rate", "cost", "tick_spacing", "is_stable")}
    path = make_path(bars, **market)
    return optimize(
        path, BtrPlus(**task["rule"]), seed=task["seed"], params=SearchParams(budget=task["budget"], folds=folds)
    )


def main() -> None:
    """Do one task."""
    os.nice(NICENESS)
    found = search(json.load(sys.stdin))
    settings = {name: value for name, value in asdict(found.rule).items() if name in AXES}
    json.dump({**asdict(found), "rule": settings}, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
