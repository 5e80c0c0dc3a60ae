"""Stretches in batches; what a batch cannot hold, flashes and changes of the protocol's share, comes between two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from simulator.events import FeeProtocolEvent, FlashEvent, StakeEvent, StakingEvent
from simulator.fork import VAULT, Fork
from simulator.marks import MarkSums
from simulator.native.batch import EventBatch, run_events
from simulator.native.pool import NativePool
from simulator.pool import PoolRevert
from simulator.recovery import apply_other
from simulator.stretch import Changes, Lived, PythonSteps, Step
from simulator.valuation import Prices

_APART = (FlashEvent, FeeProtocolEvent, StakeEvent, StakingEvent)  # the last two revert here: they are Slipstream's
_WEIGHT_BITS = 383  # what a batch can hold of a price's change; more only where a price is near its bound


class NativeSteps:
    """Steps for native forks, packed once."""

    def __init__(self, steps: Sequence[Step], *, threads: int = 1) -> None:
        self._steps = steps
        self._apart = {i: what for i, (_, what) in enumerate(steps) if isinstance(what, _APART)}
        self.packed = EventBatch.of((time, None if isinstance(what, _APART) else what) for time, what in steps)
        self._threads = threads

    def run(self, forks: Sequence[Fork], starts: Sequence[int], end: int, changes: Changes) -> list[Lived]:
        if any(abs(p) >> _WEIGHT_BITS for c in changes.values() for p in (c.price0_x192, c.price1_x192)):
            return PythonSteps(self._steps).run(forks, starts, end, changes)
        lived = [Lived(0, MarkSums(), None) for _ in forks]
        begin = min(starts, default=end)
        for cut in sorted({*(i + 1 for i in self._apart if begin <= i < end), end}):
            here = [i for i, start in enumerate(starts) if start < cut and lived[i].stopped_at is None]
            from_here = [max(starts[i], begin) - begin for i in here]
            weights = [change for step, change in changes.items() if begin <= step < cut]
            self._run_batch([forks[i] for i in here], from_here, (begin, cut), weights, [lived[i] for i in here])
            begin = cut
        return lived

    def _run_batch(
        self,
        forks: Sequence[Fork],
        starts: Sequence[int],
        part: tuple[int, int],
        weights: Sequence[Prices],
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
