"""Whole batches of events on many native pools at once, outside the interpreter's lock and on several threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from protocol.errors import SimulationError
from simulator.events import LiquidityEvent
from simulator.fork import Reading
from simulator.marks import MarkSums
from simulator.math.position import PositionInfo
from simulator.native._core import EVENT_BYTES, WEIGHT_BYTES, pack, pack_weights, run
from simulator.native.pool import NativePool, PositionKey
from simulator.recovery import RecoveredCall
from simulator.stretch import Mark
from simulator.valuation import Prices

Six: TypeAlias = tuple[int, int, int, int, int, int]  # a reading's fields
Told: TypeAlias = tuple[int, str | None, int, list[Six] | tuple[int, Six, int, int, int, int]]

DONE, SKIPPED, STOPPED, NOT_REACHED = range(4)
_AMOUNT_BYTES = 32
_WEIGHT_BITS = 383
_SHARES = 4  # chunks of forks per thread, so that an early finish finds more to do


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in order, packed once for any number of forks."""

    packed: bytes

    @classmethod
    def of(cls, events: Iterable[tuple[int, RecoveredCall | LiquidityEvent | Mark | None]]) -> EventBatch:
        """Pack (block timestamp, what happens): a swap's call, a change of liquidity, MARK where every fork is read,
        None where only time passes.
        """
        return cls(pack([_parts(timestamp, event) for timestamp, event in events]))

    def __len__(self) -> int:
        return len(self.packed) // EVENT_BYTES

    def __getitem__(self, part: slice) -> EventBatch:
        """Return the events of a slice with step 1."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise SimulationError("events keep their order: the step of a slice is 1")
        return EventBatch(self.packed[start * EVENT_BYTES : max(start, stop) * EVENT_BYTES])


@dataclass(frozen=True, slots=True)
class Weights:
    """By what the readings at marks are multiplied, packed once for any number of forks."""

    packed: bytes

    @classmethod
    def of(cls, weights: Iterable[Prices]) -> Weights | None:
        """Pack changes of prices, one a mark; None where one has 384 bits or more, which no batch can hold."""
        pairs = [(w.price0_x192, w.price1_x192) for w in weights]
        if any(max(abs(a), abs(b)).bit_length() > _WEIGHT_BITS for a, b in pairs):
            return None
        return cls(pack_weights(pairs))

    def __getitem__(self, part: slice) -> Weights:
        """Return the weights of the marks of a slice with step 1."""
        start, stop, _ = part.indices(len(self.packed) // WEIGHT_BYTES)
        return Weights(self.packed[start * WEIGHT_BYTES : stop * WEIGHT_BYTES])


@dataclass(frozen=True, slots=True)
class ForkRun:
    """What a batch came to on one fork.

    `fates` holds a byte an event: DONE, SKIPPED (a swap whose limit the fork had passed), STOPPED (it reverted, for
    `reason`; the fork is as it was before that event), NOT_REACHED. `amounts` holds two int256 an event, little-endian
    (the pool's balance changes; 0 where nothing was done), None unless asked for. `readings` has one for each mark that
    was reached, and is empty where the batch had weights: then `sums` tells of all marks together.
    """

    applied: int
    reason: str | None
    in_range_s: int
    readings: tuple[Reading, ...]
    sums: MarkSums
    fates: memoryview
    amounts: memoryview | None

    def amounts_at(self, index: int) -> tuple[int, int]:
        """Return (amount0, amount1) of one event, raw, positive = paid to the pool."""
        if self.amounts is None:
            raise SimulationError("this batch was run without keeping its amounts")
        at = 2 * _AMOUNT_BYTES * index
        first, second = self.amounts[at : at + _AMOUNT_BYTES], self.amounts[at + _AMOUNT_BYTES : at + 2 * _AMOUNT_BYTES]
        return int.from_bytes(first, "little", signed=True), int.from_bytes(second, "little", signed=True)


def run_events(
    forks: Sequence[NativePool],
    events: EventBatch,
    *,
    threads: int = 1,
    positions: Sequence[Sequence[PositionKey]] | None = None,
    starts: Sequence[int] | None = None,
    weights: Weights | None = None,
    keep_amounts: bool = False,
) -> list[ForkRun]:
    """Let the same events happen on every fork.

    Parameters: forks  distinct native pools, changed   ·   threads  how many share the forks
                positions  per fork, those that marks read; seconds are counted in which the tick is in any of them
                starts  per fork, the first event that reaches it
                weights  for every mark, by what its reading is multiplied in the sums; None for readings
    Returns:    one ForkRun a fork, in order; the same whatever the number of threads
    Rounding:   the contract's
    Raises:     SimulationError if a fork is given twice or is in another batch; a revert is told, not raised
    Source:     design §4.3; `simulator.recovery.apply_call` for what is skipped, `simulator.fork.Fork.read` for marks
    """
    keys = positions if positions is not None else [()] * len(forks)
    first = starts if starts is not None else [0] * len(forks)
    if not len(keys) == len(first) == len(forks) == len(set(map(id, forks))):
        raise SimulationError("a batch takes distinct forks, with positions and a start for every one of them")
    watched = [(start, _positions(fork, owned)) for fork, owned, start in zip(forks, keys, first, strict=True)]
    factors = None if weights is None else weights.packed
    fates = memoryview(bytearray(len(forks) * len(events)))
    amounts = memoryview(bytearray(2 * _AMOUNT_BYTES * len(fates))) if keep_amounts else None
    size = max(1, -(-len(forks) // (threads * _SHARES if threads > 1 else 1)))

    def run_share(start: int) -> list[Told]:
        part = slice(start, start + size)
        place = slice(start * len(events), (start + size) * len(events))
        kept = None if amounts is None else amounts[2 * _AMOUNT_BYTES * place.start : 2 * _AMOUNT_BYTES * place.stop]
        return run(list(forks[part]), events.packed, watched[part], factors, fates[place], kept)

    parts = range(0, len(forks), size)
    if threads > 1:
        with ThreadPoolExecutor(threads) as executor:
            shares = list(executor.map(run_share, parts))
    else:
        shares = [run_share(start) for start in parts]
    told = [entry for share in shares for entry in share]
    return [_fork_run(index, entry, len(events), fates, amounts) for index, entry in enumerate(told)]


def _parts(timestamp: int, event: RecoveredCall | LiquidityEvent | Mark | None) -> tuple[object, ...]:
    if event is None:
        return (timestamp,)
    if isinstance(event, Mark):
        return timestamp, None
    if isinstance(event, LiquidityEvent):
        return timestamp, event.tick_lower, event.tick_upper, event.liquidity_delta, None
    if event.fee_pips is not None:
        raise SimulationError("a swap at a fee of its own is no Uniswap pool's", fee_pips=event.fee_pips)
    return timestamp, event.zero_for_one, event.amount_specified, event.sqrt_price_limit_x96


def _positions(pool: NativePool, keys: Sequence[PositionKey]) -> list[tuple[int, int, tuple[int, int, int, int, int]]]:
    return [(lower, upper, _numbers(pool.positions[(owner, lower, upper)])) for owner, lower, upper in keys]


def _numbers(position: PositionInfo) -> tuple[int, int, int, int, int]:
    """Return a position's fields in their order; dataclasses.astuple would copy each first."""
    inside0, inside1 = position.fee_growth_inside_0_last_x128, position.fee_growth_inside_1_last_x128
    return position.liquidity, inside0, inside1, position.tokens_owed_0, position.tokens_owed_1


def _fork_run(index: int, told: Told, count: int, fates: memoryview, amounts: memoryview | None) -> ForkRun:
    first, last = index * count, (index + 1) * count
    kept = None if amounts is None else amounts[2 * _AMOUNT_BYTES * first : 2 * _AMOUNT_BYTES * last]
    applied, reason, in_range_s, marks = told
    readings = tuple(map(Reading._make, marks)) if isinstance(marks, list) else ()
    return ForkRun(applied, reason, in_range_s, readings, _sums(marks), fates[first:last], kept)


def _sums(marks: list[Six] | tuple[int, Six, int, int, int, int]) -> MarkSums:
    if isinstance(marks, list) or marks[0] == 0:
        return MarkSums()
    count, last, *sums = marks
    return MarkSums(count, Reading._make(last), *sums)
