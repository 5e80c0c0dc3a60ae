"""Where a miner hears of prices that no query showed it: the port, and what keeps the answers ready beside the queries.

A question is never kept waiting for a feed. What was told so far is used, what is missing is fetched meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from miner.memory import MAX_BARS, Memory
from miner.span import LOG_TICK
from miner.strategies.three_force.candles import M15_MS, Candle
from protocol.errors import TidelineError
from protocol.messages import RebalanceQuery

_log = logging.getLogger(__name__)
_POOLS = 64  # what was asked about longest ago is forgotten first
_FARTHEST = 0.2  # as a log of a price ratio: who is farther off speaks of another pair
_M15_S = M15_MS // 1000
_Key: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class PoolRef:
    """What a feed must know of a pool: where it is, what its tokens are, and which block was asked about last."""

    chain_id: int
    pair_address: str  # lower case
    symbol0: str
    decimals0: int
    symbol1: str
    decimals1: int
    block_number: int
    timestamp: int

    @classmethod
    def of(cls, query: RebalanceQuery) -> PoolRef:
        """Return the pool of a question."""
        pool = query.context
        return cls(
            chain_id=query.chain_id,
            pair_address=query.pair_address.lower(),
            symbol0=pool.token0.symbol,
            decimals0=pool.token0.decimals,
            symbol1=pool.token1.symbol,
            decimals1=pool.token1.decimals,
            block_number=query.block_number,
            timestamp=pool.timestamp,
        )

    @property
    def key(self) -> _Key:
        """What tells it from other pools."""
        return self.chain_id, self.pair_address


class CandleFeed(Protocol):
    """Tells a pool's past as M15 candles: raw token1 per token0, ascending, complete; none where it knows nothing."""

    @property
    def name(self) -> str: ...

    async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
        """Return the candles that begin at `since_s` or later. Raises TidelineError, OSError or TimeoutError."""

    async def close(self) -> None:
        """Release what is held. Idempotent."""


@dataclass(slots=True)
class FixedCandles:
    """A feed that knows what it is given."""

    told: Sequence[Candle]
    name: str = "fixed"

    async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
        """Return what was given, from then on."""
        return [bar for bar in self.told if bar[0] >= since_s * 1000]

    async def close(self) -> None:
        """Do nothing."""


def with_past(memory: Memory, told: Sequence[Candle], now_s: int, tick: float) -> Memory:
    """Return a memory that also holds what a feed told.

    Parameters: memory  of the job   ·   told  of its pool   ·   now_s, tick  chain time and price of the question
    Returns:    bars of both; where both have one the feed's, which saw every price. Bars that are not over, and all of
                a feed that is 20 % away from what the questions showed, are left out: nothing looks ahead, and nobody's
                error moves a range
    Rounding:   floats
    Raises:     nothing
    Source:     ours
    """
    usable = [bar for bar in told if bar[0] + M15_MS <= now_s * 1000 and is_sane(bar)]
    if not usable:
        return memory
    own = {bar[0]: bar for bar in memory.bars}
    # The price asked about, or where the feed is old the last one that both know: one of the two must agree.
    pairs = [(usable[-1][4], math.exp(tick * LOG_TICK))]
    pairs += [(bar[4], own[bar[0]][4]) for bar in usable if bar[0] in own][-1:]
    if all(abs(math.log(close / shown)) > _FARTHEST for close, shown in pairs):
        return memory
    bars = {**own, **{bar[0]: bar for bar in usable}}
    return replace(memory, bars=tuple(bars[start] for start in sorted(bars))[-MAX_BARS:])


def is_sane(bar: Candle) -> bool:
    """Whether a candle stands on the grid, and its prices are numbers in their order."""
    start, first, high, low, close, volume = bar
    prices = all(math.isfinite(part) for part in (first, high, low, close, volume))
    return prices and start % M15_MS == 0 and 0 < low <= min(first, close) <= max(first, close) <= high


class Past:
    """What feeds have told of the pools asked about. `bars` may be called from any thread; `run` fills it.

    The feeds are asked in order, and the first that knows a pool is believed. One that fails or hangs costs its turn.
    """

    def __init__(
        self,
        feeds: Sequence[CandleFeed],
        *,
        every_s: float = 300.0,
        deadline_s: float = 120.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feeds = tuple(feeds)
        self._every_s = every_s
        self._deadline_s = deadline_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._asked: dict[_Key, PoolRef] = {}
        self._told: dict[_Key, tuple[Candle, ...]] = {}
        self._due_s: dict[_Key, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._said: set[str] = set()

    def bars(self, query: RebalanceQuery) -> tuple[Candle, ...]:
        """Return what is known by now of a question's pool, and see to it that more will be."""
        pool = PoolRef.of(query)
        with self._lock:
            is_new = self._asked.pop(pool.key, None) is None
            self._asked[pool.key] = pool
            while len(self._asked) > _POOLS:
                forgotten = next(iter(self._asked))
                for known in (self._asked, self._told, self._due_s):
                    known.pop(forgotten, None)
            told = self._told.get(pool.key, ())
        loop = self._loop
        if is_new and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._news.set)
        return told

    async def run(self) -> None:
        """Keep up with every pool asked about, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._news.clear()
                with self._lock:
                    pools = [p for p in self._asked.values() if self._due_s.get(p.key, -math.inf) <= self._clock_s()]
                for pool in pools:
                    await self._refresh(pool)
                try:
                    async with asyncio.timeout(self._every_s):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            self._loop = None

    async def close(self) -> None:
        """Close every feed. Idempotent."""
        for feed in self._feeds:
            await feed.close()

    async def _refresh(self, pool: PoolRef) -> None:
        oldest_s = (pool.timestamp // _M15_S - MAX_BARS) * _M15_S
        for feed in self._feeds:
            try:
                async with asyncio.timeout(self._deadline_s):
                    told = await feed.candles(pool, oldest_s)
            except (TidelineError, OSError, TimeoutError) as error:
                self._say(f"feed {feed.name} told nothing of {pool.pair_address}: {str(error) or 'too slow'}")
                continue
            if told:
                self._keep(pool, feed, told)
                break
        with self._lock:
            if pool.key in self._asked:
                self._due_s[pool.key] = self._clock_s() + self._every_s

    def _keep(self, pool: PoolRef, feed: CandleFeed, told: Sequence[Candle]) -> None:
        with self._lock:
            is_first = pool.key not in self._told
            if pool.key in self._asked:
                self._told[pool.key] = tuple(told)[-MAX_BARS:]
        if is_first:
            _log.info("feed %s knows %d bars of %s", feed.name, len(told), pool.pair_address)

    def _say(self, text: str) -> None:
        """Warn of the same thing once: a feed that is down is down for hours."""
        if text not in self._said and len(self._said) < _POOLS:
            self._said.add(text)
            _log.warning("%s", text)
