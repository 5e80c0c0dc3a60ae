"""`tideline miner`: serve one strategy under one hotkey."""

from __future__ import annotations

import asyncio
import logging
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from miner.strategies import DEFAULT, NAMES
from protocol.errors import ConfigError
from simulator.engine import Engine
from tideline.miner_options import Subnet, Wallet, signer_of, subnet_options, wallet_options
from tideline.wiring import database_option, engine_option

_RAO_PER_ALPHA = 10**9
_MEMORY = ".tideline/miner-{}.json"


@click.group(invoke_without_command=True, short_help="Serve a strategy to validators.")
@click.option(
    "--strategy",
    "strategy_name",
    default=DEFAULT,
    show_default=True,
    help=f"{', '.join(NAMES)}, or your own: file.py, file.py:Class, module:Class.",
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
@subnet_options
@wallet_options
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.pass_context
def miner(
    context: click.Context,
    /,
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
    strategies that learn. Each is explained in docs/strategies.md. Your own begins with `new`, is scored at home by
    `tideline backtest`, and once it is served by `check`: docs/miner-guide.md.

    Requests are checked against the validators of a subnet, or against --allow-validator when working offline. GET
    /health tells whether the miner is well. Exit code 2: something in these options cannot work; one line says what.

    \b
    Examples:
      $ tideline miner new my_strategy
      $ tideline miner --strategy my_strategy.py --dev-key //Bob \\
          --allow-validator 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY
      $ tideline miner check --dev-key //Alice --rounds 3
      $ tideline miner --strategy band --set half_width=40 --set edge=8 --netuid 98 \\
          --wallet.name cold --wallet.hotkey hot --host 0.0.0.0 --axon.external_ip 203.0.113.7
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
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
    signer = signer_of(wallet)
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


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """Return what `--set` gave."""
    parsed: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE")
        parsed[key] = value
    return parsed


def _refuse_options(context: click.Context) -> None:
    """Say that what stands before a sub-command would be passed over."""
    for parameter in context.command.params:
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} belongs behind {context.invoked_subcommand}.", context)


@miner.command("new", short_help="Write a strategy to begin with, and a test of it.")
@click.argument("name")
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where; default here."
)
def new_command(*, name: str, folder: Path) -> None:
    """Write NAME.py, a strategy that works, and test_NAME.py, which passes as it is.

    Nothing is ever overwritten.

    \b
    Example:
      $ tideline miner new my_strategy && pytest test_my_strategy.py
    """
    from tideline import miner_new

    strategy, test = miner_new.write(name, folder)
    click.echo(f"{strategy}  a strategy; try it: tideline backtest --strategy {strategy}")
    click.echo(f"{test}  its test; run it: pytest {test}")


@miner.command("check", short_help="Replay recorded rounds against a running miner.")
@click.argument("rounds_or_files", nargs=-1)
@click.option("--miner", "address", default="127.0.0.1:8091", show_default=True, help="Where it listens: IP:PORT.")
@click.option("--hotkey", help="Whose answers count; default whoever /health says it is.")
@click.option("--job", "job_id", default="usdc-weth", show_default=True, help="Demo job whose rounds to replay.")
@click.option("--rounds", type=click.IntRange(min=1), default=1, show_default=True, help="How many of that job.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a round: scores raw in units of 1e-18.")
@wallet_options
@engine_option
@database_option
def check_command(
    *,
    rounds_or_files: tuple[str, ...],
    address: str,
    hotkey: str | None,
    job_id: str,
    rounds: int,
    as_json: bool,
    wallet_name: str,
    wallet_hotkey: str,
    wallet_path: str,
    dev_key: str | None,
    engine: Engine,
    database_url: str,
) -> int:
    """Ask a running miner what a validator asked, and print what it would have been given.

    ROUNDS_OR_FILES are rounds of a validator's database, or files of `tideline evidence export`; without any, the first
    rounds of a demo job's record are played. Questions are signed with the given key, which the miner must permit, and
    go over HTTP; the answers become plans and ledgers in the validator's own code. So a miner that answers as it
    answered then gets the score that was stored, to the last digit.

    A miner that remembers takes the old questions for new ones: check one with a --memory of its own. Exit code 0:
    every answer counted. 1: some did not.

    \b
    Examples:
      $ tideline miner check --dev-key //Alice
      $ tideline miner check --dev-key //Alice --miner 127.0.0.1:8092 round.json
      $ tideline miner check --wallet.name cold --wallet.hotkey hot usdc-weth-evaluation-1 --json
    """
    from tideline import miner_check_command

    wallet = Wallet(wallet_name, wallet_hotkey, wallet_path, dev_key)
    return miner_check_command.check(
        rounds_or_files,
        miner_check_command.Target(address, hotkey, job_id, rounds),
        signer_of(wallet),
        engine=engine,
        database_url=database_url,
        as_json=as_json,
    )
