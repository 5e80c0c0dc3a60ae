"""Nodes named by URLs alone: what the URLs must be, and which chain is behind them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from protocol.errors import ChainError, ConfigError
from simulator.chain.abi import read_quantity
from simulator.chain.rpc import HttpRpc, Request

_DEADLINE_S = 20.0


def check_urls(urls: Sequence[str]) -> None:
    """Raise ConfigError unless there is at least one, all of http or https. They are not shown: they may hold a key."""
    if not urls:
        raise ConfigError("no --rpc is given; name at least one node, for example --rpc http://127.0.0.1:8545")
    for number, url in enumerate(urls, start=1):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError(f"--rpc number {number} is not an http:// or https:// URL")


async def read_chain_id(urls: Sequence[str]) -> int:
    """Return the chain of the first node that answers."""
    last: ChainError | None = None
    for url in urls:
        rpc = HttpRpc(url)
        try:
            return await rpc.ask(Request("eth_chainId", (), read_quantity), deadline_s=_DEADLINE_S)
        except ChainError as error:
            last = error
        finally:
            await rpc.close()
    raise ChainError(f"no RPC answers: {last}", retryable=True)
