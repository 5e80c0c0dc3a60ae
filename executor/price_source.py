"""A price from outside the chain, against which the pool's is held."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isqrt
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from protocol.errors import ChainError, ConfigError
from protocol.units import Q192
from simulator.market import MarketInfo

_MAX_BYTES = 2**16
_MAX_DIGITS = 60
_PLACES = ("chain_id", "pool", "token0", "token1")


class PriceSource(Protocol):
    """Knows what a pool's token0 is worth in token1, elsewhere."""

    async def sqrt_price_x96(self, info: MarketInfo) -> int:
        """Return the price as a pool would say it. Raises a retryable ChainError where there is none to be had."""

    async def close(self) -> None:
        """Release connections. Idempotent."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Whole token1 for one whole token0, and when that was so, in unix seconds."""

    price: Decimal
    timestamp: int


class HttpPrices:
    """Asks a URL, in which {chain_id}, {pool}, {token0} and {token1} stand for a pool's. It must answer with a JSON
    object of `price`, whole token1 for one whole token0 (text or number), and `timestamp`, in unix seconds.
    """

    def __init__(self, url: str, *, max_age_s: int, now: Callable[[], int], deadline_s: float = 5.0) -> None:
        """Raises ConfigError when the URL is none. It is not shown: it may hold a key."""
        try:
            parts = urlsplit(url.format(**dict.fromkeys(_PLACES, "0")))
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"--price-url may hold {{{'}, {'.join(_PLACES)}}} and no other braces") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("--price-url is not an http:// or https:// URL")
        self._url, self._name = url, str(parts.hostname)
        self._max_age_s, self._now, self._deadline_s = max_age_s, now, deadline_s
        self._session: aiohttp.ClientSession | None = None

    async def sqrt_price_x96(self, info: MarketInfo) -> int:
        """Return the price as a pool would say it."""
        token0, token1 = info.token0.address, info.token1.address
        url = self._url.format(chain_id=info.chain_id, pool=info.pair_address, token0=token0, token1=token1)
        quote = self._read(await self._get(url))
        age = self._now() - quote.timestamp
        if abs(age) > self._max_age_s:
            raise self._down(f"its price is {age} s old, at most {self._max_age_s}")
        found = to_sqrt_price_x96(quote.price, info.token0.decimals, info.token1.decimals)
        if found == 0:
            raise self._down("its price is too small for any pool")
        return found

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, url: str) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(self._deadline_s), self._session.get(url, allow_redirects=False) as response:
                content = await response.content.read(_MAX_BYTES)
                if response.status != 200 or not response.content.at_eof():
                    raise self._down(f"HTTP {response.status}, or an answer too long")
                return content
        except TimeoutError as error:
            raise self._down(f"no answer within {self._deadline_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._down(type(error).__name__) from error

    def _read(self, content: bytes) -> Quote:
        try:
            value: Any = json.loads(content, parse_float=Decimal, parse_int=Decimal)
            price, timestamp = Decimal(value["price"]), int(Decimal(value["timestamp"]))
        except (ValueError, KeyError, TypeError, InvalidOperation, OverflowError, RecursionError) as error:
            raise self._down("its answer has no price and timestamp") from error
        if not price.is_finite() or price <= 0 or abs(price.adjusted()) > _MAX_DIGITS:
            raise self._down("its price is no price")
        return Quote(price, timestamp)

    def _down(self, why: str) -> ChainError:
        return ChainError(f"the price source does not answer as it should: {why}", retryable=True, source=self._name)


def to_sqrt_price_x96(price: Decimal, decimals0: int, decimals1: int) -> int:
    """Return a price as the square root that a pool would say.

    Parameters: price  whole token1 for one whole token0, > 0   ·   decimals0, decimals1  of the tokens
    Returns:    Q64.96
    Rounding:   floor
    Source:     v3-core, the meaning of sqrtPriceX96
    """
    numerator, denominator = price.as_integer_ratio()
    return isqrt(numerator * 10**decimals1 * Q192 // (denominator * 10**decimals0))
