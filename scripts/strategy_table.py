"""Measure every strategy on every market and write the table of docs/strategies.md."""

from __future__ import annotations

from pathlib import Path

import click

from miner.strategies import NAMES
from simulator.engine import default_engine
from tideline.backtest_units import Workers
from tideline.strategy_table import Scale, measure, put_between, table_text


@click.command()
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The page. Default: print.")
@click.option("--strategies", default=",".join(NAMES), show_default=True, help="Which, by name.")
@click.option("--draws", type=click.IntRange(min=2), default=Scale().draws, show_default=True, help="Of each weather.")
@click.option("--days", type=float, default=Scale().days, show_default=True, help="Of each drawn market.")
@click.option("--rounds", type=click.IntRange(min=1), help="Of each market. Default: all.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes. Default: all cores.")
@click.option("--resume", type=click.Path(file_okay=False, path_type=Path), help="Keep what is done in this folder.")
def main(
    write: Path | None,
    strategies: str,
    draws: int,
    days: float,
    rounds: int | None,
    workers: int | None,
    resume: Path | None,
) -> None:
    """Play every strategy with its defaults on the recorded markets and on made-up ones, by seeds 0, 1, 2 ..."""
    scale = Scale(draws, days, rounds)
    names = tuple(name.strip() for name in strategies.split(","))

    def tell(done: int, total: int) -> None:
        click.echo(f"{done} of {total} back-tests", err=True)

    cells = measure(names, scale, Workers(count=workers), resume, tell, engine=default_engine())
    table = table_text(cells, scale)
    if write is None:
        click.echo(table)
    else:
        write.write_text(put_between(write.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
