"""What a back-test is played on: a record, a file, a pool events database, or what is drawn from any of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from db.job import Job
from protocol.errors import ConfigError
from simulator import records
from simulator.engine import default_engine
from simulator.events import Block
from simulator.flow import Flow
from simulator.indexed import HeldBlocks, IndexedMarket, PoolEventsReader
from simulator.logged import log_blocks
from simulator.market import MarketInfo
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

    data: str = field(repr=False)  # a database's address may hold a password
    record: str | None
    pool: str
    from_block: int | None = None
    names: Path | None = None
    snapshots: str | None = field(default=None, repr=False)
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
        if not source.window_hours > 0:
            raise ConfigError("--window-hours must be above 0")
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
        return self.days is not None or self.is_made_up

    @property
    def is_made_up(self) -> bool:
        """Whether the market is none that ever was."""
        return self.data in WEATHERS

    @property
    def base(self) -> Source:
        """What it is drawn from; itself, where nothing is drawn."""
        return replace(self, data=RECORDED if self.is_made_up else self.data, days=None, seed=0, window_hours=0.0)

    @property
    def title(self) -> str:
        """How it is called to people. Raises as `load` does."""
        name = load(self.base).name
        if not self.is_drawn:
            return name
        kind = f"{self.data} on " if self.is_made_up else ""
        return f"{kind}{name}, {self.days or _MADE_UP_DAYS:g} days of seed {self.seed}"

    @property
    def caveat(self) -> str:
        """What must be known of whatever is found out on it; "" of what really was. Raises as `load` does."""
        if self.is_made_up:
            return "Made up: what is found out here is about the model, until a real market agrees."
        if self.days is None:
            return ""
        data = load(self.base)
        past_days = (data.blocks[-1].timestamp - data.opening.timestamp) / _DAY_S
        return (
            f"Drawn from {past_days:.1f} days of {data.name}: whatever was peculiar to those is in every day of it, so "
            "that no error given here says how it would be on others."
        )

    def count_blocks(self) -> int:
        """Return how many blocks there are, without drawing them. Raises as `load` does."""
        base = load(self.base)
        return _blocks(self.days or _MADE_UP_DAYS, base.info) if self.is_drawn else len(base.blocks)

    def identity(self) -> dict[str, Any]:
        """Return what tells the market from all others, without drawing it. Raises as `load` does."""
        drawn: dict[str, Any] = {"days": self.days, "seed": self.seed}
        if self.is_made_up:
            drawn["weather"] = self.data
        elif self.days is None:
            drawn = {}
        else:
            drawn["window_hours"] = self.window_hours
        return {"digest": _found(self.base).digest, **drawn}


@dataclass(frozen=True, slots=True)
class Data:
    """A stretch of a market, held in memory: the pool before it and all its blocks. `digest` is that of all of it;
    `caveat` is what must be known of whatever is found out on it.
    """

    name: str
    info: MarketInfo
    opening: PoolSnapshot
    blocks: Sequence[Block]
    digest: str
    caveat: str = ""

    def market(self) -> IndexedMarket:
        """Return the market from the start of the stretch on, for one reader."""
        return IndexedMarket(self.info, HeldBlocks(self.blocks), self.opening)

    def flow(self) -> Flow:
        """Return the calls behind the stretch."""
        return Flow.recover(self.opening, self.blocks, engine=default_engine())


@lru_cache(maxsize=2)
def load(source: Source) -> Data:
    """Return what a source finds; the last ones are remembered. Raises ConfigError, and what databases raise."""
    data = _found(source.base)
    if source.is_made_up:
        return _made_up(source, data)
    if source.days is None:
        return data
    window = max(1, min(int(source.window_hours * 3600 / data.info.block_time_s), len(data.blocks)))
    [flow] = draw_futures(
        data.opening,
        _past(source.base),
        count=1,
        length_blocks=source.count_blocks(),
        window_blocks=window,
        seed=source.seed,
    )
    return _of_flow(source, data.info, flow)


@lru_cache(maxsize=1)
def _past(source: Source) -> Past:
    """Return what is drawn from, for every seed alike."""
    return Past.of(_found(source).flow())


@lru_cache(maxsize=1)
def _found(source: Source) -> Data:
    if source.is_database:
        return asyncio.run(_from_database(source))
    if source.data != RECORDED:
        record = records.load_file(Path(source.data))
    elif source.record is not None:
        record = records.load(source.record)
    else:
        raise ConfigError("the job names no record; give --data FILE")
    return Data(record.name, record.info, record.opening, record.logged(), record.digest)


def _made_up(source: Source, data: Data) -> Data:
    info = data.info
    flow = draw_market(
        data.opening,
        WEATHERS[source.data],
        length_blocks=source.count_blocks(),
        block_time_s=info.block_time_s,
        seed=source.seed,
    )
    return _of_flow(source, info, flow)


def _blocks(days: float, info: MarketInfo) -> int:
    return max(1, int(days * _DAY_S / info.block_time_s))


def _of_flow(source: Source, info: MarketInfo, flow: Flow) -> Data:
    blocks = tuple(log_blocks(flow))
    return Data(source.title, info, flow.snapshot, blocks, blocks[-1].block_hash, source.caveat)


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
        data = await _read(reader, market)
        span_s = data.blocks[-1].timestamp - data.opening.timestamp  # the index may hold next to no blocks to tell
        return replace(data, info=replace(info, block_time_s=max(round(span_s / len(data.blocks)), 1)))
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
