"""Alternative futures of a pool, put together from windows of recorded swaps.

A circular block bootstrap: a future is a row of windows of a few blocks each, every one as likely to be drawn, and the
record goes on from its last block to its first. Inside a window everything is as it was: order, rhythm, direction.
Between windows nothing is remembered, so a window must be longer than what a strategy exploits.

A swap is taken over by how far it moved the price, relative to where it stood: on the future's own pool it becomes the
amount that moves that pool as far, and a recorded price limit becomes the price where it then stands. So sizes stay in
proportion to the pool. Liquidity stays as it is in the snapshot: a recorded range is about a price of the past, and a
window may hold a burn without its mint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from protocol.errors import SimulationError
from simulator.engine import AnyPool, Engine, default_engine, pool_from_snapshot
from simulator.flow import Flow, FlowBlock
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO
from simulator.recovery import UNBOUNDED, RecoveredCall, apply_call, apply_happening
from simulator.snapshot import PoolSnapshot

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class PastSwap:
    """From where to where a recorded swap moved the price, Q64.96, whether it fixed what it paid, and whether it had a
    limit.
    """

    before_x96: int
    after_x96: int
    is_exact_input: bool
    has_limit: bool


@dataclass(frozen=True, slots=True)
class PastBlock:
    """A recorded block: seconds since the block before, its time, and its swaps."""

    gap_s: int
    timestamp: int
    swaps: tuple[PastSwap, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What futures are made of."""

    blocks: tuple[PastBlock, ...]

    @classmethod
    def of(cls, flow: Flow, *, engine: Engine | None = None) -> Past:
        """Return the swaps of a flow as it happened on its own snapshot.

        Parameters: flow  what is no swap shapes the prices only
        Returns:    one block for every block of the flow; a swap that did not move the price is left out
        Rounding:   none
        Raises:     PoolRevert where the flow does not run, SimulationError where it has no block
        Source:     design §4.3 for the calls
        """
        if not flow.blocks:
            raise SimulationError("a flow without blocks has no past to draw from")
        pool = pool_from_snapshot(flow.snapshot, engine=engine or default_engine())
        time, blocks = flow.snapshot.timestamp, []
        for block in flow.blocks:
            pool.timestamp = block.timestamp
            swaps = []
            for happening in block.happenings:
                before_x96 = pool.sqrt_price_x96
                apply_happening(pool, happening)
                if isinstance(happening, RecoveredCall) and pool.sqrt_price_x96 != before_x96:
                    form = happening.amount_specified > 0, happening.sqrt_price_limit_x96 is not None
                    swaps.append(PastSwap(before_x96, pool.sqrt_price_x96, *form))
            blocks.append(PastBlock(block.timestamp - time, block.timestamp, tuple(swaps)))
            time = block.timestamp
        return cls(tuple(blocks))


def draw_futures(
    snapshot: PoolSnapshot,
    past: Past,
    *,
    count: int,
    length_blocks: int,
    window_blocks: int,
    seed: int,
    within_s: int | None = None,
    engine: Engine | None = None,
) -> tuple[Flow, ...]:
    """Return alternative futures of a pool.

    Parameters: snapshot  where every future starts, at any price and time
                count, length_blocks, window_blocks  at least 1
                seed  >= 0; the n-th future of a seed does not depend on their count
                within_s  draw only windows that began within so many seconds of the same time of day; None, at any time
    Returns:    flows of swaps, numbered and timed on from the snapshot with the recorded gaps
    Rounding:   amounts in ceil, amounts out floor
    Raises:     SimulationError where the record has no window of that time of day
    Source:     circular block bootstrap (Politis, Romano 1992)
    """
    if min(count, length_blocks, window_blocks) < 1 or window_blocks > len(past.blocks):
        raise SimulationError("count, length and window are at least 1, and no window is longer than the past")
    if seed < 0:
        raise SimulationError("a seed is at least 0", seed=seed)
    futures = []
    for number in range(count):
        draws = np.random.Generator(np.random.PCG64((seed, number)))
        windows = _windows(past, draws, snapshot.timestamp, window_blocks, within_s)
        futures.append(_future(snapshot, islice(windows, length_blocks), engine or default_engine()))
    return tuple(futures)


def _windows(
    past: Past, draws: np.random.Generator, timestamp: int, window_blocks: int, within_s: int | None
) -> Iterator[PastBlock]:
    """Yield the blocks of one window after the other, without end."""
    times = np.array([block.timestamp for block in past.blocks])
    starts = np.arange(len(times))
    while True:
        if within_s is not None:
            apart = (times - timestamp + _DAY_S // 2) % _DAY_S - _DAY_S // 2
            starts = np.flatnonzero(abs(apart) <= within_s)
            if not len(starts):
                raise SimulationError("the record has no block of this time of day", timestamp=timestamp)
        first = int(starts[draws.integers(len(starts))])
        for at in range(first, first + window_blocks):
            block = past.blocks[at % len(past.blocks)]
            timestamp += block.gap_s
            yield block


def _future(snapshot: PoolSnapshot, windows: Iterable[PastBlock], engine: Engine) -> Flow:
    """Return the flow of these blocks on a snapshot."""
    pool = pool_from_snapshot(snapshot, engine=engine)
    number, timestamp, blocks = snapshot.block_number, snapshot.timestamp, []
    for past in windows:
        number, timestamp = number + 1, timestamp + past.gap_s
        pool.timestamp = timestamp
        calls = tuple(call for swap in past.swaps if (call := _repeat(pool, swap)) is not None)
        blocks.append(FlowBlock(number, timestamp, calls))
    return Flow(snapshot, tuple(blocks))


def _repeat(pool: AnyPool, swap: PastSwap) -> RecoveredCall | None:
    """Let a swap move a pool as far as it moved the recorded one and return the call, None if no amount does."""
    target_x96 = pool.sqrt_price_x96 * swap.after_x96 // swap.before_x96
    zero_for_one = swap.after_x96 < swap.before_x96
    return move_to(
        pool, target_x96, zero_for_one=zero_for_one, is_exact_input=swap.is_exact_input, has_limit=swap.has_limit
    )


def move_to(
    pool: AnyPool, target_x96: int, *, zero_for_one: bool, is_exact_input: bool, has_limit: bool
) -> RecoveredCall | None:
    """Let a swap take a pool's price to a target.

    Parameters: pool  changed by the swap   ·   target_x96  Q64.96, on the side that `zero_for_one` says; brought into
                the bounds of prices   ·   is_exact_input, has_limit  the form of the call
    Returns:    the call, None where the price stands there already or no amount reaches it: then nothing happens
    Rounding:   amounts in ceil, amounts out floor
    Raises:     PoolRevert where the pool cannot swap
    Source:     the form of recorded calls (`simulator.recovery`)
    """
    target_x96 = max(MIN_SQRT_RATIO + 1, min(MAX_SQRT_RATIO - 1, target_x96))
    if target_x96 == pool.sqrt_price_x96:
        return None
    quote = pool.quote(zero_for_one, UNBOUNDED, target_x96)
    amount = quote.amount0 if zero_for_one == is_exact_input else quote.amount1
    if not amount:
        return None
    call = RecoveredCall(zero_for_one, amount, target_x96 if has_limit else None)
    apply_call(pool, call)
    return call
