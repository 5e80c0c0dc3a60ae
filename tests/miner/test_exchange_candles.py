"""An exchange's candles in the pool's own units and order, from a fake that stands beside the port."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from miner.exchange_candles import ExchangeCandles, FakeExchange, connect, market_of
from miner.feeds import PoolRef, is_sane, with_past
from miner.memory import Memory
from miner.span import LOG_TICK
from miner.strategies.three_force.candles import M15_MS
from protocol.errors import ConfigError, RemoteError

BEGIN_S = 1_700_000_100 // 900 * 900
ETH_USD = [[BEGIN_S * 1000 + n * M15_MS, 2000.0 + n, 2010.0 + n, 1995.0 + n, 2005.0 + n, 12.5] for n in range(700)]


def pool(symbol0: str = "WETH", decimals0: int = 18, symbol1: str = "USDC", decimals1: int = 6) -> PoolRef:
    return PoolRef(8453, "0xab", symbol0, decimals0, symbol1, decimals1, 1000, BEGIN_S + 400 * 900)


async def test_candles_become_raw_token1_per_token0() -> None:
    feed = ExchangeCandles(FakeExchange("fake", {"ETH/USDC": ETH_USD}))
    bars = await feed.candles(pool(), BEGIN_S)
    assert bars[0] == (
        BEGIN_S * 1000,
        *(pytest.approx(p * 1e-12) for p in (2000, 2010, 1995, 2005)),
        12.5,
    )
    assert all(map(is_sane, bars))
    tick = math.log(2405 * 1e-12) / LOG_TICK
    assert len(with_past(Memory(), bars, BEGIN_S + 400 * 900, tick).bars) == 400


async def test_where_the_exchange_prices_the_other_token_candles_are_turned_over() -> None:
    """USDC is token0 here: its price in WETH is highest where the exchange's is lowest."""
    feed = ExchangeCandles(FakeExchange("fake", {"ETH/USDC": ETH_USD}))
    bars = await feed.candles(pool("USDC", 6, "WETH", 18), BEGIN_S)
    assert bars[0][1:5] == tuple(pytest.approx(1e12 / p) for p in (2000, 1995, 2010, 2005))
    assert all(map(is_sane, bars))


@pytest.mark.parametrize("most", [1, 7, 300])
async def test_as_many_requests_are_made_as_it_takes_and_no_more(most: int) -> None:
    exchange = FakeExchange("fake", {"ETH/USDC": ETH_USD[:20]}, most=most)
    bars = await ExchangeCandles(exchange).candles(pool(), BEGIN_S)
    assert [bar[0] for bar in bars] == [int(row[0]) for row in ETH_USD[: min(20, 5 * most)]]
    assert len(exchange.asked) <= 5


async def test_rows_that_are_none_are_left_out() -> None:
    rows = [
        ETH_USD[0],
        [BEGIN_S * 1000 + M15_MS, None, 1, 1, 1, 1],
        [BEGIN_S * 1000 + 2 * M15_MS, 0.0, 1, 1, 1, 1],
        [BEGIN_S * 1000 + 3 * M15_MS, math.nan, 1, 1, 1, 1],
        [BEGIN_S * 1000 + 4 * M15_MS, 1],
    ]
    feed = ExchangeCandles(FakeExchange("fake", {"ETH/USDC": rows}))  # type: ignore[dict-item]  # what must not be
    assert [bar[0] for bar in await feed.candles(pool(), BEGIN_S)] == [BEGIN_S * 1000]


@pytest.mark.parametrize(
    ("symbols", "markets", "found"),
    [
        (("WETH", "USDC"), ["ETH/USDC", "ETH/USD"], ("ETH/USDC", False)),
        (("WETH", "USDC"), ["ETH/USDT", "ETH/USD"], ("ETH/USD", False)),
        (("USDC", "cbBTC"), ["BTC/USD"], ("BTC/USD", True)),
        (("WBTC", "WETH"), ["ETH/BTC"], ("ETH/BTC", True)),
        (("WBTC", "WETH"), ["WBTC/ETH", "ETH/BTC"], ("WBTC/ETH", False)),
        (("W", "USDC"), ["W/USD"], ("W/USD", False)),
        (("PEPE", "WETH"), ["ETH/USD"], None),
        (("ETH/USD", ""), ["ETH/USD"], None),
    ],
)
def test_which_market_stands_for_a_pool(
    symbols: tuple[str, str], markets: list[str], found: tuple[str, bool] | None
) -> None:
    assert market_of(pool(symbols[0], 18, symbols[1], 18), dict.fromkeys(markets)) == found


async def test_an_exchange_that_has_no_such_market_tells_nothing_and_is_closed() -> None:
    exchange = FakeExchange("fake", {"BTC/USD": ETH_USD})
    feed = ExchangeCandles(exchange)
    assert (await feed.candles(pool(), 0), exchange.asked) == ((), [])
    await feed.close()
    assert exchange.is_closed


async def test_what_the_exchange_raises_is_a_peers_fault() -> None:
    class Down(FakeExchange):
        async def load_markets(self) -> dict[str, None]:
            raise LookupError("maintenance")

    with pytest.raises(RemoteError, match=r"LookupError: maintenance .exchange=fake"):
        await ExchangeCandles(Down("fake", {}), faults=(LookupError,)).candles(pool(), 0)


async def test_without_ccxt_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)
    with pytest.raises(ConfigError, match="needs ccxt; install it with: uv sync --inexact --extra cex"):
        await connect("kraken")


async def test_with_ccxt_an_exchange_is_made_by_its_name_and_its_connections_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A module in ccxt's place: what is used of it is its list, its classes, their settings and its base error."""
    made: list[tuple[FakeExchange, Any]] = []

    def kraken(settings: dict[str, Any]) -> FakeExchange:
        made.append((FakeExchange("kraken", {}), settings))
        return made[-1][0]

    monkeypatch.setitem(
        sys.modules,
        "ccxt.async_support",
        SimpleNamespace(exchanges=["kraken"], kraken=kraken, BaseError=LookupError),
    )
    with pytest.raises(ConfigError, match="ccxt knows no exchange 'exchanges'"):
        await connect("exchanges")
    feed = await connect("kraken")
    [(exchange, settings)] = made
    assert (feed.name, settings["enableRateLimit"], settings["session"].closed) == ("kraken", True, False)
    await feed.close()
    assert exchange.is_closed and settings["session"].closed
