"""`tideline miner`: serve one strategy under one hotkey."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from miner.strategies import DEFAULT, NAMES
from protocol.errors import ConfigError
from tideline.wiring import wallet_password

if TYPE_CHECKING:
    from protocol.signing import Signer

F = TypeVar("F", bound=Callable[..., Any])
_RAO_PER_ALPHA = 10**9
_MEMORY = ".tideline/miner-{}.json"


@dataclass(frozen=True, slots=True)
class Wallet:
    """Which key signs: a wallet's hotkey, or a development key."""

    name: str
    hotkey: str
    path: str
    dev_key: str | None


@dataclass(frozen=True, slots=True)
class Subnet:
    """Which chain and subnet, and whom of it to answer."""

    network: str
    netuid: int | None
    force_validator_permit: bool
    validator_min_stake: int
    external_ip: str | None
    external_port: int | None


def _chain_options(command: F) -> F:
    for option in reversed(
        (
            click.option(
                "--subtensor.network",
                "network",
                envvar="BT_NETWORK",
                default="finney",
                show_default=True,
                help="Chain to follow: finney, test, local or a ws(s) URL.",
            ),
            click.option("--netuid", type=click.IntRange(0, 65535), envvar="NETUID", help="Subnet to serve."),
            click.option(
                "--blacklist.force_validator_permit/--blacklist.no_validator_permit",
                "force_validator_permit",
                default=True,
                show_default=True,
                help="Answer only hotkeys with a validator permit.",
            ),
            click.option(
                "--blacklist.validator_min_stake",
                "validator_min_stake",
                type=click.IntRange(0),
                default=0,
                show_default=True,
                help="Answer only hotkeys with this much stake (alpha).",
            ),
            click.option("--axon.external_ip", "external_ip", help="IP address to publish. Default: publish nothing."),
            click.option(
                "--axon.external_port",
                "external_port",
                type=click.IntRange(1, 65535),
                help="Port to publish. Default: --port.",
            ),
        )
    ):
        command = option(command)
    return command


def _wallet_options(command: F) -> F:
    for option in reversed(
        (
            click.option(
                "--wallet.name",
                "wallet_name",
                envvar="BT_WALLET",
                default="default",
                show_default=True,
                help="Wallet whose hotkey signs.",
            ),
            click.option(
                "--wallet.hotkey",
                "wallet_hotkey",
                envvar="BT_WALLET_HOTKEY",
                default="default",
                show_default=True,
                help="Name of the hotkey.",
            ),
            click.option(
                "--wallet.path",
                "wallet_path",
                envvar="BT_WALLET_PATH",
                default="~/.bittensor/wallets",
                show_default=True,
                help="Folder of the wallets.",
            ),
            click.option("--dev-key", metavar="//NAME", help="Sign with a development key, which everybody knows."),
        )
    ):
        command = option(command)
    return command


@click.command(short_help="Serve a strategy to validators.")
@click.option(
    "--strategy",
    "strategy_name",
    default=DEFAULT,
    show_default=True,
    help=f"{', '.join(NAMES)}, or module:Class for your own.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the strategy; repeatable.")
@click.option(
    "--memory",
    "memory_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File in which the strategy keeps what it learns.  [default: .tideline/miner-HOTKEY.json]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8091, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--allow-validator",
    "allowed",
    multiple=True,
    metavar="HOTKEY",
    help="Answer this hotkey, without any chain; repeatable.",
)
@_chain_options
@_wallet_options
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def miner(
    *,
    strategy_name: str,
    settings: tuple[str, ...],
    memory_file: Path | None,
    host: str,
    port: int,
    allowed: tuple[str, ...],
    log_level: str,
    wallet_name: str,
    wallet_hotkey: str,
    wallet_path: str,
    dev_key: str | None,
    **subnet: Any,
) -> None:
    """Answer validators with a strategy until interrupted (exit code 0).

    The default, btr_plus, decides from what queries have shown so far, and keeps that in a file; so do the other
    strategies that learn. Each is explained in docs/strategies.md.

    Requests are checked against the validators of a subnet, or against --allow-validator when working offline. GET
    /health tells whether the miner is well. Exit code 2: something in these options cannot work; one line says what.

    \b
    Examples:
      $ tideline miner --dev-key //Bob --allow-validator 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY
      $ tideline miner --strategy band --set half_width=40 --set edge=8 --netuid 98 \\
          --wallet.name cold --wallet.hotkey hot --host 0.0.0.0 --axon.external_ip 203.0.113.7
      $ PYTHONPATH=. tideline miner --strategy my_strategies:Quiet --netuid 98 --subtensor.network test
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(
        _serve(
            strategy_name,
            parse_settings(settings),
            memory_file,
            host=host,
            port=port,
            allowed=allowed,
            wallet=Wallet(wallet_name, wallet_hotkey, wallet_path, dev_key),
            subnet=Subnet(**subnet),
        )
    )


async def _serve(
    strategy_name: str,
    settings: dict[str, str],
    memory_file: Path | None,
    *,
    host: str,
    port: int,
    allowed: tuple[str, ...],
    wallet: Wallet,
    subnet: Subnet,
) -> None:
    # Imported here: the server and the SDK take most of a second, which no other command should pay.
    from miner.config import MinerConfig
    from miner.server import AllowList, MinerServer
    from miner.service import PublicAddress, run
    from miner.strategies import build
    from miner.subtensor import MinerChain
    from protocol.signing import parse_hotkey
    from protocol.subtensor import ChainEndpoint

    build(strategy_name, settings)  # what cannot be built is said before a key is asked for
    if not allowed and subnet.netuid is None:
        raise ConfigError("nobody may ask: give --netuid to answer a subnet's validators, or --allow-validator")
    if allowed and subnet.netuid is not None:
        raise ConfigError("give either --netuid or --allow-validator, not both")
    signer = _signer(wallet)
    memory = Path(_MEMORY.format(signer.ss58_address)) if memory_file is None else memory_file
    strategy = build(strategy_name, settings, memory=memory)
    config = MinerConfig(host=host, port=port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    if subnet.netuid is None:
        validators = AllowList(frozenset(parse_hotkey(text) for text in allowed))
        server = MinerServer(signer, strategy, validators, config, version=version("tideline"))
        await run(server, stop, chain=None, address=None)
        return
    chain = MinerChain(
        ChainEndpoint(subnet.network, subnet.netuid),
        signer,
        permit_required=subnet.force_validator_permit,
        min_stake=subnet.validator_min_stake * _RAO_PER_ALPHA,
    )
    address = None
    if subnet.external_ip is not None:
        address = PublicAddress(subnet.external_ip, subnet.external_port or port)
    server = MinerServer(signer, strategy, chain, config, version=version("tideline"))
    try:
        await run(server, stop, chain=chain, address=address)
    finally:
        await chain.close()


def _signer(wallet: Wallet) -> Signer:
    from protocol.signing import keypair_from_uri, load_hotkey

    if wallet.dev_key is not None:
        return keypair_from_uri(wallet.dev_key)
    path = str(Path(wallet.path).expanduser())
    return load_hotkey(wallet.name, wallet.hotkey, path, password=wallet_password())


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """Return what `--set` gave."""
    parsed: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE")
        parsed[key] = value
    return parsed
