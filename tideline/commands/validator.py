"""`tideline validator`: run the validator against a chain, or against miners named by hand."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fractions import Fraction

import click

from db.job import Job
from db.store import Store
from protocol.errors import ConfigError
from protocol.signing import Signer, keypair_from_uri, load_hotkey, parse_hotkey
from protocol.subtensor import ChainEndpoint
from protocol.units import Hotkey
from simulator.engine import Engine
from simulator.market import Market, MarketInfo
from simulator.recorded import parse_speed
from tideline.chains import ChainAccess, chain_accesses, chain_options
from tideline.console import Console
from tideline.guard import gate, guard
from tideline.markets import open_market
from tideline.wiring import LeaseName, code_version, database_option, engine_option, stop_on_signals, wallet_password
from validator.job_runner import RunnerContext
from validator.ports import Roster
from validator.progress import Observer
from validator.roster import FixedRoster, MetagraphRoster
from validator.service import ServiceSettings, ValidatorService
from validator.subtensor import ValidatorChain
from validator.transport import MinerClient, MinerEndpoint, check_address
from validator.weight_setter import WeightSetter, WeightSettings
from validator.weights_service import (
    SCORING_VERSION,
    RegistrationWatch,
    WallBlockClock,
    WeightsService,
    warn_at_start,
)

METAGRAPH_REFRESH_S = 300.0


@dataclass(frozen=True, slots=True)
class ValidatorOptions:
    """The command's options, read once."""

    network: str
    netuid: int | None
    miners: tuple[MinerEndpoint, ...]
    allow_private: bool
    no_weights: bool
    service: ServiceSettings
    speed: Fraction | None
    chains: Mapping[int, ChainAccess]
    engine: Engine
    database_url: str


@click.command()
@click.option(
    "--subtensor.network",
    "network",
    envvar="BT_NETWORK",
    default="finney",
    show_default=True,
    show_envvar=True,
    help="finney, test, local or a ws(s) URL.",
)
@click.option(
    "--subtensor.chain_endpoint",
    "chain_endpoint",
    envvar="BT_CHAIN_ENDPOINT",
    show_envvar=True,
    metavar="URL",
    help="Your own node, in place of the network's.",
)
@click.option("--netuid", type=click.IntRange(min=1), envvar="NETUID", show_envvar=True, help="The subnet.")
@click.option("--wallet.name", "wallet_name", envvar="BT_WALLET", default="default", show_default=True, help="Wallet.")
@click.option(
    "--wallet.hotkey",
    "wallet_hotkey",
    envvar="BT_WALLET_HOTKEY",
    default="default",
    show_default=True,
    help="Hotkey of the wallet; the coldkey is never touched.",
)
@click.option(
    "--wallet.path",
    "wallet_path",
    envvar="BT_WALLET_PATH",
    default="~/.bittensor/wallets",
    show_default=True,
    help="Where wallets lie.",
)
@click.option("--dev-key", metavar="//NAME", help="Sign with a development key that everybody knows; needs --miner.")
@click.option(
    "--miner",
    "miners",
    multiple=True,
    metavar="HOTKEY@IP:PORT",
    help="Ask this miner instead of those of a subnet (repeatable); no chain is used and no weights are set.",
)
@click.option("--allow-private", is_flag=True, help="Also ask miners on loopback and private addresses.")
@click.option(
    "--neuron.disable_set_weights",
    "no_weights",
    is_flag=True,
    help="Score, but set no weights. Of several validators under one hotkey, one should set them.",
)
@click.option(
    "--max-jobs",
    type=click.IntRange(min=1),
    help="Play at most this many jobs at once; others are left to other validators on the same database.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="Stop after this many evaluation rounds of each job.")
@click.option("--speed", default="1x", show_default=True, help="How fast recorded markets play: 1x, 500x, max.")
@chain_options
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning", show_default=True
)
@engine_option
@database_option
def validator(
    *,
    network: str,
    chain_endpoint: str | None,
    netuid: int | None,
    wallet_name: str,
    wallet_hotkey: str,
    wallet_path: str,
    dev_key: str | None,
    miners: tuple[str, ...],
    allow_private: bool,
    no_weights: bool,
    max_jobs: int | None,
    rounds: int | None,
    speed: str,
    rpcs: tuple[str, ...],
    rpc_quorum: int | None,
    block_times: tuple[str, ...],
    managers: tuple[str, ...],
    log_level: str,
    engine: Engine,
    database_url: str,
) -> None:
    """Run every active job of the database, round after round, and set weights once per epoch.

    A running validator notices added, changed, paused and removed jobs within a second or two; a change takes effect
    at the next round. Stopping it, even with kill -9, costs nobody anything: the round under way becomes inconclusive.
    Several validators may share a database; each job is played by one of them.

    A job with the feed "chain" is played on its pool as it trades: name nodes of its chain with --rpc or TIDELINE_RPC.
    A devnet and Base differ by these settings alone. No port is opened: the validator asks miners and nodes.

    An encrypted hotkey is opened with BT_WALLET_PASSWORD, or with what is in the file BT_WALLET_PASSWORD_FILE. Exit
    code 2: something only you can change is wrong, such as a hotkey that is not registered; one line says what.

    \b
    Examples:
      tideline validator --netuid 98 --wallet.name my --wallet.hotkey validator
      tideline validator --dev-key //Alice --miner 5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty@127.0.0.1:8091 \\
          --allow-private --rounds 2 --speed max
      tideline validator --netuid 98 --rpc 8453=https://node-a.example --rpc 8453=https://node-b.example \\
          --rpc 8453=https://node-c.example --rpc-quorum 2
    """
    if bool(dev_key) != bool(miners):
        raise ConfigError("--dev-key and --miner go together: without a chain both ends are named by hand")
    if not miners and netuid is None:
        raise ConfigError("set --netuid to the subnet, or name miners with --dev-key and --miner")
    options = ValidatorOptions(
        network=chain_endpoint or network,
        netuid=netuid,
        miners=_endpoints(miners, allow_private=allow_private),
        allow_private=allow_private,
        no_weights=no_weights,
        service=ServiceSettings(max_rounds=rounds, max_jobs=max_jobs),
        speed=parse_speed(speed),
        chains=chain_accesses(rpcs, rpc_quorum, block_times, managers),
        engine=engine,
        database_url=database_url,
    )
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if dev_key:
        signer = keypair_from_uri(dev_key)
    else:
        signer = load_hotkey(wallet_name, wallet_hotkey, wallet_path, password=wallet_password())
    asyncio.run(_validate(options, signer))


async def _validate(options: ValidatorOptions, signer: Signer) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(options.database_url, create=False))
        markets: dict[str, MarketInfo] = {}
        console = Console({}, markets, detail=True)
        chain = None if options.miners else await _connect(stack, options, signer)
        client = await stack.enter_async_context(MinerClient(signer, allow_private=options.allow_private))
        roster = FixedRoster(options.miners) if chain is None else _subnet_roster(chain, signer)
        context = RunnerContext(
            store, client, roster, guard, gate, signer, console, code_version(), pool_engine=options.engine
        )

        async def market(job: Job, resume_after: int | None) -> Market:
            opened = await open_market(job, resume_after, options.speed, options.chains)
            markets[job.job_id] = opened.info
            return opened

        service = ValidatorService(
            context, market, options.service, holder=stack.enter_context(LeaseName(options.database_url))
        )
        if chain is None:
            await service.run(stop)
        elif options.no_weights:
            await RegistrationWatch(chain, WallBlockClock(), console).run_beside(service.run(stop), stop)
        else:
            weights = await _weights(chain, store, signer, console)
            await weights.run_beside(service.run(stop), stop)


async def _weights(chain: ValidatorChain, store: Store, signer: Signer, observe: Observer) -> WeightsService:
    settings = WeightSettings()
    await warn_at_start(chain, signer.ss58_address, settings, observe, netuid=chain.netuid)
    last = await store.last_weight_set(chain.netuid, included_only=True)
    setter = WeightSetter(chain, settings, last_set_epoch=None if last is None else last.epoch_index)
    return WeightsService(setter, store, WallBlockClock(), observe, netuid=chain.netuid)


async def _connect(stack: AsyncExitStack, options: ValidatorOptions, signer: Signer) -> ValidatorChain:
    if options.netuid is None:
        raise ConfigError("set --netuid to the subnet")
    endpoint = ChainEndpoint(
        options.network,
        options.netuid,
        fallback_endpoints=_urls("BT_FALLBACK_ENDPOINTS"),
        archive_endpoints=_urls("BT_ARCHIVE_ENDPOINTS"),
    )
    chain = await ValidatorChain.connect(endpoint, signer, version_key=SCORING_VERSION)
    stack.push_async_callback(chain.close)
    await chain.uid()
    return chain


def _urls(variable: str) -> tuple[str, ...] | None:
    """Return the addresses in an environment variable; None, which takes the SDK's own, where it is not set."""
    text = os.environ.get(variable)
    return None if text is None else tuple(url.strip() for url in text.split(",") if url.strip())


def _subnet_roster(chain: ValidatorChain, signer: Signer) -> Roster:
    return MetagraphRoster(chain, Hotkey(signer.ss58_address), refresh_s=METAGRAPH_REFRESH_S, monotonic=time.monotonic)


def _endpoints(texts: tuple[str, ...], *, allow_private: bool) -> tuple[MinerEndpoint, ...]:
    endpoints = tuple(_endpoint(text, allow_private=allow_private) for text in texts)
    if len({endpoint.hotkey for endpoint in endpoints}) < len(endpoints):
        raise ConfigError("--miner names one hotkey twice; leave one out")
    return endpoints


def _endpoint(text: str, *, allow_private: bool) -> MinerEndpoint:
    hotkey, _, address = text.partition("@")
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError as error:
        raise ConfigError(f"--miner {text!r} is not HOTKEY@IP:PORT") from error
    if not hotkey:
        raise ConfigError(f"--miner {text!r} is not HOTKEY@IP:PORT")
    refusal = check_address(host, number, allow_private=allow_private)
    if refusal is not None:
        advice = "" if allow_private else "; add --allow-private for miners of your own"
        raise ConfigError(f"--miner {text!r}: {refusal}{advice}")
    return MinerEndpoint(parse_hotkey(hotkey), host, number)
