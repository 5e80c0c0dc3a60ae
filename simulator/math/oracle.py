"""The pool's memory of time: a ring of cumulative ticks and seconds per liquidity.

Times are uint32 and wrap; two of them are ordered only relative to a third that is known to be not earlier than both.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

from simulator.math.integers import MASK_32, MASK_160, wrap_int56
from simulator.math.revert import PoolRevert


class Observation(NamedTuple):
    """One slot: uint32 time, int56 tick * seconds, uint160 Q128 seconds / max(1, liquidity)."""

    block_timestamp: int = 0
    tick_cumulative: int = 0
    seconds_per_liquidity_cumulative_x128: int = 0
    initialized: bool = False


EMPTY_OBSERVATION = Observation()
# `grow` writes a time of 1 into fresh slots so that later writes are cheap; it means nothing until `initialized`.
GROWN_OBSERVATION = Observation(block_timestamp=1)


class OracleState(NamedTuple):
    """Where the ring stands and what has been true since its newest slot."""

    tick: int
    observation_index: int
    liquidity: int
    cardinality: int


def transform(last: Observation, block_timestamp: int, tick: int, liquidity: int) -> Observation:
    """Return the observation that follows `last` when tick and liquidity held until `block_timestamp`.

    Parameters: block_timestamp  uint32   ·   tick  int24   ·   liquidity  uint128
    Returns:    a new Observation; seconds per liquidity floor, all fields modulo their widths
    Raises:     nothing
    Source:     v3-core Oracle.transform
    """
    delta = (block_timestamp - last.block_timestamp) & MASK_32
    return Observation(
        block_timestamp,
        wrap_int56(last.tick_cumulative + tick * delta),
        (last.seconds_per_liquidity_cumulative_x128 + (delta << 128) // (liquidity or 1)) & MASK_160,
        initialized=True,
    )


def initialize(observations: MutableSequence[Observation], time: int) -> tuple[int, int]:
    """Write the first slot, in place. Returns (cardinality, cardinality_next). Source: v3-core Oracle.initialize."""
    observations[:] = [Observation(time, initialized=True)]
    return 1, 1


def write(
    observations: MutableSequence[Observation], state: OracleState, block_timestamp: int, cardinality_next: int
) -> tuple[int, int]:
    """Write one observation, at most one a block, in place. Returns (index, cardinality).

    Parameters: state  as it was before this block's first change   ·   block_timestamp  uint32
    Returns:    the index written; the cardinality grows to cardinality_next when the ring's end is reached
    Raises:     nothing
    Source:     v3-core Oracle.write
    """
    last = observations[state.observation_index]
    if last.block_timestamp == block_timestamp:
        return state.observation_index, state.cardinality
    grows = cardinality_next > state.cardinality and state.observation_index == state.cardinality - 1
    cardinality = cardinality_next if grows else state.cardinality
    index = (state.observation_index + 1) % cardinality
    observations[index] = transform(last, block_timestamp, state.tick, state.liquidity)
    return index, cardinality


def grow(observations: MutableSequence[Observation], current: int, next_: int) -> int:
    """Prepare slots up to `next_`, in place. Returns the new cardinality_next.

    Parameters: current, next_  uint16; not more than current: nothing happens
    Returns:    max(current, next_)
    Raises:     PoolRevert("I") before initialisation
    Source:     v3-core Oracle.grow
    """
    if current == 0:
        raise PoolRevert("I")
    observations.extend([GROWN_OBSERVATION] * (next_ - current))
    return max(current, next_)


def lte(time: int, a: int, b: int) -> bool:
    """Return whether a is not later than b, both being not later than `time` on a clock of 32 bits.

    Source: v3-core Oracle.lte.
    """
    if a <= time and b <= time:
        return a <= b
    return (a if a > time else a + 2**32) <= (b if b > time else b + 2**32)


def binary_search(
    observations: Sequence[Observation], time: int, target: int, index: int, cardinality: int
) -> tuple[Observation, Observation]:
    """Return the two neighbouring observations around `target`, which must lie within the ring.

    Parameters: time, target  uint32   ·   index  of the newest slot   ·   cardinality  > 0
    Returns:    (before_or_at, at_or_after)
    Raises:     nothing; it ends: the slot at `left` is never after the target, the one after `right` never before
    Source:     v3-core Oracle.binarySearch
    """
    left = (index + 1) % cardinality
    right = left + cardinality - 1
    while True:
        middle = (left + right) // 2
        before_or_at = observations[middle % cardinality]
        if not before_or_at.initialized:
            left = middle + 1
            continue
        at_or_after = observations[(middle + 1) % cardinality]
        target_at_or_after = lte(time, before_or_at.block_timestamp, target)
        if target_at_or_after and lte(time, target, at_or_after.block_timestamp):
            return before_or_at, at_or_after
        if target_at_or_after:
            left = middle + 1
        else:
            right = middle - 1


def get_surrounding_observations(
    observations: Sequence[Observation], time: int, target: int, state: OracleState
) -> tuple[Observation, Observation]:
    """Return the observations just before (or at) and just after (or at) `target`.

    Parameters: time, target  uint32
    Returns:    (before_or_at, at_or_after); past the newest slot the second is extrapolated, at it the second is empty
    Raises:     PoolRevert("OLD") before the oldest slot
    Source:     v3-core Oracle.getSurroundingObservations
    """
    newest = observations[state.observation_index]
    if lte(time, newest.block_timestamp, target):
        if newest.block_timestamp == target:
            return newest, EMPTY_OBSERVATION
        return newest, transform(newest, target, state.tick, state.liquidity)
    oldest = observations[(state.observation_index + 1) % state.cardinality]
    if not oldest.initialized:
        oldest = observations[0]
    if not lte(time, oldest.block_timestamp, target):
        raise PoolRevert("OLD")
    return binary_search(observations, time, target, state.observation_index, state.cardinality)


def observe_single(
    observations: Sequence[Observation], time: int, seconds_ago: int, state: OracleState
) -> tuple[int, int]:
    """Return (tick_cumulative, seconds_per_liquidity_cumulative_x128) as of `seconds_ago`.

    Parameters: time, seconds_ago  uint32
    Returns:    int56, uint160 Q128; between slots the tick's slope is truncated toward zero before it is multiplied
    Raises:     PoolRevert("OLD") before the oldest slot
    Source:     v3-core Oracle.observeSingle
    """
    if seconds_ago == 0:
        last = observations[state.observation_index]
        if last.block_timestamp != time:
            last = transform(last, time, state.tick, state.liquidity)
        return last.tick_cumulative, last.seconds_per_liquidity_cumulative_x128
    target = (time - seconds_ago) & MASK_32
    before, after = get_surrounding_observations(observations, time, target, state)
    if target == before.block_timestamp:
        return before.tick_cumulative, before.seconds_per_liquidity_cumulative_x128
    if target == after.block_timestamp:
        return after.tick_cumulative, after.seconds_per_liquidity_cumulative_x128
    return _interpolate(before, after, target)


def _interpolate(before: Observation, after: Observation, target: int) -> tuple[int, int]:
    duration = (after.block_timestamp - before.block_timestamp) & MASK_32
    elapsed = (target - before.block_timestamp) & MASK_32
    ticks = wrap_int56(after.tick_cumulative - before.tick_cumulative)
    slope = ticks // duration if ticks >= 0 else -(-ticks // duration)
    seconds_per_liquidity = (
        after.seconds_per_liquidity_cumulative_x128 - before.seconds_per_liquidity_cumulative_x128
    ) & MASK_160
    return (
        wrap_int56(before.tick_cumulative + slope * elapsed),
        (before.seconds_per_liquidity_cumulative_x128 + seconds_per_liquidity * elapsed // duration) & MASK_160,
    )


def observe(
    observations: Sequence[Observation], time: int, seconds_agos: Sequence[int], state: OracleState
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the two cumulatives as of each of `seconds_agos`.

    Parameters: time, seconds_agos  uint32
    Returns:    (tick_cumulatives, seconds_per_liquidity_cumulative_x128s)
    Raises:     PoolRevert: "I" before initialisation, "OLD" before the oldest slot
    Source:     v3-core Oracle.observe
    """
    if state.cardinality == 0:
        raise PoolRevert("I")
    points = [observe_single(observations, time, seconds_ago, state) for seconds_ago in seconds_agos]
    return tuple(point[0] for point in points), tuple(point[1] for point in points)
