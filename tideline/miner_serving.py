"""A miner's process: what was chosen is opened, served until a signal, and closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from miner.config import MinerConfig
from miner.feeds import Past
from miner.inventory import inventory_of
from miner.server import AllowList, MinerServer
from miner.service import PublicAddress, run
from miner.strategies import build
from miner.subtensor import MinerChain
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery
from protocol.signing import Signer, parse_hotkey
from protocol.subtensor import ChainEndpoint
from protocol.units import Hotkey
from tideline.miner_feeds import FeedChoice, open_feeds
from tideline.miner_options import Subnet, Wallet, signer_of
from tideline.wiring import stop_on_signals

_log = logging.getLogger(__name__)

Observe: TypeAlias = Callable[[RebalanceQuery, Hotkey], None]
Beside: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_RAO_PER_ALPHA = 10**9
_MEMORY = ".tideline/miner-{}.json"
_TUNED = "btr_plus"


@dataclass(frozen=True, slots=True)
class Serving:
    """What `tideline miner` was told."""

    strategy: str
    settings: Mapping[str, str]
    memory_file: Path | None
    host: str
    port: int
    allowed: tuple[str, ...]
    wallet: Wallet
    subnet: Subnet
    feeds: FeedChoice
    is_tuned: bool
    publish: tuple[str, str] | None


async def serve(serving: Serving) -> None:
    """Serve until a signal. Raises ConfigError for what cannot be served, before a key is asked for where it can."""
    _check(serving)
    signer = signer_of(serving.wallet)
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with contextlib.AsyncExitStack() as stack:
        memory = serving.memory_file or Path(_MEMORY.format(signer.ss58_address))
        beside: list[Beside] = []
        helpers: dict[str, Any] = {}
        if not serving.feeds.is_empty:
            past = Past(await open_feeds(serving.feeds))
            stack.push_async_callback(past.close)
            helpers["told"] = past
            beside.append(past.run)
        if serving.is_tuned:
            from miner.tuner import Tuner  # with scipy, which the others need not wait for

            tuner = Tuner(memory.with_name(f"{memory.stem}.tuned.json"), version=version("tideline"))
            helpers["tuning"] = tuner
            beside.append(tuner.run)
        strategy = build(serving.strategy, serving.settings, memory=memory, **helpers)
        observe = None if serving.publish is None else _published(serving.publish, signer, beside, stack)
        await _run(serving, signer, strategy, stop, observe, beside, stack)


def _published(
    publish: tuple[str, str], signer: Signer, beside: list[Beside], stack: contextlib.AsyncExitStack
) -> Observe:
    """Begin to publish what questions show. Raises ConfigError where that cannot be."""
    try:
        from protocol.inventory_socket import Addresses, InventoryPublisher
    except ImportError as error:
        raise ConfigError("--publish needs pyzmq; install it with: uv sync --inexact --extra publish") from error
    publisher = InventoryPublisher(Addresses(*publish), f"{signer.ss58_address}-{uuid.uuid4().hex[:8]}")
    addresses = publisher.bind()
    stack.callback(publisher.close)
    beside.append(publisher.run)
    _log.info("publishing the inventory at %s, snapshots at %s", addresses.updates, addresses.snapshots)
    return lambda query, asker: publisher.publish(inventory_of(query, asker))


def _check(serving: Serving) -> None:
    build(serving.strategy, serving.settings)
    if serving.is_tuned and serving.strategy != _TUNED:
        raise ConfigError(f"--tune knows the settings of {_TUNED} alone")
    if not serving.allowed and serving.subnet.netuid is None:
        raise ConfigError("nobody may ask: give --netuid to answer a subnet's validators, or --allow-validator")
    if serving.allowed and serving.subnet.netuid is not None:
        raise ConfigError("give either --netuid or --allow-validator, not both")


async def _run(
    serving: Serving,
    signer: Signer,
    strategy: Any,
    stop: asyncio.Event,
    observe: Observe | None,
    beside: list[Beside],
    stack: contextlib.AsyncExitStack,
) -> None:
    config, subnet = MinerConfig(host=serving.host, port=serving.port), serving.subnet
    if subnet.netuid is None:
        validators = AllowList(frozenset(parse_hotkey(text) for text in serving.allowed))
        server = MinerServer(signer, strategy, validators, config, version=version("tideline"), observe=observe)
        await run(server, stop, chain=None, address=None, beside=beside)
        return
    chain = MinerChain(
        ChainEndpoint(subnet.network, subnet.netuid),
        signer,
        permit_required=subnet.force_validator_permit,
        min_stake=subnet.validator_min_stake * _RAO_PER_ALPHA,
    )
    stack.push_async_callback(chain.close)
    address = None
    if subnet.external_ip is not None:
        address = PublicAddress(subnet.external_ip, subnet.external_port or serving.port)
    server = MinerServer(signer, strategy, chain, config, version=version("tideline"), observe=observe)
    await run(server, stop, chain=chain, address=address, beside=beside)
