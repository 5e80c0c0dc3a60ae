"""Stretches in batches; what a batch cannot hold, flashes and changes of the protocol's share, comes between two."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import cast

from simulator.events import FeeProtocolEvent, FlashEvent, StakeEvent, StakingEvent
from simulator.fork import VAULT, Fork
from simulator.marks import MarkSums
from simulator.native.batch import EventBatch, Weights, run_events
from simulator.native.pool import NativePool
from simulator.pool import PoolRevert
from simulator.recovery import apply_other
from simulator.stretch import Changes, Lived, PythonSteps, Step

_APART = (FlashEvent, FeeProtocolEvent, StakeEvent, StakingEvent)  # the last two revert here: they are Slipstream's


class NativeSteps:
    """Steps for native forks, packed once."""

    def __init__(self, steps: Sequence[Step], *, threads: int = 1) -> None:
        self._steps = steps
        self._apart = {i: what for i, (_, what) in enumerate(steps) if isinstance(what, _APART)}
        self.packed = EventBatch.of((time, None if isinstance(what, _APART) else what) for time, what in steps)
        self._threads = threads
        self._changes: Changes | None = None
        self._marks: list[int] = []
        self._weights: Weights | None = None

    def run(self, forks: Sequence[Fork], starts: Sequence[int], end: int, changes: Changes) -> list[Lived]:
        weights = self._packed(changes)
        if weights is None:
            return PythonSteps(self._steps).run(forks, starts, end, changes)
        lived = [Lived(0, MarkSums(), None) for _ in forks]
        begin = min(starts, default=end)
        for cut in sorted({*(i + 1 for i in self._apart if begin <= i < end), end}):
            here = [i for i, start in enumerate(starts) if start < cut and lived[i].stopped_at is None]
            from_here = [max(starts[i], begin) - begin for i in here]
            marks = slice(bisect_left(self._marks, begin), bisect_left(self._marks, cut))
            self._run_batch([forks[i] for i in here], from_here, (begin, cut), weights[marks], [lived[i] for i in here])
            begin = cut
        return lived

    def _packed(self, changes: Changes) -> Weights | None:
        """Return the weights of all marks of a stretch; the last ones are remembered."""
        if changes is not self._changes:
            self._changes, self._marks, self._weights = changes, list(changes), Weights.of(changes.values())
        return self._weights

    def _run_batch(
        self,
        forks: Sequence[Fork],
        starts: Sequence[int],
        part: tuple[int, int],
        weights: Weights,
        lived: Sequence[Lived],
    ) -> None:
        """Run one batch; if its last event is to be applied apart, only time passed there, so it is applied now."""
        first, last = part
        pools = [cast(NativePool, fork.pool) for fork in forks]
        runs = run_events(
            pools,
            self.packed[first:last],
            threads=self._threads,
            positions=[[(VAULT, r.tick_lower, r.tick_upper) for r in fork.ranges] for fork in forks],
            starts=starts,
            weights=weights,
        )
        apart = self._apart.get(last - 1)
        for pool, run, so_far in zip(pools, runs, lived, strict=True):
            so_far.in_range_s += run.in_range_s
            so_far.marks.join(run.sums)
            if run.reason is not None:
                so_far.stopped_at = first + run.applied
            elif apart is not None:
                try:
                    apply_other(pool, apart)
                except PoolRevert:
                    so_far.stopped_at = last - 1
