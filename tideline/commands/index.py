"""`tideline index`: a pool's events, in a database of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from db.pool_events.external import MAX_BLOCK, ExternalEvents, ExternalNames
from db.pool_events.store import PoolEventsStore
from protocol.addresses import is_valid_address
from protocol.errors import ConfigError
from simulator.chain.endpoints import Endpoints
from simulator.chain.families import recognise
from simulator.chain.history import PoolHistory
from simulator.chain.lens import lens_code
from simulator.chain.market import ChainSettings, read_info
from simulator.family import Family
from tideline.external_events import read_names
from tideline.index_check import PoolCheck, check_pool
from tideline.index_progress import make_progress
from tideline.index_reread import reread
from tideline.indexer import Indexer
from tideline.nodes import check_urls, read_chain_id
from tideline.wiring import until_stopped

F = TypeVar("F", bound=Callable[..., Any])

EVENTS_DATABASE_ENV = "TIDELINE_EVENTS_DB"
DEFAULT_EVENTS_DATABASE = "sqlite:///.tideline/events.sqlite3"
_DEADLINE_S = 20.0
_ATTEMPT_S = 10.0  # an answer may be thousands of logs
_STOPPED = 130  # as shells count Ctrl-C


def events_database_option(command: F) -> F:
    """Add `--database`."""
    return click.option(
        "--database",
        "database_url",
        envvar=EVENTS_DATABASE_ENV,
        default=DEFAULT_EVENTS_DATABASE,
        show_default=True,
        show_envvar=True,
        help="Pool events database: sqlite:///FILE or postgres://USER:PASSWORD@HOST:PORT/NAME.",
    )(command)


@click.group(invoke_without_command=True)
@click.option("--pool", help="Address of a Uniswap V3 pool.")
@click.option("--rpc", "urls", multiple=True, help="URL of a node over HTTP; several for failover.")
@events_database_option
@click.option("--from-block", type=click.IntRange(min=0), help="First block to index.")
@click.option("--to-block", type=click.IntRange(min=0), help="Last block. Default: the head at the start.")
@click.option("--follow", is_flag=True, help="Go on as the chain does, until stopped.")
@click.option("--quorum", type=click.IntRange(min=1), default=1, show_default=True, help="RPCs that must agree.")
@click.option(
    "--most-blocks",
    type=click.IntRange(1, 100_000),
    default=2000,
    show_default=True,
    help="Blocks to ask the logs of at once; fewer where the node refuses.",
)
@click.pass_context
def index(
    context: click.Context,
    *,
    pool: str | None,
    urls: tuple[str, ...],
    database_url: str,
    from_block: int | None,
    to_block: int | None,
    follow: bool,
    quorum: int,
    most_blocks: int,
) -> int | None:
    """Index every event of a pool from its chain into a database of its own.

    Blocks are linked by hash and their logs held against them. What is there already is not read again, so the same
    command continues after any interruption, and fills gaps. Blocks that the chain takes back are removed. Progress
    goes to standard error.

    \b
    Examples:
      tideline index --pool 0xd0b53D9277642d899DF5C87A3966A349A798F224 --rpc https://mainnet.base.org \\
          --from-block 35000000 --to-block 35043200
      tideline index --pool 0xd0b53D9277642d899DF5C87A3966A349A798F224 --rpc $RPC1 --rpc $RPC2 \\
          --database postgres://tideline@localhost/events --from-block 35000000 --follow
      tideline index check
    """
    if context.invoked_subcommand is not None:
        return None
    if pool is None or from_block is None:
        raise click.UsageError("--pool and --from-block are needed.", context)
    if follow and to_block is not None:
        raise click.UsageError("--follow goes on without end; leave out --to-block.", context)
    if to_block is not None and to_block < from_block:
        raise ConfigError(f"--to-block {to_block} lies before --from-block {from_block}")
    _check_address(pool)
    check_urls(urls)
    task = _index(
        pool.lower(),
        urls,
        database_url,
        from_block,
        to_block,
        follow=follow,
        quorum=quorum,
        most_blocks=most_blocks,
    )
    return asyncio.run(task)


@index.command("check", short_help="Is what was indexed whole?")
@events_database_option
@click.option("--pool", help="Only this pool. Default: all.")
@click.option("--rpc", "urls", multiple=True, help="Also read all of it again from this node, and compare each row.")
@click.option("--quorum", type=click.IntRange(min=1), default=1, show_default=True, help="RPCs that must agree.")
@click.pass_context
def check_command(
    context: click.Context, *, database_url: str, pool: str | None, urls: tuple[str, ...], quorum: int
) -> None:
    """Replay what was indexed, each swap from where the one before left the pool, and say where something is missing.

    Blocks must follow each other by hash, and events lie in those blocks. From a stored snapshot on every swap must be
    reproduced to the wei ("swaps_replayed") and every later snapshot to the last tick. Before the first snapshot swaps
    are reproduced on the liquidity that the events themselves tell of ("swaps_inferred"), or held to what it can have
    been ("swaps_bounded"). Mints and burns must move what they cost at the price there ("changes_priced"). With --rpc
    every row must also be as the node tells it now. Prints one JSON object. Exit code: 0 no gap in what was checked
    ("checked_percent" of the swaps), 1 a gap (the object says where) or a chain that cannot be read, 2 no such
    database or pool, or an RPC of another chain.

    \b
    Examples:
      tideline index check --database sqlite:///.tideline/events.sqlite3
      tideline index check --rpc https://mainnet.base.org
    """
    if pool is not None:
        _check_address(pool)
    if urls:
        check_urls(urls)
    elif quorum > 1:
        raise ConfigError("--quorum is about RPCs that must agree; name them with --rpc")
    checks = asyncio.run(_check(database_url, pool, urls, quorum))
    click.echo(json.dumps({"whole": all(c.gap is None for c in checks), "pools": [_json(c) for c in checks]}))
    context.exit(1 if any(c.gap is not None for c in checks) else 0)


@index.command("external", short_help="Can an events database of somebody else be read?")
@click.option("--database", "database_url", required=True, help="sqlite:///FILE or postgres://USER:PASSWORD@HOST/NAME.")
@click.option("--names", type=click.Path(path_type=Path), required=True, help="TOML: what its tables are called.")
@click.option("--pool", required=True, help="A pool that is in it.")
def external_command(*, database_url: str, names: Path, pool: str) -> None:
    """Look into an external events database, read-only, and say which blocks of a pool it can tell of.

    NAMES is a TOML file with the sections [swaps], [mints] and [burns]; each may set table, block_number, log_index,
    timestamp, pool and its values' columns. Prints one JSON object. Exit code: 0, or 2 where something named is
    missing; nothing is ever created.

    \b
    Example:
      tideline index external --database postgres://reader@host/events --names names.toml \\
          --pool 0xd0b53D9277642d899DF5C87A3966A349A798F224
    """
    _check_address(pool)
    first, last = asyncio.run(_look_into(database_url, read_names(names), pool.lower()))
    click.echo(json.dumps({"pool": pool.lower(), "first_block": first, "last_block": last}))


def _check_address(pool: str) -> None:
    if not is_valid_address(pool):
        raise ConfigError(f"--pool {pool!r:.60} is no address; copy it again, the case of its letters is a checksum")


async def _index(
    pool: str,
    urls: Sequence[str],
    database_url: str,
    from_block: int,
    to_block: int | None,
    *,
    follow: bool,
    quorum: int,
    most_blocks: int,
) -> int:
    """Check everything that can be wrong before the database is touched, then index until done or stopped."""
    endpoints = await _endpoints(urls, quorum)
    try:
        kind = await recognise(endpoints, pool, deadline_s=_DEADLINE_S)
        if kind.family is not Family.UNISWAP_V3:
            raise ConfigError(f"pool {pool} is of family {kind.family}; only Uniswap V3's own pools can be indexed")
        info = await read_info(endpoints, pool, ChainSettings(block_time_s=1))
        head = await endpoints.head(deadline_s=_DEADLINE_S)
        for name, number in (("--from-block", from_block), ("--to-block", to_block)):
            if number is not None and number > head:
                raise ConfigError(f"{name} {number} lies after the head of the chain, {head}")
        async with await PoolEventsStore.create(database_url, chain_id=endpoints.chain_id) as store:
            last = None if follow else head if to_block is None else to_block
            with make_progress(info.token0.symbol, info.token1.symbol, sys.stderr) as progress:
                indexer = Indexer(endpoints, store, info, progress.take, lens=_lens(), most_blocks=most_blocks)
                work = indexer.follow(from_block) if last is None else indexer.fill(from_block, last)
                is_done = await until_stopped(asyncio.ensure_future(work))
                progress.end("done" if is_done else "stopped")
                return 0 if is_done or follow else _STOPPED
    finally:
        await endpoints.close()


def _lens() -> str | None:
    try:
        return lens_code()
    except ConfigError:
        return None  # snapshots take the plain way


async def _check(database_url: str, pool: str | None, urls: Sequence[str], quorum: int) -> list[PoolCheck]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await PoolEventsStore.open(database_url))
        pools = [row for row in await store.pools() if pool is None or row.pool == pool.lower()]
        if not pools:
            raise ConfigError(f"pool {pool} is not in this database" if pool else "no pool is in this database yet")
        endpoints = await _endpoints(urls, quorum) if urls else None
        if endpoints is not None:
            stack.push_async_callback(endpoints.close)
            if endpoints.chain_id != store.chain_id:
                raise ConfigError(f"the database holds chain {store.chain_id}, the RPC is on {endpoints.chain_id}")
        checks = []
        for one in pools:
            check = await check_pool(store, one.pool)
            if endpoints is not None:
                history = PoolHistory(endpoints, one.pool, deadline_s=_DEADLINE_S)
                with make_progress(one.symbol0, one.symbol1, sys.stderr) as progress:
                    await reread(store, history, check, progress.take)
                    progress.end("read again")
            checks.append(check)
    return checks


async def _endpoints(urls: Sequence[str], quorum: int) -> Endpoints:
    return Endpoints.over_http(urls, chain_id=await read_chain_id(urls), quorum=quorum, attempt_s=_ATTEMPT_S)


async def _look_into(database_url: str, names: ExternalNames, pool: str) -> tuple[int, int]:
    async with await ExternalEvents.open(database_url, names) as database:
        first = await database.nearest(pool, 0, after=True)
        last = await database.nearest(pool, MAX_BLOCK, after=False)
    if first is None or last is None:
        raise ConfigError(f"there are no events of pool {pool} in this database")
    return first[0], last[0]


def _json(check: PoolCheck) -> dict[str, Any]:
    return {
        "pool": check.pool,
        "ranges": [[r.first, r.last] for r in check.ranges],
        "blocks": check.blocks,
        **check.events,
        **asdict(check.verified),
        "swaps_unchecked": check.swaps_unchecked,
        "checked_percent": check.checked_percent,
        "blocks_reread": check.blocks_reread,
        "logs_reread": check.logs_reread,
        "gap": None if check.gap is None else asdict(check.gap),
    }
