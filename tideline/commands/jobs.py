"""`tideline jobs`: what the validator works on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from db.job import SETTINGS, Job, validate_job
from db.records import Round
from db.store import Store
from protocol.errors import ConfigError
from tideline.markets import check_playable
from tideline.wiring import database_option

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])

PATIENCE_MS = 5_000  # with a locked database: a person is waiting

# Values go through as text: `validate_job` is the one place that judges them.
_SETTINGS = (
    click.option("--vault", "sn_liquidity_manager_address", metavar="ADDRESS", help="The vault (liquidity manager)."),
    click.option("--pair", "pair_address", metavar="ADDRESS", help="The pool."),
    click.option("--target", metavar="pol|max_value", help="pol: keep the opening token bundle growing."),
    click.option("--quote-token", metavar="token0|token1", help="The token in which value is measured."),
    click.option("--chain-id", metavar="N", help="EVM chain; default 8453 (Base)."),
    click.option("--round-duration-seconds", metavar="S", help="Length of a round; default 900."),
    click.option("--checkpoint-interval-blocks", metavar="N", help="Blocks between questions; default 150."),
    click.option("--miner-deadline-seconds", metavar="S", help="Time to answer, 1 to 60; default 60."),
    click.option("--weight", metavar="W", help="This job's share against others; default 1, 6 decimals at most."),
    click.option("--max-pool-share", metavar="PPM", help="In-range share to flag, parts per million; default 10000."),
    click.option("--feed", metavar="chain|recorded", help="Where blocks come from; default chain."),
    click.option("--record", metavar="NAME", help="The recorded market (recorded feed only)."),
    click.option(
        "--opening",
        metavar="JSON|@FILE",
        help="Inventory of a virtual vault; a chain job without one reads its vault on chain.",
    ),
    click.option("--gas-price-wei", metavar="WEI", help="Price charged for each operation's gas; default 0."),
    click.option("--native-token", metavar="token0|token1", help="The pool token that pays for gas, if one does."),
    click.option("--native-rate-num", metavar="N", help="Otherwise: raw quote units ..."),
    click.option("--native-rate-den", metavar="WEI", help="... for this many wei."),
    click.option(
        "--live-mode", metavar="paper|chain", help="chain: an executor carries live plans out; default paper."
    ),
    click.option(
        "--live-confidence-ppm", metavar="PPM", help="How sure it must be that a live miner beats the benchmark."
    ),
)


def _settings_options(command: _F) -> _F:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@click.group()
def jobs() -> None:
    """Add, change, list, pause, resume and remove jobs. A running validator notices within seconds.

    \b
    Examples:
      tideline jobs add weth-usdc --vault 0x5290…9EE7 --pair 0xd0b5…F224 --target max_value --quote-token token1
      tideline jobs list
      tideline jobs update weth-usdc --weight 2.5
      tideline jobs pause weth-usdc
    """


@jobs.command("add")
@click.argument("job_id")
@_settings_options
@click.option("--paused", is_flag=True, help="Add it without starting it.")
@database_option
def add_command(*, job_id: str, paused: bool, database_url: str, **settings: str | None) -> None:
    """Add a job; the database is made if there is none.

    \b
    Examples:
      tideline jobs add weth-usdc --vault 0x52908400098527886E0F7030069857D2E4169EE7 \\
          --pair 0xd0b53D9277642d899DF5C87A3966A349A798F224 --target max_value --quote-token token1
      tideline jobs add replay --vault 0x0000000000000000000000000000000000000000 --chain-id 1 \\
          --pair 0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640 --target pol --quote-token token0 \\
          --feed recorded --record usdc-weth-005 --checkpoint-interval-blocks 20 \\
          --opening '{"amount0": "5000000000", "amount1": "2200000000000000000"}'
    """
    job = validate_job({**_given(settings), "job_id": job_id, "is_active": not paused})
    check_playable(job)

    async def add(store: Store) -> Job:
        return await store.add_job(job)

    added = _with_store(database_url, add, create=True)
    click.echo(f"added job {added.job_id}, {_state(added)}")


@jobs.command("update")
@click.argument("job_id")
@_settings_options
@database_option
def update_command(*, job_id: str, database_url: str, **settings: str | None) -> None:
    """Change settings of a job, from its next round on.

    \b
    Example:
      tideline jobs update weth-usdc --weight 2.5 --miner-deadline-seconds 30
    """
    changes = _given(settings)
    if not changes:
        raise ConfigError("nothing to change; give at least one setting (see: tideline jobs update --help)")

    async def update(store: Store) -> Job:
        job = await find_job(store, job_id)
        before = {name: value for name, value in job.to_mapping().items() if name in SETTINGS}
        check_playable(validate_job({**before, **changes}))
        return await store.update_job(job_id, changes)

    changed = _with_store(database_url, update)
    click.echo(f"job {changed.job_id} is at revision {changed.revision}")


@jobs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def list_command(*, as_json: bool, database_url: str) -> None:
    """List the jobs.

    \b
    Example:
      tideline jobs list
    """
    found = _with_store(database_url, lambda store: store.list_jobs())
    if as_json:
        click.echo(json.dumps([job.to_mapping() for job in found], indent=2))
        return
    if not found:
        click.echo("no jobs; add one with: tideline jobs add")
        return
    rows = [
        (job.job_id, _state(job), job.feed, job.target, str(job.chain_id), job.pair_address, str(job.weight))
        for job in found
    ]
    _print_table(("JOB", "STATE", "FEED", "TARGET", "CHAIN", "POOL", "WEIGHT"), rows)


@jobs.command("show")
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def show_command(*, job_id: str, as_json: bool, database_url: str) -> None:
    """Show a job's settings and its latest rounds.

    \b
    Example:
      tideline jobs show weth-usdc
    """

    async def show(store: Store) -> tuple[Job, list[Round]]:
        return await find_job(store, job_id), await store.round_history(job_id, limit=5)

    job, rounds = _with_store(database_url, show)
    settings = job.to_mapping()
    if as_json:
        shown = [{"round_id": r.round_id, "status": r.status, "winner_hotkey": r.winner_hotkey} for r in rounds]
        click.echo(json.dumps({**settings, "rounds": shown}, indent=2))
        return
    width = max(map(len, settings))
    for name, value in settings.items():
        click.echo(f"{name:<{width}}  {_shown(name, value)}")
    if rounds:
        click.echo()
        _print_table(
            ("ROUND", "STATUS", "BLOCKS", "WINNER OR REASON"),
            [
                (r.round_id, r.status, f"{r.start_block}-{r.end_block or ''}", r.winner_hotkey or r.reason or "-")
                for r in rounds
            ],
        )


@jobs.command("pause")
@click.argument("job_id")
@database_option
def pause_command(*, job_id: str, database_url: str) -> None:
    """Start no more rounds of a job; the one under way ends.

    \b
    Example:
      tideline jobs pause weth-usdc
    """
    job = _with_store(database_url, lambda store: store.set_job_active(job_id, active=False))
    click.echo(f"job {job.job_id} is {_state(job)}")


@jobs.command("resume")
@click.argument("job_id")
@database_option
def resume_command(*, job_id: str, database_url: str) -> None:
    """Start rounds of a paused job again.

    \b
    Example:
      tideline jobs resume weth-usdc
    """
    job = _with_store(database_url, lambda store: store.set_job_active(job_id, active=True))
    click.echo(f"job {job.job_id} is {_state(job)}")


@jobs.command("remove")
@click.argument("job_id")
@click.option("--force", is_flag=True, help="Remove it although it has rounds; its history and its id are kept.")
@database_option
def remove_command(*, job_id: str, force: bool, database_url: str) -> None:
    """Remove a job for good.

    \b
    Example:
      tideline jobs remove weth-usdc --force
    """
    _with_store(database_url, lambda store: store.remove_job(job_id, force=force))
    click.echo(f"removed job {job_id}")


@jobs.command("migrate")
@database_option
def migrate_command(*, database_url: str) -> None:
    """Make the database, or bring it to this version of Tideline.

    \b
    Example:
      tideline jobs migrate --db postgres://tideline@db.example/tideline
    """
    _with_store(database_url, lambda store: store.list_jobs(), create=True)
    click.echo("the database is up to date")


async def find_job(store: Store, job_id: str) -> Job:
    """Return a job, or raise ConfigError naming those that exist."""
    job = await store.get_job(job_id)
    if job is None:
        known = ", ".join(job.job_id for job in await store.list_jobs()) or "none"
        raise ConfigError(f"there is no job {job_id}; known: {known}")
    return job


def _with_store(url: str, use: Callable[[Store], Awaitable[_T]], *, create: bool = False) -> _T:
    async def run() -> _T:
        async with await Store.open(url, create=create, busy_timeout_ms=PATIENCE_MS) as store:
            return await use(store)

    return asyncio.run(run())


def _given(settings: dict[str, str | None]) -> dict[str, str]:
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("opening", "").startswith("@"):
        path = Path(given["opening"][1:])
        try:
            given["opening"] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the opening from {path}: {error}") from error
    return given


def _shown(name: str, value: object) -> str:
    if name in ("created_at", "updated_at") and isinstance(value, int):
        return datetime.fromtimestamp(value, UTC).isoformat(" ")
    if isinstance(value, dict | bool):
        return json.dumps(value)
    return "-" if value is None else str(value)


def _state(job: Job) -> str:
    return "active" if job.is_active else "paused"


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
