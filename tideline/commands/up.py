"""`tideline up`: the whole loop on one machine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction

import click

from db.job import Job
from db.store import Store
from protocol.errors import ConfigError, TidelineError
from protocol.signing import Signer, keypair_from_uri
from protocol.units import Hotkey, JobId
from simulator import records
from simulator.market import Market, MarketInfo
from simulator.recorded import RecordedMarket, parse_speed
from simulator.records import Record
from tideline.commands.leaderboard import load_boards, print_board
from tideline.console import Console, Tally
from tideline.demo import (
    DEMO_MINERS,
    DEMO_VALIDATOR_URI,
    LIVE_JOB_ID,
    demo_jobs,
    devnet_of,
    live_demo_job,
    market_settings,
)
from tideline.embedded import (
    NETUID,
    START_BLOCK,
    SUBTENSOR_BLOCK_S,
    ClockedMarket,
    EmbeddedClock,
    make_chain,
    start_miners,
    validator_endpoint,
)
from tideline.embedded_subtensor import InMemorySubtensor
from tideline.guard import gate, guard
from tideline.markets import open_market
from tideline.wiring import LeaseName, code_version, database_option, stop_on_signals, until_stopped
from validator.job_runner import RunnerContext
from validator.roster import MetagraphRoster
from validator.service import ServiceSettings, ValidatorService
from validator.subtensor import ValidatorChain
from validator.transport import MinerClient
from validator.weight_setter import WeightSetter, WeightSettings
from validator.weights_service import WeightsService

METAGRAPH_REFRESH_S = 300.0
PUT_AWAY_S = 60


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), help="Stop after this many evaluation rounds of each job.")
@click.option("--speed", default="60x", show_default=True, help="Chain seconds per second: 1x, 500x, or max.")
@click.option(
    "--market",
    type=click.Choice(["devnet", "recorded"]),
    help="devnet: private chains on which the markets trade as they did; recorded: the same without a chain, faster. "
    "Default: devnet, or recorded where anvil cannot be had.",
)
@click.option(
    "--live/--no-live",
    default=None,
    help="The live round on chain: seven days of rounds on a record, then a vault, an executor, and the winner's plan "
    "as a transaction. --live: this alone, then end. Default: beside the markets, where these are devnets and --rounds "
    "is not given.",
)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on standard output.")
@click.option("--quiet", is_flag=True, help="Show finished rounds only, not every checkpoint.")
@database_option
def up(
    *,
    rounds: int | None,
    speed: str,
    market: str | None,
    live: bool | None,
    as_json: bool,
    quiet: bool,
    database_url: str,
) -> None:
    """Run a validator, four miners and two real markets on this machine, and show a live round on chain.

    Each market is a private chain (anvil, a child process) with the real contracts, on which a real pool trades as it
    did; the validator reads it over HTTP as it would read Base. Every event goes into every miner's own fork; miners
    answer signed queries over HTTP on loopback; the Bittensor chain is in memory behind the SDK's own client. Beside
    the two, a third job is played through seven days at once; its winner then plays a live round: an executor with a
    key of its own carries the plan out on a vault. Progress goes to standard error, the leaderboard to standard
    output. A second run continues where the first one ended. Stop it with Ctrl-C; nothing is left running.

    \b
    Examples:
      tideline up                                                        # a live round on chain within a minute
      tideline up --rounds 3 --speed max
      tideline up --live                                                 # the live round alone, then end
      tideline up --market recorded --rounds 800 --speed max --quiet     # past day 8: live rounds on paper
    """
    if live and (rounds is not None or market == "recorded"):
        raise click.UsageError("--live plays its own rounds on its own devnet: leave --rounds and --market out.")
    if live:
        tally = asyncio.run(_up_live(database_url, detail=not quiet))
    else:
        shows_live = live is None and rounds is None
        tally = asyncio.run(
            _up(rounds, parse_speed(speed), market, database_url, detail=not quiet, shows_live=shows_live)
        )
    _print_results(database_url, tally, as_json=as_json)


async def _up(
    rounds: int | None, speed: Fraction | None, wanted: str | None, database_url: str, *, detail: bool, shows_live: bool
) -> Tally:
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(database_url, create=True))
        holder = stack.enter_context(LeaseName(database_url))
        signer = keypair_from_uri(DEMO_VALIDATOR_URI)
        names = {keypair_from_uri(miner.key_uri).ss58_address: miner.name for miner in DEMO_MINERS}
        markets: dict[str, MarketInfo] = {}
        console = Console(names, markets, detail=detail)
        on_devnet = await _has_devnet(wanted, console)
        jobs = await _ensure_jobs(store, on_devnet=on_devnet)
        await _put_live_job_away(store, holder)
        markets |= {job.job_id: _record_of(job).info for job in (*jobs, live_demo_job())}
        chain = make_chain(signer.ss58_address, list(names))
        clock = EmbeddedClock(chain)
        await _catch_up(chain, store, jobs)
        view, context = await _subnet(stack, chain, signer, store, console)

        async def market(job: Job, resume_after: int | None) -> Market:
            return ClockedMarket(job.job_id, await _open(job, resume_after, speed, console), clock)

        settings = ServiceSettings(max_rounds=rounds)
        if on_devnet and shows_live:
            from tideline.live_demo import LiveDemo  # a second to import

            settings = ServiceSettings(not_ours=frozenset({LIVE_JOB_ID}))
            demonstration = LiveDemo(context, console, database_url, holder=holder).play()
            await stack.enter_async_context(_beside(demonstration, console))
        service = ValidatorService(context, market, settings, holder=holder)
        setter = WeightSetter(view, WeightSettings(), last_set_epoch=await _last_epoch(store))
        weights = WeightsService(setter, store, clock, console, netuid=NETUID)
        await weights.run_beside(service.run(stop), stop)
        return console.tally


@asynccontextmanager
async def _beside(demonstration: Coroutine[None, None, None], console: Console) -> AsyncIterator[None]:
    """Let it go on for the length of the block, at most. Its failure is told, and costs the block nothing."""

    def tell(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            said = str(error) if isinstance(error, TidelineError) else repr(error)
            console.note(LIVE_JOB_ID, f"the live round on chain is not shown, the markets play on: {said}")

    task = asyncio.ensure_future(demonstration)
    task.add_done_callback(tell)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _up_live(database_url: str, *, detail: bool) -> Tally:
    """Play the live demonstration until it ends or a signal stops it."""
    from simulator.chain.devnet import Devnet  # these take a second to import
    from tideline.live_demo import LiveDemo

    await asyncio.to_thread(Devnet.prepare)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(database_url, create=True))
        signer = keypair_from_uri(DEMO_VALIDATOR_URI)
        names = {keypair_from_uri(miner.key_uri).ss58_address: miner.name for miner in DEMO_MINERS}
        console = Console(names, {LIVE_JOB_ID: _record_of(live_demo_job()).info}, detail=detail)
        chain = make_chain(signer.ss58_address, list(names))
        _, context = await _subnet(stack, chain, signer, store, console)
        holder = stack.enter_context(LeaseName(database_url))
        demonstration = LiveDemo(context, console, database_url, holder=holder)
        await until_stopped(asyncio.ensure_future(demonstration.play()))
        return console.tally


async def _subnet(
    stack: AsyncExitStack, chain: InMemorySubtensor, signer: Signer, store: Store, console: Console
) -> tuple[ValidatorChain, RunnerContext]:
    """Start the miners, and return the validator's view of their chain and what it works with."""
    await start_miners(stack, chain, DEMO_MINERS, code_version())
    view = await ValidatorChain.connect(validator_endpoint(chain), signer)
    stack.push_async_callback(view.close)
    await view.uid()
    client = await stack.enter_async_context(MinerClient(signer, allow_private=True))
    roster = MetagraphRoster(view, Hotkey(signer.ss58_address), refresh_s=METAGRAPH_REFRESH_S, monotonic=time.monotonic)
    return view, RunnerContext(store, client, roster, guard, gate, signer, console, code_version())


async def _has_devnet(wanted: str | None, console: Console) -> bool:
    """Return whether to play on devnets. Raises ConfigError where they are wanted and cannot be had."""
    if wanted == "recorded":
        return False
    from simulator.chain.devnet import Devnet  # a second to import, which the recorded markets do not need

    try:
        await asyncio.to_thread(Devnet.prepare)
    except ConfigError as error:
        if wanted is not None:
            raise
        console.note("devnet", f"playing the recorded markets instead: {error}")
        return False
    return True


async def _open(job: Job, resume_after: int | None, speed: Fraction | None, console: Console) -> Market:
    net = devnet_of(job)
    if net is None:
        return await open_market(job, resume_after, speed, {})
    from tideline.devnet_market import DevnetMarket  # as above

    market = await DevnetMarket.start(
        records.load(net.record), chain_id=net.chain_id, speed=speed, start_block=resume_after
    )
    console.note(job.job_id, f"plays on a devnet: {market.url}, chain {net.chain_id}, pool {net.pool}")
    return market


def _record_of(job: Job) -> Record:
    net = devnet_of(job)
    return records.load(net.record if net is not None else job.record or "")


async def _ensure_jobs(store: Store, *, on_devnet: bool) -> tuple[Job, ...]:
    """Register the demo jobs that never were, and move the others to the market wanted; what else the operator changed
    stays, and what was removed stays removed.
    """
    for job, elsewhere in zip(demo_jobs(on_devnet=on_devnet), demo_jobs(on_devnet=not on_devnet), strict=True):
        found = await store.get_job(job.job_id)
        if found is None:
            if not await store.is_job_id_taken(job.job_id):
                await store.add_job(job)
        elif market_settings(found) == market_settings(elsewhere):
            await store.update_job(job.job_id, market_settings(job))
    listed = [job for job in await store.list_jobs(active_only=True) if job.job_id != LIVE_JOB_ID]
    active = tuple(job for job in listed if job.feed == "recorded" or devnet_of(job) is not None)
    if not active:
        raise ConfigError("every job is paused or removed; use `tideline jobs resume JOB`, or another --db")
    return active


async def _put_live_job_away(store: Store, holder: str) -> None:
    """Pause the live demonstration's job if one that was killed left it active: its vault is gone."""
    job = await store.get_job(LIVE_JOB_ID)
    if job is not None and job.is_active and await store.lease_job(LIVE_JOB_ID, holder, seconds=PUT_AWAY_S):
        await store.set_job_active(LIVE_JOB_ID, active=False)
        await store.release_job(LIVE_JOB_ID, holder)


async def _catch_up(chain: InMemorySubtensor, store: Store, jobs: tuple[Job, ...]) -> None:
    """Move the chain to where an earlier run had brought it, which the markets' own progress tells."""
    elapsed = []
    for job in jobs:
        record = _record_of(job)
        last = await store.last_block(JobId(job.job_id))
        reached = RecordedMarket(record, start_block=last).snapshot().timestamp
        elapsed.append(reached - record.opening.timestamp)
    chain.advance_to(START_BLOCK + min(elapsed) // SUBTENSOR_BLOCK_S)


async def _last_epoch(store: Store) -> int | None:
    last = await store.last_weight_set(NETUID, included_only=True)
    return None if last is None else last.epoch_index


def _print_results(database_url: str, tally: Tally, *, as_json: bool) -> None:
    """Write the leaderboard, the time it took, and the one JSON object, to standard output."""
    names = {keypair_from_uri(miner.key_uri).ss58_address: miner.name for miner in DEMO_MINERS}
    boards = asyncio.run(load_boards(database_url))
    for board in boards:
        print_board(board, names)
        click.echo()
    if not tally.live_executions:
        click.echo("tideline up --live shows a live round on chain: a vault, a transaction, and its score", err=True)
    click.echo(f"{tally.rounds} evaluation rounds, {tally.live_rounds} live rounds in {tally.elapsed_s:.1f} s")
    if as_json:
        summary = {
            "rounds": tally.rounds,
            "live_rounds": tally.live_rounds,
            "inconclusive": tally.voided,
            "jobs": len(boards),
            "scores": tally.scores,
            "weights_set": tally.weights_set,
            "intents": tally.intents,
            "live_executions": tally.live_executions,
            "seconds": round(tally.elapsed_s, 3),
        }
        click.echo(json.dumps(summary))
