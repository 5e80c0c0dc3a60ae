"""Measure on anvil what the vault's calls cost, as the table in docs/vault.md.

PYTHONPATH=.:tests .venv/bin/python scripts/measure_vault_gas.py
"""

from __future__ import annotations

import asyncio

import click
from support.vault_anvil import measure_vault_gas

from executor.vault import vault_code


@click.command(help=__doc__)
def main() -> None:
    click.echo(f"code: {len(vault_code().runtime_code)} bytes")
    for name, gas in asyncio.run(measure_vault_gas()).items():
        click.echo(f"| {name} | {gas:,} |")


if __name__ == "__main__":
    main()
