"""A price over real HTTP: what is believed, and what is not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from math import isqrt

import pytest
from aiohttp import web

from executor.price_source import HttpPrices, to_sqrt_price_x96
from protocol.errors import ChainError, ConfigError
from simulator.market import MarketInfo, Token

NOW = 1_700_000_000
INFO = MarketInfo(
    8453, "0x" + "01" * 20, Token("0x" + "02" * 20, "WETH", 18), Token("0x" + "03" * 20, "USDC", 6), 500, 10, 2
)


class Source:
    """A server that says what a test wants."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], web.StreamResponse] = web.Response
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        return self.answer()

    def say(self, text: str, **more: int) -> None:
        self.answer = lambda: web.Response(text=text, **more)  # type: ignore[arg-type] # status alone


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    made = Source()
    app = web.Application()
    app.router.add_get("/{tail:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = site.name
    yield made
    await runner.cleanup()


@pytest.fixture
async def prices(source: Source) -> AsyncIterator[HttpPrices]:
    made = HttpPrices(source.url + "/{chain_id}/{pool}?of={token0}&in={token1}", max_age_s=60, now=lambda: NOW)
    yield made
    await made.close()


async def test_a_price_is_what_a_pool_would_say(source: Source, prices: HttpPrices) -> None:
    for text in ('"3012.5"', "3012.5", '"3.0125e3"'):
        source.say(f'{{"price": {text}, "timestamp": {NOW - 60}}}')
        # 3012.5 USDC of 6 decimals for 1 WETH of 18: 3012.5e6 / 1e18 raw.
        assert await prices.sqrt_price_x96(INFO) == isqrt(30125 * 10**5 * 2**192 // 10**18)
    assert source.asked[0] == f"/8453/{INFO.pair_address}?of={INFO.token0.address}&in={INFO.token1.address}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'{{"price": "1", "timestamp": {NOW - 61}}}', "61 s old"),
        (f'{{"price": "1", "timestamp": {NOW + 61}}}', "-61 s old"),
        (f'{{"price": "0", "timestamp": {NOW}}}', "no price"),
        (f'{{"price": "-1", "timestamp": {NOW}}}', "no price"),
        (f'{{"price": NaN, "timestamp": {NOW}}}', "no price"),
        (f'{{"price": Infinity, "timestamp": {NOW}}}', "no price"),
        (f'{{"price": "1e99999999", "timestamp": {NOW}}}', "no price"),
        (f'{{"price": "1e-60", "timestamp": {NOW}}}', "too small"),
        ('{"price": "1"}', "no price and timestamp"),
        ('{"price": "1", "timestamp": "soon"}', "no price and timestamp"),
        ('{"price": "1", "timestamp": Infinity}', "no price and timestamp"),
        ("[]", "no price and timestamp"),
        ("[" * 60_000, "no price and timestamp"),
        ("3012.5", "no price and timestamp"),
        ("not JSON", "no price and timestamp"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "no price and timestamp"),
        (" " * 70_000, "too long"),
    ],
)
async def test_what_is_no_price_is_not_believed(source: Source, prices: HttpPrices, text: str, says: str) -> None:
    source.say(text)
    with pytest.raises(ChainError, match=says) as caught:
        await prices.sqrt_price_x96(INFO)
    assert caught.value.retryable


async def test_a_source_that_is_down_is_not_waited_for_long(source: Source) -> None:
    made = HttpPrices(source.url, max_age_s=60, now=lambda: NOW, deadline_s=0.2)
    source.say(f'{{"price": "1", "timestamp": {NOW}}}', status=302)
    with pytest.raises(ChainError, match="HTTP 302"):
        await made.sqrt_price_x96(INFO)
    gone = HttpPrices("http://127.0.0.1:1/", max_age_s=60, now=lambda: NOW)
    with pytest.raises(ChainError, match="ClientConnectorError"):
        await gone.sqrt_price_x96(INFO)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and never answers
        port = silent.getsockname()[1]
        slow = HttpPrices(f"http://127.0.0.1:{port}/", max_age_s=60, now=lambda: NOW, deadline_s=0.2)
        with pytest.raises(ChainError, match="no answer within"):
            await slow.sqrt_price_x96(INFO)
    for one in (made, gone, slow):
        await one.close()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x/{who}", "http://x/{", "http://x/{0}"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="--price-url"):
        HttpPrices(url, max_age_s=60, now=lambda: NOW)


def test_a_price_of_one_is_a_root_of_one() -> None:
    assert to_sqrt_price_x96(Decimal(1), 18, 18) == 2**96
    assert to_sqrt_price_x96(Decimal("1e-12"), 6, 18) == 2**96
