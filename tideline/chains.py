"""Which chains a process can read, and through whom: options, the environment, and what is known of chains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from protocol.addresses import is_valid_address
from protocol.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ChainAccess:
    """How one chain is read. `manager` is the position manager that holds vaults' positions, if one does."""

    urls: tuple[str, ...]
    quorum: int
    block_time_s: int
    manager: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What never changes about a public chain."""

    block_time_s: int
    manager: str


_KNOWN = {
    1: _Known(12, "0xC36442b4a4522E871399CD717aBDD847Ab11FE88"),
    8453: _Known(2, "0x03a520b32C04BF3bEEf7BEb72E919cf822Ed34f1"),
}

_OPTIONS = (
    click.option(
        "--rpc",
        "rpcs",
        multiple=True,
        envvar="TIDELINE_RPC",
        show_envvar=True,
        metavar="CHAIN_ID=URL",
        help="Read this chain through this node (repeatable; in the environment separated by spaces, where other users "
        "of the machine do not see the keys in URLs). Several nodes of one chain stand in for each other.",
    ),
    click.option(
        "--rpc-quorum",
        type=click.IntRange(min=1),
        envvar="TIDELINE_RPC_QUORUM",
        show_envvar=True,
        help="So many nodes must agree on whatever decides money. Default: 2 for a chain with 3 nodes or more, else 1.",
    ),
    click.option(
        "--block-time",
        "block_times",
        multiple=True,
        envvar="TIDELINE_BLOCK_TIME",
        show_envvar=True,
        metavar="CHAIN_ID=SECONDS",
        help="Seconds between blocks; known for chains 1 (12) and 8453 (2).",
    ),
    click.option(
        "--position-manager",
        "managers",
        multiple=True,
        envvar="TIDELINE_POSITION_MANAGER",
        show_envvar=True,
        metavar="CHAIN_ID=ADDRESS",
        help="The contract that holds the vaults' positions; known for chains 1 and 8453.",
    ),
)


def chain_options(command: F) -> F:
    """Add the options that `chain_accesses` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chain_accesses(
    rpcs: Sequence[str], rpc_quorum: int | None, block_times: Sequence[str], managers: Sequence[str]
) -> dict[int, ChainAccess]:
    """Return how each chain is read. Raises ConfigError, naming no URL: it may hold a key."""
    urls = rpc_urls(rpcs)
    seconds = dict(_pairs("--block-time", block_times))
    contracts = dict(_pairs("--position-manager", managers))
    return {
        chain_id: ChainAccess(
            urls=of_chain,
            quorum=_quorum(chain_id, len(of_chain), rpc_quorum),
            block_time_s=_block_time(chain_id, seconds.get(chain_id)),
            manager=_manager(chain_id, contracts.get(chain_id)),
        )
        for chain_id, of_chain in urls.items()
    }


def rpc_urls(rpcs: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Return the nodes of each chain, each once. Raises ConfigError, naming no URL."""
    urls: dict[int, list[str]] = {}
    for chain_id, url in _pairs("--rpc", rpcs):
        urls.setdefault(chain_id, []).append(_url(chain_id, url))
    return {chain_id: tuple(dict.fromkeys(of_chain)) for chain_id, of_chain in urls.items()}


def _pairs(option: str, texts: Sequence[str]) -> list[tuple[int, str]]:
    found = []
    for text in texts:
        chain, separator, value = text.partition("=")
        if not (chain.isascii() and chain.isdecimal() and separator and value):
            raise ConfigError(f"{option} wants CHAIN_ID=VALUE, for example 8453=...")
        found.append((int(chain), value))
    return found


def _url(chain_id: int, url: str) -> str:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https", "ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        is_one = False
    if not is_one:
        raise ConfigError(f"--rpc of chain {chain_id} wants a URL of http, https, ws or wss")
    return url


def _quorum(chain_id: int, nodes: int, wanted: int | None) -> int:
    if wanted is None:
        return 2 if nodes >= 3 else 1
    if wanted > nodes:
        raise ConfigError(f"--rpc-quorum {wanted} needs as many nodes of chain {chain_id}; --rpc names {nodes}")
    return wanted


def _block_time(chain_id: int, text: str | None) -> int:
    if text is None:
        known = _KNOWN.get(chain_id)
        if known is None:
            raise ConfigError(f"the block time of chain {chain_id} is not known; give --block-time {chain_id}=SECONDS")
        return known.block_time_s
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 3600):
        raise ConfigError(f"--block-time of chain {chain_id} wants whole seconds, 1 to 3600")
    return int(text)


def _manager(chain_id: int, address: str | None) -> str | None:
    if address is None:
        known = _KNOWN.get(chain_id)
        return None if known is None else known.manager
    if not is_valid_address(address):
        raise ConfigError(f"--position-manager of chain {chain_id} wants an address")
    return address
