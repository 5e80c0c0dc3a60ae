"""What a back-test is played on: a record, a file, a pool events database, or what is drawn from any of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from db.job import Job
from protocol.errors import ConfigError
from simulator import records
from simulator.engine import default_engine
from simulator.events import Block
from simulator.flow import Flow
from simulator.indexed import HeldBlocks, IndexedMarket, PoolEventsReader
from simulator.logged import log_blocks
from simulator.market import MarketInfo
from simulator.records import Record
from simulator.scenarios import Past, draw_futures
from simulator.snapshot import PoolSnapshot
from simulator.synthetic import WEATHERS, draw_market
from tideline.external_events import ExternalReader, anchored, read_names
from tideline.pool_events import IndexedEvents

RECORDED = "recorded"
_DATABASES = ("sqlite:", "postgres:", "postgresql:")
_DAY_S = 86_400
_MOST_DAYS = 366
_MADE_UP_DAYS = 3.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where a market is found: small, so that it can be sent to another process, which finds the same.

    With `days` it is a future drawn from windows of `window_hours` of what is found, by its seed; made-up markets are
    always drawn. `names` are those of an external database, `snapshots` the index that has a snapshot for it.
    """

    data: str
    record: str | None
    pool: str
    from_block: int | None = None
    names: Path | None = None
    snapshots: str | None = None
    days: float | None = None
    window_hours: float = 6.0
    seed: int = 0

    @classmethod
    def of(cls, job: Job, data: str, **settings: object) -> Source:
        """Return where a job's market is found. Raises ConfigError for settings that do not fit together."""
        source = cls(data, job.record, job.pair_address, **settings)  # type: ignore[arg-type]  # named as the fields
        if not source.is_database and any(v is not None for v in (source.names, source.snapshots, source.from_block)):
            raise ConfigError(f"--names, --snapshots and --from-block go with a database, not with --data {data}")
        if (source.names is None) != (source.snapshots is None):
            raise ConfigError("an external database needs both --names and --snapshots")
        if source.days is not None and not 0 < source.days <= _MOST_DAYS:
            raise ConfigError(f"--days must be above 0 and at most {_MOST_DAYS}")
        return source

    @property
    def is_database(self) -> bool:
        """Whether the data is in a database."""
        return self.data.startswith(_DATABASES)

    @property
    def is_drawn(self) -> bool:
        """Whether chance decides what is found."""
        return self.days is not None or self.data in WEATHERS


@dataclass(frozen=True, slots=True)
class Data:
    """A stretch of a market, held in memory: the pool before it and all its blocks. `digest` is that of all of it."""

    name: str
    info: MarketInfo
    opening: PoolSnapshot
    blocks: Sequence[Block]
    digest: str

    def market(self) -> IndexedMarket:
        """Return the market from the start of the stretch on, for one reader."""
        return IndexedMarket(self.info, HeldBlocks(self.blocks), self.opening)

    def flow(self) -> Flow:
        """Return the calls behind the stretch."""
        return Flow.recover(self.opening, self.blocks, engine=default_engine())


@lru_cache(maxsize=2)
def load(source: Source) -> Data:
    """Return what a source finds; the last ones are remembered. Raises ConfigError, and what databases raise."""
    if source.data in WEATHERS:
        return _made_up(source)
    found = replace(source, days=None, seed=0)
    if source.days is None:
        return _found(found)
    data = _found(found)
    length = _blocks(source.days, data.info)
    window = max(1, min(int(source.window_hours * 3600 / data.info.block_time_s), len(data.blocks)))
    [flow] = draw_futures(
        data.opening, _past(found), count=1, length_blocks=length, window_blocks=window, seed=source.seed
    )
    return _of_flow(f"{data.name}, {source.days:g} days of seed {source.seed}", data.info, flow)


@lru_cache(maxsize=1)
def _past(source: Source) -> Past:
    """Return what is drawn from, for every seed alike."""
    return Past.of(_found(source).flow())


@lru_cache(maxsize=1)
def _found(source: Source) -> Data:
    if source.is_database:
        return asyncio.run(_from_database(source))
    record = records.load_file(Path(source.data)) if source.data != RECORDED else _record(source)
    return Data(record.name, record.info, record.opening, record.logged(), record.digest)


def _record(source: Source) -> Record:
    if source.record is None:
        raise ConfigError("the job names no record; give --data FILE")
    return records.load(source.record)


def _made_up(source: Source) -> Data:
    record = _record(source)
    days = source.days or _MADE_UP_DAYS
    length, weather = _blocks(days, record.info), WEATHERS[source.data]
    step_s = record.info.block_time_s
    flow = draw_market(record.opening, weather, length_blocks=length, block_time_s=step_s, seed=source.seed)
    return _of_flow(f"{source.data} on {record.name}, {days:g} days of seed {source.seed}", record.info, flow)


def _blocks(days: float, info: MarketInfo) -> int:
    return max(1, int(days * _DAY_S / info.block_time_s))


def _of_flow(name: str, info: MarketInfo, flow: Flow) -> Data:
    blocks = tuple(log_blocks(flow))
    return Data(name, info, flow.snapshot, blocks, blocks[-1].block_hash)


async def _from_database(source: Source) -> Data:
    """Return all that is there from the start on. The database is only read."""
    if source.names is None:
        async with await IndexedEvents.open(source.data) as index:
            return await _read(index, await index.market(source.pool, start_block=source.from_block))
    async with await IndexedEvents.open(source.snapshots or "") as index:
        info, snapshot = await index.anchor(source.pool, at_most=source.from_block)
    reader = await ExternalReader.open(source.data, read_names(source.names))
    try:
        market = IndexedMarket(info, reader, anchored(snapshot))
        await market.seek(source.from_block or snapshot.block_number)
        return await _read(reader, market)
    finally:
        await reader.close()


async def _read(reader: PoolEventsReader, market: IndexedMarket) -> Data:
    opening, pool = market.snapshot(), market.info.pair_address
    last = await reader.last_block(pool, market.head + 1)
    if last <= market.head:
        raise ConfigError(f"the database holds nothing of pool {pool} after block {market.head}; index more of it")
    blocks = await reader.blocks(pool, market.head + 1, last)
    digest = hashlib.sha256(f"{opening.digest()}:{blocks}".encode()).hexdigest()
    return Data(f"{pool[:10]} from block {market.head}", market.info, opening, blocks, digest)
