"""`tideline devnet`: a private chain on which a real pool lives its recorded life again."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from simulator import records
from simulator.chain.devnet import CHAIN_ID, Devnet, DevnetSettings, PlayedBlock
from simulator.chain.pacing import Pace, Pacer
from simulator.chain.playing import Difference
from simulator.chain.verification import Verification, verify
from simulator.recorded import RealClock, parse_speed
from simulator.records import Record
from tideline.wiring import stop_on_signals

F = TypeVar("F", bound=Callable[..., Any])

PORT = 8545  # where tools look for a development node
PROGRESS_S = 10.0


def record_option(command: F) -> F:
    """Add `--record`."""
    return click.option(
        "--record",
        "record_name",
        default="usdc-weth-005",
        show_default=True,
        help="A record that ships with Tideline, or a file of the neutral format.",
    )(command)


@click.group(invoke_without_command=True)
@record_option
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--chain-id", type=click.IntRange(1, 2**32), default=CHAIN_ID, show_default=True)
@click.option("--speed", default="60x", show_default=True, help="Chain seconds per second: 1x, 500x, or max.")
@click.option(
    "--block-time",
    type=click.FloatRange(min=0.001, max=86400),
    help="Seconds between blocks, whatever --speed says. Times on the chain stay those of the record.",
)
@click.option(
    "--history", type=click.IntRange(1, 100_000), default=128, show_default=True, help="Blocks whose state is kept."
)
@click.option("--json", "as_json", is_flag=True, help="Say where everything is as one JSON object.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.pass_context
def devnet(
    context: click.Context,
    *,
    record_name: str,
    port: int,
    chain_id: int,
    speed: str,
    block_time: float | None,
    history: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run a private chain with the real Uniswap V3 and a real pool that trades as it did.

    Starts anvil (the one on PATH, else npm fetches it), deploys the published contracts, rebuilds the pool of a record
    to the last tick and plays its swaps, mints and burns as transactions, lap after lap. Blocks have the numbers and
    times of the record. Where everything is goes to standard output, progress to standard error. Ctrl-C stops it and
    leaves nothing behind.

    \b
    Examples:
      tideline devnet
      tideline devnet --record wbtc-weth-03 --speed 500x
      tideline devnet --port 0 --block-time 2 --json
      tideline devnet verify --swaps 200 --json
    """
    if context.invoked_subcommand is not None:
        return
    pace = Pace(parse_speed(speed), block_time)
    settings = DevnetSettings(port=port, chain_id=chain_id, state_blocks=history)
    asyncio.run(_run(_load(record_name), settings, pace, as_json=as_json, quiet=quiet))


@devnet.command("verify", short_help="Hold the devnet against the record, swap by swap.")
@record_option
@click.option("--swaps", type=click.IntRange(min=1), default=200, show_default=True, help="How many to play.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify_command(context: click.Context, *, record_name: str, swaps: int, as_json: bool) -> None:
    """Play swaps on a fresh devnet and compare each with what the record's chain did.

    Every swap must give the recorded amounts, price, liquidity and tick, every mint and burn in between the recorded
    amounts. Empty blocks are left out. The port is any that is free. Exit code: 0 all exact, 1 something differs,
    2 there is no anvil to be had.

    \b
    Examples:
      $ tideline devnet verify --swaps 200 --json
      {"swaps": 200, "mismatches": 0, "engine": "anvil 1.7.1"}
      $ tideline devnet verify --record wbtc-weth-03 --swaps 725
    """
    result = asyncio.run(_verify(_load(record_name), swaps))
    click.echo(json.dumps(_json(result)) if as_json else _text(result, record_name))
    context.exit(0 if result.mismatches == 0 else 1)


def _load(name: str) -> Record:
    path = Path(name)
    return records.load_file(path) if name not in records.names() and path.exists() else records.load(name)


async def _run(record: Record, settings: DevnetSettings, pace: Pace, *, as_json: bool, quiet: bool) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with await Devnet.start(record, settings) as net:
        click.echo(json.dumps(_where(net, settings)) if as_json else _table(net, settings))
        sys.stdout.flush()  # a script that waits for it must not wait for a buffer to fill
        progress = Progress(quiet=quiet)
        playing = asyncio.create_task(_play(net, pace, progress))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not stop.is_set():
            await playing  # it never ends but by an error
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        progress.end()


async def _play(net: Devnet, pace: Pace, progress: Progress) -> None:
    pacer = Pacer(pace, RealClock())
    while True:
        await pacer.wait(net.chain_seconds_to_next)
        progress.take(await net.next_block())


async def _verify(record: Record, swaps: int) -> Verification:
    async with await Devnet.start(record) as net:
        return await verify(net, swaps)


class Progress:
    """What a devnet has played, told now and then; the first difference from the record at once."""

    def __init__(self, *, quiet: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._monotonic = monotonic
        self._told_s = monotonic()
        self._last = ""
        self.swaps = 0
        self.differences = 0

    def take(self, played: PlayedBlock) -> None:
        """Take one block."""
        self.swaps += len(played.swaps)
        if played.differences and self.differences == 0:
            self._tell(f"no longer as recorded: {_difference(played.differences[0])}. Others trade in this pool, then")
        self.differences += len(played.differences)
        self._last = f"block {played.number}  {self.swaps} swaps played, {self.differences} differ from the record"
        if self._monotonic() - self._told_s >= PROGRESS_S:
            self._told_s = self._monotonic()
            self._tell(self._last)

    def end(self) -> None:
        """Say how far it came."""
        self._tell(f"stopped at {self._last}" if self._last else "stopped")

    def _tell(self, text: str) -> None:
        if not self._quiet:
            click.echo(f"devnet      {text}", err=True)


def _where(net: Devnet, settings: DevnetSettings) -> dict[str, Any]:
    record = net.record
    return {
        "rpc": net.url,
        "websocket": net.url.replace("http://", "ws://"),
        "chain_id": settings.chain_id,
        "engine": net.engine,
        "pid": net.pid,
        "record": record.name,
        "opening_block": net.opening_block,
        **asdict(net.addresses),
    }


def _table(net: Devnet, settings: DevnetSettings) -> str:
    info = net.record.info
    notes = {
        "pool": f"{info.token0.symbol}/{info.token1.symbol} {info.fee_pips / 10_000:g} %, spacing {info.tick_spacing}",
        "token0": f"{info.token0.symbol}, {info.token0.decimals} decimals",
        "token1": f"{info.token1.symbol}, {info.token1.decimals} decimals",
    }
    lines = [f"{name:<17} {value}  {notes.get(name, '')}".rstrip() for name, value in _where(net, settings).items()]
    return "\n".join(lines)


def _json(result: Verification) -> dict[str, Any]:
    value: dict[str, Any] = {"swaps": result.swaps, "mismatches": result.mismatches, "engine": result.engine}
    if result.first is not None:
        # Decimal strings, because many JSON readers round large integers.
        exact = {key: str(item) for key, item in asdict(result.first).items() if key in ("expected", "got")}
        value["first_mismatch"] = asdict(result.first) | exact
    return value


def _text(result: Verification, record_name: str) -> str:
    head = f"{result.swaps} swaps of {record_name} on {result.engine}: "
    if result.first is None:
        return head + "every amount, price, tick and liquidity as recorded"
    return head + f"{result.mismatches} events differ, first {_difference(result.first)}"


def _difference(item: Difference) -> str:
    where = f"block {item.block}, event {item.log_index}"
    return f"{where}: {item.field} {item.got} instead of {item.expected}"
