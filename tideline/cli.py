"""The command group; each command lives in its own module under `tideline.commands` and is loaded when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from protocol.errors import ConfigError, StoreError, TidelineError

COMMANDS = {
    "up": "run the whole loop: a validator, four miners, two real recorded markets",
    "validator": "run a validator",
    "miner": "run the reference miner",
    "jobs": "add, list, pause, resume and remove jobs",
    "leaderboard": "who is best at which job, and how sure that is",
    "replay": "replay a file of recorded events through the exact engine",
    "evidence": "recompute a round's scores from its evidence",
}

OPERATOR = 2  # exit code: something the operator can change
FAILED = 1  # exit code: everything else


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
      tideline leaderboard --job usdc-weth
      tideline evidence verify usdc-weth-evaluation-1
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. What an operator can change costs one line on stderr and exit code 2."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        result: Any = group.main(args=arguments, prog_name="tideline", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return OPERATOR
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except (ConfigError, StoreError) as error:
        click.echo(f"tideline: {error}", err=True)
        return OPERATOR
    except TidelineError as error:
        click.echo(f"tideline: {error}", err=True)
        return FAILED
    return result if isinstance(result, int) else 0
