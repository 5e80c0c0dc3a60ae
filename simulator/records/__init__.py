"""Recorded markets: the ones that ship with Tideline, and any file of the neutral format."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, replace
from importlib import resources
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError, SimulationError
from simulator.events import Block, PoolEvent, SwapEvent
from simulator.flow import Flow, FlowBlock
from simulator.market import MarketInfo, Token
from simulator.neutral import NeutralFile
from simulator.neutral_lines import LiquidityLine, PoolLine, SwapLine
from simulator.recovery import Happening, RecoveredCall
from simulator.snapshot import PoolSnapshot

_SUFFIX = ".jsonl.gz"
_NOWHERE = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """A block in which something happened. `calls` runs along `events`: what a swap asked for, None for liquidity."""

    number: int
    timestamp: int
    events: tuple[PoolEvent, ...]
    calls: tuple[RecoveredCall | None, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One pool over a stretch of blocks: its state at the opening block, then every block with events, ascending.

    The opening block itself has no events. `digest` is the sha256 of all the rest but the name.
    """

    name: str
    info: MarketInfo
    source: str
    provenance: str
    opening: PoolSnapshot
    blocks: tuple[RecordedBlock, ...]
    digest: str

    @property
    def first_block(self) -> int:
        """The opening block."""
        return self.opening.block_number

    @property
    def last_block(self) -> int:
        """The last block with events."""
        return self.blocks[-1].number

    @property
    def length_blocks(self) -> int:
        """Blocks of the record, the opening block included."""
        return self.last_block - self.first_block + 1

    @property
    def duration_s(self) -> int:
        """Seconds after which the record can follow upon itself: one nominal block time after its last block."""
        return self.blocks[-1].timestamp - self.opening.timestamp + self.info.block_time_s

    def timestamp_at(self, number: int) -> int:
        """Return the time of a block of the record: as recorded, or interpolated, later than every block before it."""
        if not self.first_block <= number <= self.last_block:
            raise SimulationError(f"block {number} is outside the record", record=self.name)
        index = bisect_right(self.blocks, number, key=lambda block: block.number)
        before = self.blocks[index - 1] if index else self.opening_block
        if before.number == number:
            return before.timestamp
        return _time_between(before, self.blocks[index], number)

    def flow(self) -> Flow:
        """Return what happens after the opening, from the calls of the record, with the blocks between the recorded."""
        happenings = {b.number: tuple(map(_happening, b.events, b.calls)) for b in self.blocks}
        numbers = range(self.first_block + 1, self.last_block + 1)
        blocks = (FlowBlock(number, self.timestamp_at(number), happenings.get(number, ())) for number in numbers)
        return Flow(self.opening, tuple(blocks))

    def logged(self) -> tuple[Block, ...]:
        """Return the blocks after the opening, those between the recorded included, as in the record's first lap."""
        events = {block.number: block.events for block in self.blocks}
        hashes = [block_hash(self.digest, lap=0, number=n) for n in range(self.first_block, self.last_block + 1)]
        numbers = range(self.first_block + 1, self.last_block + 1)
        return tuple(
            Block(number, after, before, self.timestamp_at(number), events.get(number, ()))
            for number, (before, after) in zip(numbers, pairwise(hashes), strict=True)
        )

    @property
    def opening_block(self) -> RecordedBlock:
        """The opening block, in the shape of the others."""
        return RecordedBlock(self.opening.block_number, self.opening.timestamp, (), ())


def _happening(event: PoolEvent, call: RecoveredCall | None) -> Happening:
    if call is not None:
        return call
    if isinstance(event, SwapEvent):
        raise SimulationError("a recorded swap has no call", log_index=event.log_index)
    return event


def names() -> tuple[str, ...]:
    """Return the names of the records that ship with Tideline, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))


def load(name: str) -> Record:
    """Return a record that ships with Tideline. Raises ConfigError when it is unknown or damaged."""
    with locate(name) as path:
        return load_file(path, name=name)


def locate(name: str) -> AbstractContextManager[Path]:
    """Return the file of a record that ships with Tideline, for as long as the context lasts. Raises ConfigError."""
    if name not in names():
        raise ConfigError(f"there is no record named {name!r:.80}; choose one of {', '.join(names())}")
    return resources.as_file(resources.files(__name__) / f"{name}{_SUFFIX}")


def load_file(path: Path, *, pool: str | None = None, name: str | None = None) -> Record:
    """Return one pool's record from a file of the neutral format; `pool` chooses where the file holds several.

    The header may give chain_id, block_time_s, opening_block, opening_timestamp, pair_address, token0, token1, source,
    provenance. Left out, they are: chain 1, 12 s, the block before the first event, the time that the first known time
    implies (block number times block time if there is none), the address in P, nameless tokens of 18 decimals.
    Raises ConfigError when the file, or what the record needs of it, is wrong.
    """
    file = NeutralFile.open(path)
    lines = list(file.lines())
    pool_line = _choose_pool(path, [line for line in lines if isinstance(line, PoolLine)], pool)
    events = [line for line in lines if isinstance(line, LiquidityLine | SwapLine) and line.pool == pool_line.pool]
    if not events:
        raise ConfigError(f"{path} has no event of pool {pool_line.pool}; a record needs at least one")
    header = _Header(path, file.header)
    info = header.info(pool_line)
    opening_number = header.integer("opening_block", events[0].position.block - 1)
    if opening_number >= events[0].position.block or opening_number < 0:
        raise ConfigError(f"{path} line 1: opening_block {opening_number} must lie before the first event's block")
    blocks = tuple(_blocks(events))
    start = _opening_timestamp(header, info, opening_number, blocks)
    blocks = _with_times(path, RecordedBlock(opening_number, start, (), ()), blocks, info.block_time_s)
    opening = pool_line.snapshot(
        chain_id=info.chain_id,
        pair_address=info.pair_address,
        block_number=opening_number,
        block_hash="",
        timestamp=start,
    )
    try:
        opening.check()
    except SimulationError as error:
        raise ConfigError(f"{path} line {pool_line.line}: {error}; the P line must hold every tick") from error
    digest = _digest(info, opening, blocks)
    opening = replace(opening, block_hash=block_hash(digest, lap=0, number=opening_number))
    return Record(
        name or path.name, info, header.text("source", ""), header.text("provenance", ""), opening, blocks, digest
    )


def block_hash(digest: str, *, lap: int, number: int) -> str:
    """Return the hash by which a block of a record's lap is known: 0x and the sha256 of its place."""
    return "0x" + hashlib.sha256(f"{digest}:{lap}:{number}".encode()).hexdigest()


def _choose_pool(path: Path, pools: list[PoolLine], pool: str | None) -> PoolLine:
    if pool is None:
        if len(pools) > 1:
            raise ConfigError(f"{path} holds {len(pools)} pools; say which one, for example {pools[0].pool}")
        return pools[0]
    for line in pools:
        if line.pool.lower() == pool.lower():
            return line
    raise ConfigError(f"{path} holds no pool {pool}; it has for example {pools[0].pool}")


@dataclass(frozen=True, slots=True)
class _Header:
    """The header's optional facts, typed."""

    path: Path
    values: Mapping[str, Any]

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise ConfigError(f"{self.path} line 1: {key} must be a text")
        return value

    def integer(self, key: str, default: int, *, low: int = 0) -> int:
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value < 2**63:
            raise ConfigError(f"{self.path} line 1: {key} must be a whole number of at least {low}")
        return value

    def token(self, key: str) -> Token:
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise ConfigError(f"{self.path} line 1: {key} must be an object with address, symbol and decimals")
        inner = _Header(self.path, value)
        return Token(inner.text("address", _NOWHERE), inner.text("symbol", key), inner.integer("decimals", 18))

    def info(self, pool: PoolLine) -> MarketInfo:
        return MarketInfo(
            chain_id=self.integer("chain_id", 1, low=1),
            pair_address=self.text("pair_address", pool.pool),
            token0=self.token("token0"),
            token1=self.token("token1"),
            fee_pips=pool.fee_pips,
            tick_spacing=pool.tick_spacing,
            block_time_s=self.integer("block_time_s", 12, low=1),
        )


def _blocks(lines: list[LiquidityLine | SwapLine]) -> Iterator[RecordedBlock]:
    """Group lines into blocks; a block whose time is unknown carries -1 for the moment."""
    for number, group in groupby(lines, key=lambda line: line.position.block):
        in_block = list(group)
        times = [line.position.timestamp for line in in_block if line.position.timestamp is not None]
        yield RecordedBlock(
            number=number,
            timestamp=times[0] if times else -1,
            events=tuple(line.event(index) for index, line in enumerate(in_block)),
            calls=tuple(line.call() if isinstance(line, SwapLine) else None for line in in_block),
        )


def _opening_timestamp(
    header: _Header, info: MarketInfo, opening_number: int, blocks: tuple[RecordedBlock, ...]
) -> int:
    known = next((block for block in blocks if block.timestamp >= 0), None)
    if known is None:
        return header.integer("opening_timestamp", opening_number * info.block_time_s)
    implied = known.timestamp - (known.number - opening_number) * info.block_time_s
    return header.integer("opening_timestamp", max(implied, 0))


def _with_times(
    path: Path, opening: RecordedBlock, blocks: tuple[RecordedBlock, ...], block_time_s: int
) -> tuple[RecordedBlock, ...]:
    """Give every block a time: interpolated between known ones, one block time apart after the last known one."""
    known = [opening, *(block for block in blocks if block.timestamp >= 0)]
    for before, after in pairwise(known):
        if after.timestamp - before.timestamp < after.number - before.number:
            raise ConfigError(
                f"{path}: block {after.number} at {after.timestamp} leaves less than a second a block "
                f"since block {before.number} at {before.timestamp}; correct the times"
            )
    numbers = [block.number for block in known]

    def time_at(number: int) -> int:
        index = bisect_right(numbers, number)
        before = known[index - 1]
        if index == len(known):
            return before.timestamp + (number - before.number) * block_time_s
        return _time_between(before, known[index], number)

    return tuple(replace(block, timestamp=time_at(block.number)) for block in blocks)


def _time_between(before: RecordedBlock, after: RecordedBlock, number: int) -> int:
    """Interpolate, rounding down: never the same time twice while a block takes a second or more."""
    elapsed = (after.timestamp - before.timestamp) * (number - before.number) // (after.number - before.number)
    return before.timestamp + elapsed


def _digest(info: MarketInfo, opening: PoolSnapshot, blocks: tuple[RecordedBlock, ...]) -> str:
    digest = hashlib.sha256()
    for part in (astuple(info), opening.to_json(), *(astuple(block) for block in blocks)):
        digest.update(json.dumps(part, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()
