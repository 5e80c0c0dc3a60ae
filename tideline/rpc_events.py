"""A chain's nodes as the simulator's reader of a pool's past: nothing is kept, nothing is indexed first."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from db.pool_events.records import EventRow
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.history import PoolHistory
from simulator.chain.pool_logs import PoolLog
from simulator.events import Block
from simulator.indexed import PoolEventsReader
from tideline.pool_events import event_of

_DEADLINE_S = 20.0


class RpcEvents:
    """The `PoolEventsReader` over endpoints of one chain."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._histories: dict[str, PoolHistory] = {}

    @property
    def chain_id(self) -> int:
        """Which chain it is."""
        return self._endpoints.chain_id

    async def last_block(self, pool: str, first: int) -> int:
        """Return the head, where it is not before `first`."""
        return max(await self._endpoints.head(deadline_s=_DEADLINE_S), first - 1)

    async def blocks(self, pool: str, first: int, last: int) -> tuple[Block, ...]:
        """Return every block of a range with its events. Raises ChainError, SimulationError as `PoolHistory` does."""
        history = self._histories.setdefault(pool, PoolHistory(self._endpoints, pool, deadline_s=_DEADLINE_S))
        found: list[Block] = []
        while first <= last:
            stretch = await history.read(first, last)
            logs = {n: tuple(group) for n, group in groupby(stretch.logs, key=lambda log: log.block_number)}
            found += [_block(header, logs.get(header.number, ())) for header in stretch.headers]
            first = stretch.headers[-1].number + 1
        return tuple(found)

    async def close(self) -> None:
        """Close the endpoints."""
        await self._endpoints.close()


def event_row(log: PoolLog) -> EventRow:
    """Return a log as the row that an index keeps of it."""
    return EventRow(log.kind, log.block_number, log.block_hash, log.log_index, log.tx_hash, log.tx_index, log.fields)


def _block(header: Header, logs: tuple[PoolLog, ...]) -> Block:
    events = tuple(event for log in logs if (event := event_of(event_row(log))) is not None)
    return Block(header.number, header.block_hash, header.parent_hash, header.timestamp, events)


if TYPE_CHECKING:
    _is_a_reader: type[PoolEventsReader] = RpcEvents  # mypy proves the port
