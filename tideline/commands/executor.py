"""`tideline executor`: live plans reach the chain."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import click

from db.records import Execution
from db.store import Store
from db.transaction import Halt
from executor.chain import TransactionChain
from executor.keys import Signer, load_signer
from executor.pool_trust import trusted_factory
from executor.preparation import Prepared
from executor.price_source import HttpPrices
from executor.reading import VaultReader
from executor.rehearsal import rehearsal_code
from executor.service import CHAIN, Desk, DryRun, Ended, ExecutorService, Fact, Refusal, Submitted, Waiting
from executor.transactor import Transactor
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings
from simulator.recorded import RealClock
from tideline.executor_options import ExecutorOptions, executor_options, read_options
from tideline.nodes import read_chain_id
from tideline.wiring import LeaseName, database_option, until_stopped

_T = TypeVar("_T")

_POLL_S = 2.0
_SHOWN = 20
_READING = ChainSettings(block_time_s=1)  # the seconds of a block do not matter here


@click.group(invoke_without_command=True)
@executor_options
@database_option
@click.pass_context
def executor(context: click.Context, /, *, database_url: str, **given: Any) -> None:
    """Carry out the plans of live rounds on the vaults whose keeper this key is.

    Plans come from the jobs database, signed with the hotkey of a validator that --validator names. Each is made into
    transactions on the vault as it stands, held against the guards, and rehearsed on a node: unless that comes to what
    the simulator says, to the wei, nothing is signed. Stopping or killing this process loses nothing: the same command
    goes on. One executor a key. What it does goes to standard error.

    \b
    Examples:
      tideline executor --rpc $RPC1 --rpc $RPC2 --rpc-quorum 2 --key keystore:keeper.json --allow $VAULT
      tideline executor --rpc $RPC --key keystore:keeper.json --allow $VAULT --validator $HOTKEY --live
      tideline executor halt --reason "the pool looks odd"
    """
    if context.invoked_subcommand is not None:
        return
    options = read_options(given, database_url)
    asyncio.run(_execute(options, load_signer(given["key"], os.environ)))


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
        factory = trusted_factory(chain_id, options.factory)
        endpoints = Endpoints.over_http(options.urls, chain_id=chain_id, quorum=options.quorum)
        stack.push_async_callback(endpoints.close)
        transactor = None
        if options.is_live:
            holder = stack.enter_context(LeaseName(options.database_url, "executor"))
            chain = TransactionChain(endpoints)
            transactor = await Transactor.open(
                store, chain, signer, chain_id=chain_id, holder=holder, settings=options.settings
            )
        prices, wanted = None, options.prices
        if wanted is not None:
            prices = HttpPrices(wanted.url, max_age_s=wanted.max_age_s, now=_now)
            stack.push_async_callback(prices.close)

        async def connect(pair_address: str, vault: str) -> VaultReader:
            receiver = options.receivers.get(vault.lower())
            return await VaultReader.connect(
                endpoints, pair_address, vault, _READING, fee_receiver=receiver, factory=factory
            )

        desk = Desk(
            store=store,
            endpoints=endpoints,
            transactor=transactor,
            keeper=signer.address,
            validators=options.validators,
            bounds=options.bounds,
            connect=connect,
            observe=lambda fact: click.echo(line(fact), err=True),
            clock=RealClock(),
            now=_now,
            prices=prices,
            waits_for_price=wanted is None or wanted.is_waited_for,
        )
        service = ExecutorService(desk)
        mode = "live" if options.is_live else "dry run, nothing is signed"
        click.echo(f"executor {signer.address} on chain {chain_id}: {mode}", err=True)
        if options.validators is None:
            click.echo("without --validator no plan is held against a signature", err=True)
        work = service.drain() if options.is_once else service.run(poll_s=_POLL_S)
        await until_stopped(asyncio.ensure_future(work))


def line(fact: Fact) -> str:
    """Return what happened as one line."""
    match fact:
        case Refusal(execution_id, reason):
            return f"{execution_id}: refused: {reason}"
        case DryRun(execution_id, prepared):
            return f"{execution_id}: would call {_calls(prepared)}"
        case Submitted(execution_id, prepared):
            return f"{execution_id}: calls {_calls(prepared)}"
        case Ended(transaction):
            receipt = transaction.receipt
            where = "" if receipt is None else f" in block {receipt.block_number}, {receipt.tx_hash}"
            why = f": {transaction.reason}" if transaction.reason else ""
            return f"{transaction.call.execution_id}: {transaction.phase}{where}{why}"
        case Waiting(reason):
            return f"waiting: {reason}"


def _calls(prepared: Prepared) -> str:
    sizes = " and ".join(str(len(step.data)) for step in prepared.steps)
    return f"{prepared.steps[0].to} with {sizes} bytes"


def _now() -> int:
    return int(time.time())


def _row(execution: Execution) -> dict[str, Any]:
    names = ("execution_id", "vault", "status", "guard", "effective_block", "tx_hash", "gas_used", "amounts")
    return {name: getattr(execution, name) for name in names}


def _with_store(url: str, use: Callable[[Store], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with await Store.open(url, create=False) as store:
            return await use(store)

    return asyncio.run(run())
