"""The command group; each command lives in its own module under `tideline.commands` and is loaded when it is used."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any, TextIO

import click

from protocol.errors import ConfigError, StoreError, TidelineError

COMMANDS = {
    "up": "run the whole loop: a validator, four miners, two real markets",
    "validator": "run a validator",
    "miner": "run the reference miner",
    "backtest": "score strategies on recorded rounds, exactly as a validator would",
    "executor": "carry live plans out on a vault, with a key of its own",
    "vault": "deploy a vault, look at it, fill and empty it, appoint its keeper",
    "allocate": "spread capital over the pools of one pair",
    "jobs": "add, list, pause, resume and remove jobs",
    "leaderboard": "who is best at which job, and how sure that is",
    "devnet": "run a private chain on which a real pool trades as it did",
    "index": "keep a pool's events in a database of their own",
    "replay": "replay a file of recorded events through the exact engine",
    "evidence": "recompute a round's scores from its evidence",
}

FAILED = 1  # exit code: everything else
OPERATOR = 2  # exit code: something the operator can change
INTERRUPTED = 130  # exit code: Ctrl-C, as shells count it
COMPLETION = "_TIDELINE_COMPLETE"  # set by a shell that asks how to complete a word
READER_GONE = 141  # exit code: whoever read our output has ended, as shells count it


class LazyGroup(click.Group):
    """A group that imports a command's module only when it is called; `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"tideline.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tideline")
def group() -> None:
    """Tideline manages Uniswap V3 style liquidity: miners propose positions, a validator judges them to the wei.

    \b
    Examples:
      tideline up --rounds 3 --speed max
      tideline jobs list
      tideline allocate pools.toml
      tideline backtest --strategy btr_plus --against hold,wide,band
      tideline miner --netuid 98 --wallet.name my --wallet.hotkey miner
      tideline validator --netuid 98 --wallet.name my --wallet.hotkey validator
      tideline executor --rpc $RPC --key keystore:keeper.json --allow $VAULT --validator $HOTKEY --live
      tideline vault status $VAULT --rpc $RPC
      tideline leaderboard --job usdc-weth
      tideline evidence verify usdc-weth-evaluation-1
      tideline replay usdc-weth-005
      tideline devnet
      tideline index --pool 0xd0b53D9277642d899DF5C87A3966A349A798F224 --rpc $RPC --from-block 35000000 --follow
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. What an operator can change costs one line on stderr and exit code 2."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code = _run(arguments)
        _flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _drop_output(READER_GONE)
        if error.errno == errno.ENOSPC:
            return _drop_output(_complain("no space is left to write to; free some", OPERATOR))
        raise
    return code


def _run(arguments: list[str] | None) -> int:
    try:
        if COMPLETION in os.environ:
            group.main(prog_name="tideline")
        # Not by `main`: it ends the process itself when a pipe is closed, and writes an empty line at Ctrl-C.
        with group.make_context("tideline", sys.argv[1:] if arguments is None else list(arguments)) as context:
            result: Any = group.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return OPERATOR
    except click.ClickException as error:
        return _complain(_usage(error), OPERATOR)
    except (click.Abort, KeyboardInterrupt):
        return _complain("stopped", INTERRUPTED)
    except (ConfigError, StoreError) as error:
        return _complain(str(error), OPERATOR)
    except TidelineError as error:
        return _complain(str(error), FAILED)
    return result if isinstance(result, int) else 0


def _complain(text: str, code: int) -> int:
    click.echo(f"tideline: {' '.join(text.split())}", err=True)
    return code


def _usage(error: click.ClickException) -> str:
    """Return a mistake on the command line as one line that says where to look."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = "tideline" if context is None else context.command_path
    return f"{error.format_message()} See: {where} --help"


def _flush() -> None:
    """Write what is buffered now: when the interpreter ends, a closed pipe could not be told apart any more."""
    stdout: TextIO | None = sys.stdout  # None where the caller closed it
    if stdout is not None:
        stdout.flush()


def _drop_output(code: int) -> int:
    """Let what is still buffered, and can be written no more, vanish without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return code
