"""How much of a back-test is done: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress(total: int, *, is_terminal: bool) -> Iterator[Callable[[int, str], None]]:
    """Yield what is to be told how many are done, and in which words: these are for lines alone."""
    if not is_terminal:
        yield lambda _done, line: click.echo(line, err=True)
        return
    from rich.console import Console  # most runs of most commands never draw
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, _line: bar.update(task, completed=done)
