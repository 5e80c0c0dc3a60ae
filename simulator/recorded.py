"""A recorded market as a chain without end: the record again and again, in laps.

Lap n is the record with its block numbers and times moved on by n lengths of the record, so both go on without a gap.
A lap begins with the record's opening block, in which nothing happens and the pool is back in the record's first state;
no round may span that seam.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from protocol.errors import ConfigError, SimulationError
from simulator.events import Block, PoolEvent
from simulator.file_replay import apply_event
from simulator.market import Market, MarketInfo
from simulator.pool import Pool
from simulator.records import Record, RecordedBlock, block_hash
from simulator.snapshot import PoolSnapshot

_SPEED = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)x?", re.ASCII | re.IGNORECASE)


class Clock(Protocol):
    """What pacing needs of the world."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds; 0 lets others run."""


class RealClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep without blocking the event loop."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to, or when somebody sleeps on it; it remembers every sleep."""

    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the time as set."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move the time on and let others run."""
        self.now += seconds
        if seconds:
            self.sleeps.append(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def parse_speed(text: str) -> Fraction | None:
    """Return how many seconds of chain pass in one ("1x", "500x", "0.5x"); None for "max", as fast as can be read."""
    if text.strip().lower() == "max":
        return None
    match = _SPEED.fullmatch(text.strip())
    if match is None or Fraction(match[1]) == 0:
        raise ConfigError(f"speed {text!r:.40} is not a speed; use for example 1x, 500x or max")
    return Fraction(match[1])


class RecordedMarket:
    """The `Market` over a record, for one reader.

    The head starts at the opening block of lap 0, or at `start_block` of any lap. A `speed` of None sets no pace.
    """

    def __init__(
        self,
        record: Record,
        *,
        speed: Fraction | float | None = None,
        clock: Clock | None = None,
        start_block: int | None = None,
    ) -> None:
        self._record = record
        self._speed = _exact_speed(speed)
        self._clock: Clock = RealClock() if clock is None else clock
        self._opening_pool = Pool.from_snapshot(record.opening)
        self._due_from: float | None = None  # when the block at the head was due; None before the first is asked for
        self._lap = 0
        self._at = record.first_block  # the head as the record numbers it
        self._next = 0  # the next block with events, as an index into the record's
        self._pool = self._opening_pool.copy()
        if start_block is not None:
            self.seek(start_block)

    @property
    def info(self) -> MarketInfo:
        """What never changes about the market."""
        return self._record.info

    @property
    def head(self) -> int:
        """The number of the last block that happened."""
        return self._at + self._lap * self._record.length_blocks

    @property
    def vault(self) -> None:
        """Nobody: on a record the vault is virtual."""

    async def settle(self) -> None:
        """Return at once: what was recorded stays."""

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        """Return the pool at the head, having gone to the next lap if this one has too few blocks left.

        Raises ConfigError when no lap is long enough.
        """
        longest = self._record.length_blocks - 1
        if not 1 <= length_blocks <= longest:
            raise ConfigError(
                f"a round of {length_blocks} blocks does not fit record {self._record.name}; use 1 to {longest} blocks"
            )
        if self._record.last_block - self._at < length_blocks:
            self._enter_lap(self._lap + 1)
        self._due_from = self._clock.monotonic()
        return self.snapshot()

    async def next_block(self) -> Block:
        """Return the next block when it is due. Cancelling the wait loses no block."""
        await self._pace()
        parent_hash = self._hash(self.head)
        events = self._step()
        return Block(self.head, self._hash(self.head), parent_hash, self._timestamp(self._lap, self._at), events)

    async def close(self) -> None:
        """Do nothing: everything is in memory."""

    def seek(self, block_number: int) -> None:
        """Move the head to a block of any lap, as if the market had played up to it. Only that lap is replayed."""
        lap, offset = divmod(block_number - self._record.first_block, self._record.length_blocks)
        if lap < 0:
            raise ConfigError(
                f"block {block_number} lies before record {self._record.name}; use {self._record.first_block} or later"
            )
        target = self._record.first_block + offset
        if lap != self._lap or target < self._at:
            self._enter_lap(lap)
        blocks = self._record.blocks
        while self._next < len(blocks) and blocks[self._next].number <= target:
            self._apply(blocks[self._next])
        self._at = target
        self._due_from = None

    def snapshot(self) -> PoolSnapshot:
        """Return the pool as it is at the head."""
        return self._pool.to_snapshot(
            chain_id=self.info.chain_id,
            pair_address=self.info.pair_address,
            block_number=self.head,
            block_hash=self._hash(self.head),
            timestamp=self._timestamp(self._lap, self._at),
        )

    def _enter_lap(self, lap: int) -> None:
        self._lap = lap
        self._at = self._record.first_block
        self._next = 0
        self._pool = self._opening_pool.copy()

    def _step(self) -> tuple[PoolEvent, ...]:
        """Move the head on by one block and return what happens in it."""
        if self._at == self._record.last_block:
            self._enter_lap(self._lap + 1)
            return ()
        upcoming = self._record.blocks[self._next]
        if upcoming.number == self._at + 1:
            self._apply(upcoming)
            self._at += 1
            return upcoming.events
        self._at += 1
        return ()

    def _apply(self, block: RecordedBlock) -> None:
        self._pool.timestamp = self._timestamp(self._lap, block.number)
        for event, call in zip(block.events, block.calls, strict=True):
            mismatch = apply_event(self._pool, event, call)
            if mismatch is not None:
                raise SimulationError(
                    f"the record says {mismatch.field} {mismatch.expected}, the pool {mismatch.got}",
                    record=self._record.name,
                    pool=self.info.pair_address,
                    block=block.number,
                    log_index=event.log_index,
                )
        self._next += 1

    def _timestamp(self, lap: int, number: int) -> int:
        return self._record.timestamp_at(number) + lap * self._record.duration_s

    def _hash(self, block_number: int) -> str:
        lap = (block_number - self._record.first_block) // self._record.length_blocks
        return block_hash(self._record.digest, lap=lap, number=block_number)

    async def _pace(self) -> None:
        """Wait until the next block is due: its distance in chain time after the last, divided by the speed.

        A reader that came late (it waited for answers at a checkpoint) is not made to catch up: the next distance
        counts from now. A sleep that ended a little late is made up for, or every block would add its lateness.
        """
        if self._speed is None:
            await self._clock.sleep(0)
            return
        now = self._clock.monotonic()
        last = now if self._due_from is None else self._due_from
        interval = float(self._seconds_to_next() / self._speed)
        due = last + interval
        if due <= now:
            self._due_from = now
            await self._clock.sleep(0)
            return
        await self._clock.sleep(due - now)
        self._due_from = max(due, self._clock.monotonic() - interval)

    def _seconds_to_next(self) -> int:
        is_last = self._at == self._record.last_block
        lap, number = (self._lap + 1, self._record.first_block) if is_last else (self._lap, self._at + 1)
        return self._timestamp(lap, number) - self._timestamp(self._lap, self._at)


def _exact_speed(speed: Fraction | float | None) -> Fraction | None:
    if speed is None:
        return None
    try:
        exact = Fraction(speed)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"speed {speed} is not a speed; give a positive number, or None for as fast as possible"
        ) from error
    if exact <= 0:
        raise ConfigError(f"speed {speed} is not a speed; give a positive number, or None for as fast as possible")
    return exact


if TYPE_CHECKING:
    _is_a_market: type[Market] = RecordedMarket  # mypy proves the port
