"""The options of `tideline backtest`, in groups, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from miner.strategies import DEFAULT
from miner.strategies.plus.walk_forward import FoldParams
from tideline.backtest_data import RECORDED

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDS = FoldParams()
_DATA = (
    "recorded: the job's record; a neutral file; a pool events database (sqlite:///… or postgresql://…); or a market "
    "made up on the job's record: quiet, trending, crash."
)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return options as one decorator; they are listed in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


who_plays = together(
    click.option(
        "--strategy", default=DEFAULT, show_default=True, help="A name, or your own: file.py or module:Class."
    ),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of it; repeatable."),
    click.option("--against", default="hold,wide,band", show_default=True, help="Others to play beside it, by name."),
)

what_is_played = together(
    click.option("--job", "job_name", default="usdc-weth", show_default=True, help="A demo job, or its JSON file."),
    click.option("--data", default=RECORDED, show_default=True, help=_DATA),
    click.option("--from-block", type=click.IntRange(min=0), help="Where in a database to begin. Default: a snapshot."),
    click.option("--names", type=FILE, help="What an external database calls things (docs/indexer.md)."),
    click.option("--snapshots", metavar="DATABASE", help="Our index that has a snapshot for an external database."),
    click.option("--days", type=float, help="Draw a future of so many days from windows of the data, and play that."),
    click.option("--window-hours", type=float, default=6.0, show_default=True, help="How long a window is."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what is drawn."),
    click.option("--rounds", type=click.IntRange(min=1), help="Rounds to play. Default: all that the data holds."),
)

which_is_better = together(
    click.option(
        "--sweep",
        "sweeps",
        multiple=True,
        metavar="SETTING=A,B,…",
        help="Try all of these; band.half_width=10,20 for another strategy; or a TOML file. Repeatable: a grid.",
    ),
    click.option("--draws", type=click.IntRange(1, 1000), default=1, show_default=True, help="Markets, one a seed."),
    click.option("--walk-forward", "is_walk", is_flag=True, help="Choose on train days, believe on later test days."),
    click.option("--folds", type=click.IntRange(1, 100), default=_FOLDS.count, show_default=True),
    click.option("--train-days", type=click.IntRange(2, 365), default=_FOLDS.train_days, show_default=True),
    click.option("--gap-days", type=click.IntRange(0, 365), default=_FOLDS.gap_days, show_default=True),
    click.option("--test-days", type=click.IntRange(1, 365), default=_FOLDS.test_days, show_default=True),
)

who_works = together(
    click.option("--workers", type=click.IntRange(1, 4096), help="Processes for sweeps and draws. Default: all cores."),
    click.option("--backend", type=click.Choice(("loky", "dask", "ray")), default="loky", show_default=True),
    click.option("--scheduler", metavar="ADDRESS", help="Of Dask or Ray."),
)
