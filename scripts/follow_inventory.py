"""Follow a published inventory and print, line by line, how much token0 a hedger should be short: an example.

python scripts/follow_inventory.py --updates tcp://127.0.0.1:5601 --snapshots tcp://127.0.0.1:5602

It trades nothing. A hedger would turn `change` into an order, and leave its hedge alone while `is_current` is false.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from decimal import Context, Decimal

import click

from protocol.inventory import Following
from protocol.inventory_socket import Addresses, follow
from simulator.hedge import token0_to_short

_EXACT = Context(prec=90)  # more digits than any amount has


def targets(known: Following, kinds: Collection[str]) -> dict[tuple[int, str, int], int]:
    """Return the token0 to short, by (chain, token, decimals), over all books of these kinds."""
    wanted: dict[tuple[int, str, int], int] = defaultdict(int)
    for inventory in known.books.values():
        if inventory.kind in kinds:
            token = inventory.token0
            wanted[inventory.chain_id, token.address, token.decimals] += token0_to_short(inventory)
    return dict(wanted)


def lines(
    known: Following, kinds: Collection[str], short: Mapping[tuple[int, str, int], int], tolerance: Decimal
) -> tuple[list[str], dict[tuple[int, str, int], int]]:
    """Return what to print, and the hedge from then on: what differs by less than the tolerance is left as it is."""
    wanted = targets(known, kinds)
    now, told = dict(short), []
    for key in sorted(wanted.keys() | short.keys()):
        chain_id, token, decimals = key
        target, held = wanted.get(key, 0), short.get(key, 0)
        if abs(target - held) <= tolerance * max(target, held):
            continue
        now[key] = target
        amounts = {"short": target, "change": target - held}
        shown = {name: f"{_EXACT.scaleb(Decimal(raw), -decimals):f}" for name, raw in amounts.items()}
        told.append(json.dumps({"chain_id": chain_id, "token0": token, **shown, "sequence": known.sequence}))
    return told, now


async def run(addresses: Addresses, kinds: Collection[str], tolerance: Decimal) -> None:
    """Print until cancelled."""
    short: dict[tuple[int, str, int], int] = {}
    was_current = True
    async for known in follow(addresses):
        if was_current == known.needs_snapshot:
            was_current = not known.needs_snapshot
            click.echo(json.dumps({"is_current": was_current, "sequence": known.sequence}))
        if was_current:
            told, short = lines(known, kinds, short, tolerance)
            for line in told:
                click.echo(line)


@click.command()
@click.option("--updates", required=True, help="Where differences are published.")
@click.option("--snapshots", required=True, help="Where snapshots are had.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["evaluation", "live", "vault"]),
    default=("live", "vault"),
    show_default=True,
    help="Whose tokens to hedge; evaluations are on paper.",
)
@click.option("--tolerance", type=Decimal, default="0.01", show_default=True, help="Changes of less are left alone.")
def main(*, updates: str, snapshots: str, kinds: tuple[str, ...], tolerance: Decimal) -> None:
    """Print the hedge of a published inventory as it changes."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Addresses(updates, snapshots), kinds, tolerance))


if __name__ == "__main__":
    main()
