"""Through which nodes, and in whose name: what the vault commands share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from executor.fees import FeePolicy
from executor.keys import Signer, load_signer
from executor.steps import Patience
from executor.transactor import Settings
from protocol.addresses import is_valid_address
from protocol.errors import ChainError, ConfigError
from simulator.chain.abi import call_data, read_words
from simulator.chain.blocks import Header, header_request
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings
from simulator.chain.rpc import Request
from tideline.nodes import check_urls, read_chain_id

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

READING = ChainSettings(block_time_s=1)  # the seconds of a block do not matter here
DEADLINE_S = READING.deadline_s
_GWEI = 10**9

_ACCESS_OPTIONS = (
    click.option("--rpc", "urls", multiple=True, help="URL of a node over HTTP; several for failover."),
    click.option("--rpc-quorum", type=click.IntRange(min=1), default=1, show_default=True, help="Must agree."),
    click.option("--chain-id", type=click.IntRange(min=1), help="Insist on this chain."),
)
_ACTOR_OPTIONS = (
    click.option("--key", metavar="keystore:FILE|env:NAME", help="The key that signs, named; never the key itself."),
    click.option("--as", "stand_in", metavar="ADDRESS", help="A dry run for this account, such as a Safe; no key."),
    click.option("--live", "is_live", is_flag=True, help="Sign and send. Without it: a dry run that changes nothing."),
    click.option(
        "--max-fee-gwei",
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        help="Most to pay for a unit of gas.",
    ),
    click.option(
        "--confirmations",
        type=click.IntRange(1, 1000),
        default=3,
        show_default=True,
        help="Blocks until it counts as done.",
    ),
)

factory_option = click.option(
    "--factory", metavar="ADDRESS", help="The pool's factory.  [default: Uniswap's own on chains 1 and 8453]"
)


@dataclass(frozen=True, slots=True)
class Actor:
    """In whose name. Without a signer nothing can be sent."""

    address: str
    signer: Signer | None
    is_live: bool
    settings: Settings


@dataclass(frozen=True, slots=True)
class Scene:
    """A chain at a block."""

    endpoints: Endpoints
    header: Header

    async def words(self, to: str, signature: str, *arguments: int) -> list[int]:
        """Return what a getter answers there."""
        call = {"to": to, "data": call_data(signature, *arguments)}
        request = Request("eth_call", (call, self.header.pin()), read_words, is_decisive=True)
        return await self.endpoints.ask(request, deadline_s=DEADLINE_S)


def access_options(command: F) -> F:
    """Add what `play` takes."""
    return _with(command, _ACCESS_OPTIONS)


def errand_options(command: F) -> F:
    """Add what `play` and `actor_of` take."""
    return _with(command, (*_ACCESS_OPTIONS, *_ACTOR_OPTIONS))


def _with(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def address_of_option(name: str, text: str) -> str:
    """Return an address that a person has typed, in lower case. Raises ConfigError."""
    if not is_valid_address(text):
        raise ConfigError(f"{name} {text!r:.60} is no address; copy it again, the case of its letters is a checksum")
    return text.lower()


def optional_address(name: str, text: str | None) -> str | None:
    """Return the same where something was typed."""
    return None if text is None else address_of_option(name, text)


def actor_of(options: Mapping[str, Any]) -> Actor:
    """Return who acts. Raises ConfigError where that is not said, or the key cannot be had."""
    key, stand_in, is_live = options["key"], options["stand_in"], options["is_live"]
    if (key is None) == (stand_in is None):
        raise ConfigError("say who acts: --key keystore:FILE or --key env:NAME; for a dry run --as ADDRESS will do")
    if key is None and is_live:
        raise ConfigError("--live needs --key; with --as the call is only shown, for that account to make")
    signer = None if key is None else load_signer(key, os.environ)
    address = address_of_option("--as", stand_in) if signer is None else signer.address.lower()
    patience = Patience(confirmations=options["confirmations"])
    return Actor(address, signer, is_live, Settings(FeePolicy(options["max_fee_gwei"] * _GWEI), patience))


def play(options: Mapping[str, Any], act: Callable[[Scene], Awaitable[T]]) -> T:
    """Do something on the chain that the options name, as it is now."""

    async def run() -> T:
        check_urls(options["urls"])
        chain_id = await read_chain_id(options["urls"])
        if options["chain_id"] not in (None, chain_id):
            raise ConfigError(f"the node is on chain {chain_id}, not {options['chain_id']}")
        endpoints = Endpoints.over_http(options["urls"], chain_id=chain_id, quorum=options["rpc_quorum"])
        try:
            return await act(Scene(endpoints, await head(endpoints)))
        finally:
            await endpoints.close()

    return asyncio.run(run())


async def head(endpoints: Endpoints) -> Header:
    """Return the newest block."""
    header = await endpoints.ask(header_request(await endpoints.head(deadline_s=DEADLINE_S)), deadline_s=DEADLINE_S)
    if header is None:
        raise ChainError("the newest block is gone", retryable=True)
    return header
