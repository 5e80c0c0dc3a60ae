"""What forks live through between two decisions, on either engine: one step after the other, or all in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

from simulator.engine import AnyPool, Engine
from simulator.fork import Fork
from simulator.marks import MarkSums
from simulator.pool import PoolRevert
from simulator.recovery import Happening, apply_happening
from simulator.valuation import Prices


class Mark(Enum):
    """A step of its own kind."""

    MARK = auto()  # every fork is read


MARK = Mark.MARK
Step: TypeAlias = tuple[int, Happening | Mark | None]  # (timestamp, what happens); None: only time passes
Changes: TypeAlias = Mapping[int, Prices]  # by a mark's step: what prices change by until the stretch's next mark


def take_step(pool: AnyPool, step: Step) -> None:
    """Let a step happen on a pool. Raises PoolRevert where it is impossible."""
    pool.timestamp, what = step
    if what is not None and not isinstance(what, Mark):
        apply_happening(pool, what)


@dataclass(slots=True)
class Lived:
    """What a stretch came to on one fork.

    `stopped_at` is the step that was impossible here, None if none was; the fork is as it was before that step.
    `marks` are those reached.
    """

    in_range_s: int
    marks: MarkSums
    stopped_at: int | None


class Steps(Protocol):
    """Steps in order, of which stretches are run."""

    def run(self, forks: Sequence[Fork], starts: Sequence[int], end: int, changes: Changes) -> list[Lived]:
        """Let the steps from each fork's start up to `end` happen on it. The forks are distinct, and change."""


def steps_on(engine: Engine, steps: Sequence[Step], *, threads: int = 1) -> Steps:
    """Return steps ready to be run on forks of an engine; threads serve the native one only."""
    if engine == "python":
        return PythonSteps(steps)
    from simulator.native.stretch import NativeSteps  # only where there is an extension to import

    return NativeSteps(steps, threads=threads)


class PythonSteps:
    """Steps for any fork, taken one by one through the pool's own verbs."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def run(self, forks: Sequence[Fork], starts: Sequence[int], end: int, changes: Changes) -> list[Lived]:
        return [self._run(fork, start, end, changes) for fork, start in zip(forks, starts, strict=True)]

    def _run(self, fork: Fork, start: int, end: int, changes: Changes) -> Lived:
        lived = Lived(0, MarkSums(), None)
        for index in range(start, end):
            timestamp, what = self._steps[index]
            if timestamp > fork.pool.timestamp and fork.active_liquidity():
                lived.in_range_s += timestamp - fork.pool.timestamp
            try:
                take_step(fork.pool, self._steps[index])
            except PoolRevert:
                lived.stopped_at = index
                break
            if isinstance(what, Mark):
                lived.marks.add(fork.read(), changes[index])
        return lived
