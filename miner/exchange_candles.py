"""Candles of an exchange, through ccxt where it is installed (the extra `cex`)."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from miner.feeds import CandleFeed, PoolRef
from miner.memory import MAX_BARS
from miner.strategies.three_force.candles import M15_MS, Candle
from protocol.errors import ConfigError, RemoteError

_LIMIT = 300  # candles a request, which every exchange gives
_REQUESTS = 1 + MAX_BARS // 100
_WRAPPINGS = ("W", "cb", "t")  # WETH, cbBTC, tBTC: on an exchange ETH and BTC
_DOLLARS = {"USDC": ("USDC", "USD", "USDT"), "USDT": ("USDT", "USD", "USDC"), "DAI": ("DAI", "USD", "USDC")}


class Exchange(Protocol):
    """What is used of ccxt's asynchronous exchanges."""

    @property
    def id(self) -> str: ...

    async def load_markets(self) -> Mapping[str, Any]: ...

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> Sequence[Sequence[float]]: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class FakeExchange:
    """An exchange that gives what it was given, so many candles a request, as real ones do."""

    id: str
    ohlcv: Mapping[str, Sequence[Sequence[float]]]
    most: int = _LIMIT
    asked: list[tuple[str, int]] = field(default_factory=list)
    is_closed: bool = False

    async def load_markets(self) -> Mapping[str, Any]:
        """Return a market for each symbol."""
        return dict.fromkeys(self.ohlcv)

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None, limit: int | None
    ) -> Sequence[Sequence[float]]:
        """Return the first candles from then on."""
        self.asked.append((symbol, since or 0))
        rows = [row for row in self.ohlcv[symbol] if row[0] >= (since or 0)]
        return rows[: min(self.most, limit or self.most)]

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True


class ExchangeCandles:
    """The `CandleFeed` over an exchange. `faults` are what the exchange raises; `session` is closed with it."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        faults: tuple[type[Exception], ...] = (),
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._exchange = exchange
        self._faults = faults
        self._session = session
        self._markets: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The exchange's own."""
        return self._exchange.id

    async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
        """Return candles of the market whose tokens the pool's stand for; none where there is no such market."""
        try:
            if self._markets is None:
                self._markets = await self._exchange.load_markets()
            found = market_of(pool, self._markets)
            if found is None:
                return ()
            symbol, is_inverse = found
            return await self._read(pool, symbol, is_inverse=is_inverse, since_s=since_s)
        except self._faults as error:
            raise RemoteError(f"{type(error).__name__}: {error}"[:200], exchange=self.name) from error

    async def _read(self, pool: PoolRef, symbol: str, *, is_inverse: bool, since_s: int) -> list[Candle]:
        scale = 10.0 ** (pool.decimals1 - pool.decimals0)
        rows: dict[int, Candle] = {}
        at_ms = since_s * 1000
        for _ in range(_REQUESTS):
            got = await self._exchange.fetch_ohlcv(symbol, "15m", at_ms, _LIMIT)
            new = [bar for row in got if (bar := _bar(row, scale, is_inverse=is_inverse)) is not None]
            rows.update((bar[0], bar) for bar in new if bar[0] >= at_ms)
            if not new or new[-1][0] < at_ms:
                break
            at_ms = new[-1][0] + M15_MS
            if at_ms > pool.timestamp * 1000:
                break
        return [rows[start] for start in sorted(rows)]

    async def close(self) -> None:
        """Close its connections."""
        await self._exchange.close()
        if self._session is not None:
            await self._session.close()


async def connect(name: str) -> ExchangeCandles:
    """Return the feed over an exchange of ccxt's. Raises ConfigError where there is none, or no ccxt."""
    try:
        library = importlib.import_module("ccxt.async_support")
    except ImportError as error:
        raise ConfigError(f"--exchange {name} needs ccxt; install it with: uv sync --inexact --extra cex") from error
    if name not in library.exchanges:
        raise ConfigError(f"ccxt knows no exchange {name!r:.40}; try kraken, coinbase or binance")
    session = aiohttp.ClientSession()  # of our own: what `close` of ccxt's own one takes differs between its versions
    exchange: Exchange = getattr(library, name)({"enableRateLimit": True, "session": session})
    return ExchangeCandles(exchange, faults=(library.BaseError,), session=session)


def market_of(pool: PoolRef, markets: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Return (symbol, whether it prices token1 in token0) of the market of a pool's two tokens, None without one.

    Parameters: pool  its symbols are the contracts' own words: anybody may call a token WETH, so that what is told is
                also measured against the pool's price   ·   markets  by ccxt's symbols, BASE/QUOTE
    Returns:    the market of the tokens themselves before one of what they wrap, dollars for dollars last
    Rounding:   none
    Raises:     nothing
    Source:     ours
    """
    for token0, token1 in itertools.product(_called(pool.symbol0), _called(pool.symbol1)):
        if f"{token0}/{token1}" in markets:
            return f"{token0}/{token1}", False
        if f"{token1}/{token0}" in markets:
            return f"{token1}/{token0}", True
    return None


def _called(symbol: str) -> tuple[str, ...]:
    bare = [symbol.removeprefix(w) for w in _WRAPPINGS if symbol.startswith(w) and len(symbol) > len(w) + 1]
    return (*_DOLLARS.get(symbol, (symbol,)), *bare)


def _bar(row: Sequence[float], scale: float, *, is_inverse: bool) -> Candle | None:
    """Return a row of an exchange as a candle in raw units; None where it is no such row."""
    if len(row) < 6 or None in row[:6] or not all(map(math.isfinite, row[:6])) or min(row[1:5]) <= 0:
        return None
    start, first, high, low, close, volume = row[:6]
    if is_inverse:
        first, high, low, close = 1 / first, 1 / low, 1 / high, 1 / close
    return int(start), first * scale, high * scale, low * scale, close * scale, float(volume)


if TYPE_CHECKING:
    _is_a_feed: type[CandleFeed] = ExchangeCandles  # mypy proves the port
