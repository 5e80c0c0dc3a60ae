"""The command group; each command lives in its own module under `tideline.commands`."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tideline")
def main() -> None:
    """Tideline: automated liquidity management, judged to the wei."""
