"""Measure on the published pool bytecode what simulator/gas.py states.

PYTHONPATH=.:tests .venv/bin/python scripts/measure_gas.py
"""

from __future__ import annotations

import click
from support.gas_measurement import measure_gas


@click.command(help=__doc__)
def main() -> None:
    for name, gas in measure_gas().items():
        click.echo(f"{name} = {gas:_}")


if __name__ == "__main__":
    main()
