"""`tideline validator`: run the validator against a chain, or against miners named by hand."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fractions import Fraction

import click

from db.job import Job
from db.store import Store
from protocol.errors import ConfigError
from protocol.signing import Signer, keypair_from_uri
from protocol.units import Hotkey
from simulator import records
from simulator.market import Market
from simulator.recorded import parse_speed
from tideline.console import Console
from tideline.guard import guard
from tideline.markets import open_market
from tideline.wiring import code_version, database_option, stop_on_signals
from validator.job_runner import RunnerContext
from validator.ports import Roster
from validator.roster import FixedRoster, MetagraphRoster
from validator.service import ServiceSettings, ValidatorService
from validator.subtensor import ChainEndpoint, ValidatorChain, load_hotkey
from validator.transport import MinerClient, MinerEndpoint
from validator.weight_setter import WeightSetter, WeightSettings
from validator.weights_service import WallBlockClock, WeightsService

METAGRAPH_REFRESH_S = 300.0


@dataclass(frozen=True, slots=True)
class ValidatorOptions:
    """The command's options, read once."""

    network: str
    netuid: int | None
    miners: tuple[str, ...]
    allow_private: bool
    no_weights: bool
    rounds: int | None
    speed: Fraction | None
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
@click.option("--neuron.disable_set_weights", "no_weights", is_flag=True, help="Score, but set no weights.")
@click.option("--rounds", type=click.IntRange(min=1), help="Stop after this many evaluation rounds of each job.")
@click.option("--speed", default="1x", show_default=True, help="How fast recorded markets play: 1x, 500x, max.")
@database_option
def validator(
    *,
    network: str,
    netuid: int | None,
    wallet_name: str,
    wallet_hotkey: str,
    wallet_path: str,
    dev_key: str | None,
    miners: tuple[str, ...],
    allow_private: bool,
    no_weights: bool,
    rounds: int | None,
    speed: str,
    database_url: str,
) -> None:
    """Run every active job of the database, round after round, and set weights once per epoch.

    A running validator notices added, changed, paused and removed jobs within a second or two; a change takes effect
    at the next round.
    Stopping it, even with kill -9, costs nobody anything: the round under way becomes inconclusive.

    \b
    Examples:
      tideline validator --netuid 98 --wallet.name my --wallet.hotkey validator
      tideline validator --dev-key //Alice --miner 5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty@127.0.0.1:8091 \\
          --allow-private --rounds 2 --speed max
    """
    options = ValidatorOptions(
        network, netuid, miners, allow_private, no_weights, rounds, parse_speed(speed), database_url
    )
    if bool(dev_key) != bool(miners):
        raise ConfigError("--dev-key and --miner go together: without a chain both ends are named by hand")
    if not miners and netuid is None:
        raise ConfigError("set --netuid to the subnet, or name miners with --dev-key and --miner")
    signer = keypair_from_uri(dev_key) if dev_key else load_hotkey(wallet_name, wallet_hotkey, wallet_path)
    asyncio.run(_validate(options, signer))


async def _validate(options: ValidatorOptions, signer: Signer) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    named = FixedRoster([_endpoint(text) for text in options.miners])
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(options.database_url, create=True))
        jobs = await store.list_jobs()
        markets = {job.job_id: records.load(job.record).info for job in jobs if job.record}
        console = Console({}, markets, detail=True)
        chain = None if options.miners else await _connect(stack, options, signer)
        client = await stack.enter_async_context(MinerClient(signer, allow_private=options.allow_private))
        context = RunnerContext(
            store,
            client,
            named if chain is None else _subnet_roster(chain, signer),
            guard,
            signer,
            console,
            code_version(),
        )

        async def market(job: Job, resume_after: int | None) -> Market:
            return open_market(job, resume_after, options.speed)

        service = ValidatorService(context, market, ServiceSettings(max_rounds=options.rounds))
        if chain is None or options.no_weights:
            await service.run(stop)
            return
        last = await store.last_weight_set(chain.netuid, included_only=True)
        setter = WeightSetter(chain, WeightSettings(), last_set_epoch=None if last is None else last.epoch_index)
        weights = WeightsService(setter, store, WallBlockClock(), console, netuid=chain.netuid)
        await weights.run_beside(service.run(stop), stop)


async def _connect(stack: AsyncExitStack, options: ValidatorOptions, signer: Signer) -> ValidatorChain:
    if options.netuid is None:
        raise ConfigError("set --netuid to the subnet")
    fallback = os.environ.get("BT_FALLBACK_ENDPOINTS")
    endpoint = ChainEndpoint(
        options.network,
        options.netuid,
        fallback_endpoints=None if fallback is None else tuple(url for url in fallback.split(",") if url),
    )
    chain = await ValidatorChain.connect(endpoint, signer)
    stack.push_async_callback(chain.close)
    await chain.uid()
    return chain


def _subnet_roster(chain: ValidatorChain, signer: Signer) -> Roster:
    return MetagraphRoster(chain, Hotkey(signer.ss58_address), refresh_s=METAGRAPH_REFRESH_S, monotonic=time.monotonic)


def _endpoint(text: str) -> MinerEndpoint:
    hotkey, _, address = text.partition("@")
    host, _, port = address.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError(f"--miner {text!r} is not HOTKEY@IP:PORT") from error
    if not hotkey or not 0 < number < 65536:
        raise ConfigError(f"--miner {text!r} is not HOTKEY@IP:PORT")
    return MinerEndpoint(Hotkey(hotkey), host.strip("[]"), number)
