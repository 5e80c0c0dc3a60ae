"""How far an indexer is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from tideline.indexer import Delayed, Fact, Indexed, Rewound, Unseen

PROGRESS_S = 10.0


class Progress(Protocol):
    """Takes an indexer's facts while it is open."""

    def take(self, fact: Fact) -> None:
        """Take one fact."""

    def end(self, word: str) -> None:
        """Say how far it came."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """Plain lines: trouble at once, progress at the first batch, then every ten seconds."""

    def __init__(self, name: str, out: TextIO, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._out = out
        self._monotonic = monotonic
        self._told_s: float | None = None
        self._last = ""
        self._events = 0

    def take(self, fact: Fact) -> None:
        """Take one fact."""
        if not isinstance(fact, Indexed):
            self._tell(trouble(fact))
            return
        self._events += fact.events
        self._last = f"block {fact.blocks.last}, {self._events} events, {fact.left} blocks left"
        if self._told_s is None or self._monotonic() - self._told_s >= PROGRESS_S:
            self._told_s = self._monotonic()
            self._tell(self._last)

    def end(self, word: str) -> None:
        """Say how far it came."""
        self._tell(f"{word}: {self._last or 'everything was there already'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def _tell(self, text: str) -> None:
        self._out.write(f"{self._name}  {text}\n")
        self._out.flush()


class Bar:
    """A bar over the blocks still to come; who follows sees the count alone."""

    def __init__(self, name: str, out: TextIO) -> None:
        columns = (
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks  {task.fields[events]} events"),
            TimeRemainingColumn(),
        )
        self._progress = RichProgress(*columns, console=Console(file=out))
        self._task = self._progress.add_task("index", total=None, events=0)
        self._done = 0
        self._events = 0

    def take(self, fact: Fact) -> None:
        """Take one fact."""
        if not isinstance(fact, Indexed):
            self._progress.console.print(trouble(fact), markup=False, highlight=False)
            return
        self._done += fact.blocks.last - fact.blocks.first + 1
        self._events += fact.events
        self._progress.update(self._task, completed=self._done, total=self._done + fact.left, events=self._events)

    def end(self, word: str) -> None:
        """Say how it ended."""
        self._progress.console.print(f"{word}: {self._done} blocks, {self._events} events", highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def make_progress(symbol0: str, symbol1: str, out: TextIO) -> Progress:
    """Return what suits where progress is written to."""
    name = f"{symbol0}/{symbol1}"
    return Bar(name, out) if out.isatty() else Lines(name, out)


def trouble(fact: Rewound | Unseen | Delayed) -> str:
    """Return what an operator should know beside the progress."""
    match fact:
        case Rewound(ancestor, blocks):
            return f"the chain took blocks back: {blocks} above block {ancestor} are removed and read anew"
        case Unseen(block, why):
            return f"no RPC shows the pool at block {block}, the integrity check starts later: {why}"
        case Delayed(why):
            return f"trying again: {why}"
