"""`tideline miner`: serve one strategy under one hotkey."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from miner.strategies import DEFAULT, NAMES
from protocol.errors import ConfigError
from simulator.engine import Engine
from tideline.miner_feeds import FeedChoice, feed_options
from tideline.miner_options import Subnet, Wallet, signer_of, subnet_options, wallet_options
from tideline.wiring import database_option, engine_option


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
@feed_options
@click.option("--tune", is_flag=True, help="Look for better settings of btr_plus in the background, four times a day.")
@click.option(
    "--publish",
    nargs=2,
    metavar="UPDATES SNAPSHOTS",
    help="Publish what is held over ZMQ, at two addresses like tcp://127.0.0.1:5601. Whoever reaches them may read.",
)
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
    events: str | None,
    external_events: str | None,
    external_names: Path | None,
    rpcs: tuple[str, ...],
    exchange: str | None,
    tune: bool,
    publish: tuple[str, str] | None,
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
    from tideline.miner_serving import Serving, serve

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(
        serve(
            Serving(
                strategy_name,
                parse_settings(settings),
                memory_file,
                host=host,
                port=port,
                allowed=allowed,
                wallet=Wallet(wallet_name, wallet_hotkey, wallet_path, dev_key),
                subnet=Subnet(**subnet),
                feeds=FeedChoice(events, external_events, external_names, rpcs, exchange),
                is_tuned=tune,
                publish=publish,
            )
        )
    )


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
