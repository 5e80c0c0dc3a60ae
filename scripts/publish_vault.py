"""Publish a vault's inventory over ZMQ, read from the chain: what `scripts/follow_inventory.py` follows.

TIDELINE_RPC=8453=https://mainnet.base.org python scripts/publish_vault.py --pair 0x… --vault 0x… \
    --publish tcp://127.0.0.1:5601 tcp://127.0.0.1:5602
"""

from __future__ import annotations

import asyncio
import logging
import uuid

import click

from protocol.errors import ConfigError, TidelineError
from protocol.inventory_socket import Addresses, InventoryPublisher
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.snapshot import VaultQuery
from simulator.portfolio import Range
from tideline.chains import ChainAccess, chain_accesses, chain_options
from tideline.vault_publishing import publish_vault
from tideline.wiring import until_stopped


async def serve(access: ChainAccess, chain_id: int, pair: str, query: VaultQuery, at: Addresses, every: int) -> None:
    """Publish until a signal."""
    publisher = InventoryPublisher(at, f"{query.owner}-{uuid.uuid4().hex[:8]}")
    publisher.bind()
    endpoints = Endpoints.over_http(access.urls, chain_id=chain_id, quorum=access.quorum)
    try:
        settings = ChainSettings(block_time_s=access.block_time_s)
        market = await ChainMarket.connect(endpoints, pair, settings, vault=query)
        answering = asyncio.create_task(publisher.run())
        telling = publish_vault(market, query.owner, publisher.publish, every_blocks=every)
        await until_stopped(asyncio.ensure_future(telling))
        answering.cancel()
    finally:
        publisher.close()
        await endpoints.close()


@click.command()
@click.option("--pair", required=True, help="Address of the pool.")
@click.option("--vault", required=True, help="Whose positions and tokens.")
@click.option("--range", "ranges", multiple=True, nargs=2, type=int, help="A range it holds in the pool itself.")
@click.option(
    "--publish", nargs=2, required=True, metavar="UPDATES SNAPSHOTS", help="Where, like tcp://127.0.0.1:5601."
)
@click.option("--every", type=click.IntRange(min=1), default=30, show_default=True, help="Blocks between two readings.")
@chain_options
def main(
    *,
    pair: str,
    vault: str,
    ranges: tuple[tuple[int, int], ...],
    publish: tuple[str, str],
    every: int,
    rpcs: tuple[str, ...],
    rpc_quorum: int | None,
    block_times: tuple[str, ...],
    managers: tuple[str, ...],
) -> None:
    """Publish a vault's inventory until interrupted."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        chains = chain_accesses(rpcs, rpc_quorum, block_times, managers)
        if len(chains) != 1:
            raise ConfigError("give --rpc CHAIN_ID=URL of the vault's one chain")
        [(chain_id, access)] = chains.items()
        query = VaultQuery(vault, access.manager, tuple(Range(lower, upper) for lower, upper in ranges))
        asyncio.run(serve(access, chain_id, pair, query, Addresses(*publish), every))
    except TidelineError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
