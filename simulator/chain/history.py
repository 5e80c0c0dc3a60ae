"""A pool's past, stretch after stretch: headers that follow each other by hash, and every log that is in them.

How many blocks a node tells the logs of in one answer is its own secret, kept in words that no two nodes share. So the
stretch is halved whenever that question fails, and grows again while it succeeds.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import ChainError, SimulationError
from simulator.chain.abi import read_hash, read_quantity, topic
from simulator.chain.blocks import Header, check_log, expects_logs, header_request
from simulator.chain.pool_logs import KEPT, PoolLog, is_kept, is_pools_own, read_pool_log
from simulator.chain.rpc import BadAnswer, Refused, Request, Rpc, T

_BATCH = 100
_REQUESTS_AT_ONCE = 4
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Stretch:
    """Unbroken blocks, oldest first, and all logs of a pool in them that are kept, in chain order."""

    headers: tuple[Header, ...]
    logs: tuple[PoolLog, ...]


@dataclass(slots=True)
class StretchLength:
    """How many blocks to ask for: half as many after a failure, half as many again after a success."""

    most: int
    blocks: int

    def shrink(self, asked: int) -> bool:
        """Take half of what was asked; False when that was one block, so that the length is not what is wrong."""
        self.blocks = max(asked // 2, 1)
        return asked > 1

    def grow(self) -> None:
        """Grow by a half, up to the most."""
        self.blocks = min(self.blocks + max(self.blocks // 2, 1), self.most)


class PoolHistory:
    """Reads a pool's past from a chain."""

    def __init__(self, rpc: Rpc, pair_address: str, *, deadline_s: float, most_blocks: int = 2000) -> None:
        self._rpc = rpc
        self._pair_address = pair_address
        self._deadline_s = deadline_s
        self._at_once = asyncio.Semaphore(_REQUESTS_AT_ONCE)
        self.length = StretchLength(most_blocks, most_blocks)
        self.batch = StretchLength(_BATCH, _BATCH)

    async def header(self, number: int) -> Header | None:
        """Return the block of a number, None where the chain has none."""
        return await self._rpc.ask(header_request(number), deadline_s=self._deadline_s)

    async def read(self, first: int, last: int) -> Stretch:
        """Return a stretch that begins with `first` and ends with `last` or before.

        Raises a retryable ChainError when no node tells of it, or the chain changes all the while; SimulationError when
        the pool did what no Uniswap V3 pool does.
        """
        headers = await self._unbroken(first, last)
        while True:
            try:
                logs = await self._logs(headers)
            except ChainError:
                if not self.length.shrink(len(headers)):
                    raise
                is_still_there = await self.header(headers[-1].number) == headers[-1]
                headers = headers[: self.length.blocks] if is_still_there else await self._unbroken(first, last)
                continue
            if len(headers) == self.length.blocks:
                self.length.grow()
            return Stretch(headers, logs)

    async def _unbroken(self, first: int, last: int) -> tuple[Header, ...]:
        """Return as many headers as are to be asked for, each the child of the one before."""
        for _ in range(_ATTEMPTS):
            headers = await self._headers(first, min(first + self.length.blocks - 1, last))
            if all(after.parent_hash == before.block_hash for before, after in itertools.pairwise(headers)):
                return headers
        # Taken back between two answers, or told by nodes that disagree.
        raise ChainError("the chain changes while it is read", retryable=True, block=first)

    async def _headers(self, first: int, last: int) -> tuple[Header, ...]:
        found = await self._ask_all([header_request(number) for number in range(first, last + 1)])
        headers = tuple(header for header in found if header is not None)
        if len(headers) != last - first + 1:
            raise ChainError("a block below the head is missing", retryable=True, first_block=first, last_block=last)
        return headers

    async def _ask_all(self, requests: Sequence[Request[T]]) -> list[T]:
        """Ask many questions in batches, a few at once; in smaller ones for good where a node refuses."""

        async def some(start: int) -> list[T]:
            async with self._at_once:
                return await self._rpc.ask_all(requests[start : start + size], deadline_s=self._deadline_s)

        while True:
            size = self.batch.blocks
            try:
                parts = await asyncio.gather(*(some(start) for start in range(0, len(requests), size)))
            except Refused:
                if not self.batch.shrink(min(size, len(requests))):
                    raise
            else:
                return [answer for part in parts for answer in part]

    async def _logs(self, headers: Sequence[Header]) -> tuple[PoolLog, ...]:
        """Return the logs of these blocks.

        Where a bloom expects some and there are none, the block itself is asked. If that finds any, the answer was cut
        off somewhere, perhaps inside a block, and every block is asked itself.
        """
        place = {"fromBlock": hex(headers[0].number), "toBlock": hex(headers[-1].number)}
        logs = await self._rpc.ask(self._request(place, headers), deadline_s=self._deadline_s)
        seen = {log.block_number for log in logs}
        told = [header for header in headers if header.number in seen]
        silent = [header for header in headers if header.number not in seen]
        doubtful = [h for h in silent if expects_logs(h, self._pair_address, map(topic, KEPT))]
        forgotten = await self._logs_by_block(doubtful)
        if forgotten:
            logs = forgotten + await self._logs_by_block(told)
        return tuple(sorted(logs, key=lambda log: (log.block_number, log.log_index)))

    async def _logs_by_block(self, headers: Sequence[Header]) -> list[PoolLog]:
        requests = [self._request({"blockHash": header.block_hash}, [header]) for header in headers]
        return [log for logs in await self._ask_all(requests) for log in logs]

    def _request(self, place: dict[str, str], headers: Sequence[Header]) -> Request[list[PoolLog]]:
        """Ask for the pool's logs; the headers are the measure of what is believed."""
        by_number = {header.number: header for header in headers}

        def read(value: Any) -> list[PoolLog]:
            if not isinstance(value, list):
                raise BadAnswer("logs that are not a list")
            found: dict[tuple[int, int], PoolLog | None] = {}
            for item in value:
                number = read_quantity(item.get("blockNumber")) if isinstance(item, dict) else -1
                if number not in by_number:
                    raise BadAnswer("a log of a block that was not asked for", block=number)
                log = check_log(item, by_number[number], self._pair_address)
                key = (number, read_quantity(log.get("logIndex")))
                if key in found:
                    raise BadAnswer("a log given twice", block=number)
                found[key] = self._kept(log, number, key[1])
            return [log for log in found.values() if log is not None]

        request = {"address": self._pair_address, **place}
        return Request("eth_getLogs", (request,), read, is_decisive=True)

    def _kept(self, log: dict[str, Any], number: int, log_index: int) -> PoolLog | None:
        if not log["topics"] or not is_pools_own(name := read_hash(log["topics"][0])):
            where = {"pool": self._pair_address, "block": number, "log_index": log_index}
            raise SimulationError("a log that no Uniswap V3 pool emits; this pool cannot be indexed", **where)
        return read_pool_log(log) if is_kept(name) else None
