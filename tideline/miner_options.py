"""What the commands of a miner share: which key signs, and which subnet is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tideline.wiring import wallet_password

if TYPE_CHECKING:
    from protocol.signing import Signer

F = TypeVar("F", bound=Callable[..., Any])


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


def subnet_options(command: F) -> F:
    """Add the options that make a `Subnet`."""
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


def wallet_options(command: F) -> F:
    """Add the options that make a `Wallet`."""
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


def signer_of(wallet: Wallet) -> Signer:
    """Return the key that signs. Raises ConfigError where it cannot be had."""
    from protocol.signing import keypair_from_uri, load_hotkey

    if wallet.dev_key is not None:
        return keypair_from_uri(wallet.dev_key)
    path = str(Path(wallet.path).expanduser())
    return load_hotkey(wallet.name, wallet.hotkey, path, password=wallet_password())
