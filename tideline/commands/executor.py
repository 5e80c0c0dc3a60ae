"""`tideline executor`: live plans reach the chain."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from db.records import Execution
from db.store import Store
from db.transaction import Halt
from executor.chain import TransactionChain
from executor.fees import FeePolicy
from executor.keys import Signer, load_signer
from executor.live_guards import LiveLimits
from executor.preparation import Bounds
from executor.reading import VaultReader
from executor.rehearsal import rehearsal_code
from executor.service import CHAIN, Desk, DryRun, Ended, ExecutorService, Fact, Refusal, Submitted, Waiting
from executor.transactor import Settings, Transactor
from protocol.addresses import is_valid_address
from protocol.errors import ConfigError
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings
from simulator.recorded import RealClock
from tideline.nodes import check_urls, read_chain_id
from tideline.wiring import LeaseName, database_option, until_stopped

_T = TypeVar("_T")

_GWEI = 10**9
_POLL_S = 2.0
_SHOWN = 20
_READING = ChainSettings(block_time_s=1)  # the seconds of a block do not matter here


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """The command's options, read once."""

    urls: tuple[str, ...]
    quorum: int
    database_url: str
    bounds: Bounds
    fees: FeePolicy
    is_live: bool
    is_once: bool


@click.group(invoke_without_command=True)
@click.option("--rpc", "urls", multiple=True, help="URL of a node over HTTP; several for failover.")
@click.option("--rpc-quorum", "quorum", type=click.IntRange(min=1), default=1, show_default=True, help="Must agree.")
@click.option("--key", "key", metavar="keystore:FILE|env:NAME", help="The keeper's key, named; never the key itself.")
@click.option("--allow", "vaults", multiple=True, metavar="VAULT", help="A vault that may be touched (repeatable).")
@click.option("--live", "is_live", is_flag=True, help="Sign and send. Without it: a dry run that changes nothing.")
@click.option("--once", "is_once", is_flag=True, help="End when there is nothing to do.")
@click.option(
    "--max-fee-gwei", type=click.IntRange(min=1), default=20, show_default=True, help="Most to pay for a unit of gas."
)
@database_option
@click.pass_context
def executor(
    context: click.Context,
    *,
    urls: tuple[str, ...],
    quorum: int,
    key: str | None,
    vaults: tuple[str, ...],
    is_live: bool,
    is_once: bool,
    max_fee_gwei: int,
    database_url: str,
) -> None:
    """Carry out the plans of live rounds on the vaults whose keeper this key is.

    Plans come from the jobs database. Each is made into one transaction on the vault as it stands, held against the
    guards, and rehearsed on a node: unless that comes to what the simulator says, to the wei, nothing is signed.
    Stopping or killing this process loses nothing: the same command goes on. One executor a key. What it does goes to
    standard error.

    \b
    Examples:
      tideline executor --rpc $RPC1 --rpc $RPC2 --rpc-quorum 2 --key keystore:keeper.json --allow $VAULT
      tideline executor --rpc $RPC --key keystore:keeper.json --allow $VAULT --live
      tideline executor halt --reason "the pool looks odd"
    """
    if context.invoked_subcommand is not None:
        return
    check_urls(urls)
    if key is None:
        raise ConfigError("name the keeper's key: --key keystore:FILE or --key env:NAME")
    if not vaults:
        raise ConfigError("name every vault that may be touched: --allow VAULT")
    wrong = next((vault for vault in vaults if not is_valid_address(vault)), None)
    if wrong is not None:
        raise ConfigError(f"--allow {wrong!r:.60} is no address; copy it again, the case of its letters is a checksum")
    options = ExecutorOptions(
        urls=urls,
        quorum=quorum,
        database_url=database_url,
        bounds=Bounds(LiveLimits(frozenset(vault.lower() for vault in vaults))),
        fees=FeePolicy(max_fee_wei=max_fee_gwei * _GWEI),
        is_live=is_live,
        is_once=is_once,
    )
    asyncio.run(_execute(options, load_signer(key, os.environ)))


@executor.command("status", short_help="Is it halted, and what did it do?")
@database_option
def status_command(*, database_url: str) -> None:
    """Print the kill switch and the last live plans as one JSON object.

    \b
    Example:
      tideline executor status
    """

    async def read(store: Store) -> dict[str, Any]:
        halt = await store.read_halt()
        rows = [e for e in await store.executions() if e.mode == CHAIN]
        return {"halted": halt.is_set, "reason": halt.reason, "executions": [_row(e) for e in rows[:_SHOWN]]}

    click.echo(json.dumps(_with_store(database_url, read)))


@executor.command("halt", short_help="Sign nothing from now on.")
@click.option("--reason", required=True, help="Why; shown until it is resumed.")
@database_option
def halt_command(*, reason: str, database_url: str) -> None:
    """Set the kill switch: no executor on this database signs a plan, after restarts neither.

    What is on its way to the chain already is followed to its end.

    \b
    Example:
      tideline executor halt --reason "the pool looks odd"
    """
    _with_store(database_url, lambda store: store.set_halt(Halt(is_set=True, reason=reason)))
    click.echo("halted")


@executor.command("resume", short_help="Sign again.")
@database_option
def resume_command(*, database_url: str) -> None:
    """Clear the kill switch.

    \b
    Example:
      tideline executor resume
    """
    _with_store(database_url, lambda store: store.set_halt(Halt(is_set=False)))
    click.echo("resumed")


async def _execute(options: ExecutorOptions, signer: Signer) -> None:
    await asyncio.to_thread(rehearsal_code)  # without a compiler nothing can be rehearsed: say so now
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(options.database_url, create=False))
        chain_id = await read_chain_id(options.urls)
        endpoints = Endpoints.over_http(options.urls, chain_id=chain_id, quorum=options.quorum)
        stack.push_async_callback(endpoints.close)
        transactor = None
        if options.is_live:
            holder = stack.enter_context(LeaseName(options.database_url, "executor"))
            chain, settings = TransactionChain(endpoints), Settings(options.fees)
            transactor = await Transactor.open(
                store, chain, signer, chain_id=chain_id, holder=holder, settings=settings
            )

        async def connect(pair_address: str, vault: str) -> VaultReader:
            return await VaultReader.connect(endpoints, pair_address, vault, _READING)

        desk = Desk(
            store=store,
            endpoints=endpoints,
            transactor=transactor,
            keeper=signer.address,
            bounds=options.bounds,
            connect=connect,
            observe=lambda fact: click.echo(line(fact), err=True),
            clock=RealClock(),
            now=lambda: int(time.time()),
        )
        service = ExecutorService(desk)
        mode = "live" if options.is_live else "dry run, nothing is signed"
        click.echo(f"executor {signer.address} on chain {chain_id}: {mode}", err=True)
        work = service.drain() if options.is_once else service.run(poll_s=_POLL_S)
        await until_stopped(asyncio.ensure_future(work))


def line(fact: Fact) -> str:
    """Return what happened as one line."""
    match fact:
        case Refusal(execution_id, reason):
            return f"{execution_id}: refused: {reason}"
        case DryRun(execution_id, prepared):
            return f"{execution_id}: would call {prepared.step.to} with {len(prepared.step.data)} bytes"
        case Submitted(execution_id, prepared):
            return f"{execution_id}: calls {prepared.step.to} with {len(prepared.step.data)} bytes"
        case Ended(transaction):
            receipt = transaction.receipt
            where = "" if receipt is None else f" in block {receipt.block_number}, {receipt.tx_hash}"
            why = f": {transaction.reason}" if transaction.reason else ""
            return f"{transaction.call.execution_id}: {transaction.phase}{where}{why}"
        case Waiting(reason):
            return f"waiting: {reason}"


def _row(execution: Execution) -> dict[str, Any]:
    names = ("execution_id", "vault", "status", "guard", "effective_block", "tx_hash", "gas_used", "amounts")
    return {name: getattr(execution, name) for name in names}


def _with_store(url: str, use: Callable[[Store], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with await Store.open(url, create=False) as store:
            return await use(store)

    return asyncio.run(run())
