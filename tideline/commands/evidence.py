"""`tideline evidence`: recompute a round's scores, or hand them to somebody who will."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click

from db.store import Store
from protocol.errors import ConfigError
from simulator.engine import Engine
from simulator.round import RoundResult
from tideline.wiring import database_option, engine_option
from validator import verification
from validator.verification import SignedEvidence


@click.group()
def evidence() -> None:
    """Recompute a round's scores from its evidence, bit for bit, signatures included.

    \b
    Examples:
      tideline evidence list --job usdc-weth
      tideline evidence verify usdc-weth-evaluation-1
      tideline evidence export usdc-weth-evaluation-1 --out round.json
      tideline evidence verify round.json
    """


@evidence.command("verify")
@click.argument("round_or_file")
@engine_option
@database_option
def verify_command(*, round_or_file: str, engine: Engine, database_url: str) -> None:
    """Recompute every score of a round.

    ROUND_OR_FILE is a round's id in the database, or a file written by `export`. Exit code 0: everything is recomputed
    as claimed.
    1: something differs; the line says what. 2: there is nothing to verify.

    \b
    Example:
      tideline evidence verify usdc-weth-evaluation-1
    """
    path = Path(round_or_file)
    signed = _read(path) if path.is_file() else asyncio.run(_load(database_url, round_or_file))
    result = verification.check(signed, engine=engine)
    _report(signed, result)


@evidence.command("export")
@click.argument("round_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; default ROUND_ID.json.")
@database_option
def export_command(*, round_id: str, out: Path | None, database_url: str) -> None:
    """Write one file with which another machine can verify a round.

    \b
    Example:
      tideline evidence export usdc-weth-evaluation-1 --out round.json
    """
    signed = asyncio.run(_load(database_url, round_id))
    target = out or Path(f"{round_id}.json")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(signed.encode())
        partial.replace(target)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}; choose another --out") from error
    click.echo(f"{target}  {target.stat().st_size} bytes  sha256 of the evidence {signed.digest}")


@evidence.command("list")
@click.option("--job", "job_id", required=True, help="Job whose rounds to list.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Newest rounds to show.")
@database_option
def list_command(*, job_id: str, limit: int, database_url: str) -> None:
    """List a job's newest rounds.

    \b
    Example:
      tideline evidence list --job usdc-weth --limit 5
    """
    asyncio.run(_list(database_url, job_id, limit))


async def _list(database_url: str, job_id: str, limit: int) -> None:
    async with await Store.open(database_url, create=False) as store:
        if await store.get_job(job_id) is None:
            raise ConfigError(f"there is no job {job_id}; `tideline jobs list` shows the jobs")
        for row in await store.round_history(job_id, limit=limit):
            opened = datetime.fromtimestamp(row.start_timestamp, UTC)
            click.echo(f"{row.round_id:<32} {opened:%Y-%m-%d %H:%M}  {row.status:<12} {row.winner_hotkey or '-'}")


async def _load(database_url: str, round_id: str) -> SignedEvidence:
    async with await Store.open(database_url, create=False) as store:
        return await verification.load(store, round_id)


def _read(path: Path) -> SignedEvidence:
    try:
        return SignedEvidence.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _report(signed: SignedEvidence, result: RoundResult) -> None:
    opening = signed.evidence.opening
    answers = sum(r.response_signature is not None for ask in signed.evidence.answers for r in ask)
    click.echo(f"round {opening.round_id}: every score recomputed bit for bit")
    click.echo(f"  evidence  sha256 {signed.digest}, signed by {opening.validator_hotkey}")
    click.echo(f"  replayed  {len(signed.evidence.blocks)} blocks, {result.swaps} swaps, {answers} signed answers")
    for participant in result.participants:
        score = "not scored" if participant.score_e18 is None else f"{participant.score_e18 / 1e14:+.6f} bp"
        click.echo(f"  {participant.hotkey}  {participant.outcome:<8}  {score}")
