"""Where a miner may hear of prices besides its queries: options, and what is opened for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from miner.feeds import CandleFeed
from protocol.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_RPC_BARS = 96  # a day: every block of it is asked for

_OPTIONS = (
    click.option(
        "--events",
        metavar="URL",
        help="Pool events database of `tideline index`, read only: past prices of the pools asked about.",
    ),
    click.option("--external-events", metavar="URL", help="Somebody else's, read only; needs --external-names."),
    click.option(
        "--external-names",
        type=click.Path(dir_okay=False, path_type=Path),
        help="TOML file that names its tables (docs/indexer.md).",
    ),
    click.option(
        "--rpc",
        "rpcs",
        multiple=True,
        metavar="CHAIN_ID=URL",
        envvar="TIDELINE_MINER_RPC",
        show_envvar=True,
        help="Node to read a pool's last day from; repeatable.",
    ),
    click.option("--exchange", metavar="NAME", help="Exchange whose candles to read, through ccxt: kraken, coinbase …"),
)


@dataclass(frozen=True, slots=True)
class FeedChoice:
    """What was chosen, in the order in which it is asked: the pool's own prices first."""

    events: str | None = None
    external_events: str | None = None
    external_names: Path | None = None
    rpcs: tuple[str, ...] = ()
    exchange: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether queries are all there is."""
        return not (self.events or self.external_events or self.rpcs or self.exchange)


def feed_options(command: F) -> F:
    """Add the options that make a `FeedChoice`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


async def open_feeds(choice: FeedChoice) -> tuple[CandleFeed, ...]:
    """Open what was chosen. Raises ConfigError where that cannot be, with nothing left open."""
    feeds: list[CandleFeed] = []
    try:
        await _open(choice, feeds)
    except BaseException:
        for feed in feeds:
            await feed.close()
        raise
    return tuple(feeds)


async def _open(choice: FeedChoice, feeds: list[CandleFeed]) -> None:
    # Imported here, each for those who chose it: the database and web3 take a second to load.
    from miner.event_candles import EventCandles

    if choice.events is not None:
        from tideline.pool_events import IndexedEvents

        index = await IndexedEvents.open(choice.events)
        feeds.append(EventCandles("events", index, chain_id=index.chain_id))
    if choice.external_events is not None:
        from tideline.external_events import ExternalReader, read_names

        if choice.external_names is None:
            raise ConfigError("--external-events needs --external-names, a TOML file that names its tables")
        external = await ExternalReader.open(choice.external_events, read_names(choice.external_names))
        feeds.append(EventCandles("external-events", external, chain_id=None))
    if choice.rpcs:
        from simulator.chain.endpoints import Endpoints
        from tideline.chains import rpc_urls
        from tideline.rpc_events import RpcEvents

        for chain_id, urls in rpc_urls(choice.rpcs).items():
            reader = RpcEvents(Endpoints.over_http(urls, chain_id=chain_id))
            feeds.append(EventCandles(f"rpc-{chain_id}", reader, chain_id=chain_id, most_bars=_RPC_BARS))
    if choice.exchange is not None:
        from miner.exchange_candles import connect

        feeds.append(await connect(choice.exchange))
