"""`tideline leaderboard`: who is best at which job, and whether that is skill or luck."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import click

from db.job import Job
from db.store import Store
from protocol.units import BlockNumber, Hotkey, JobId
from tideline.commands.jobs import find_job
from tideline.wiring import database_option
from validator.leaderboard import Excess, LeaderboardRow, rank_miners
from validator.metagraph import Identity
from validator.reputation import PARTICIPATION_WINDOW_DAYS
from validator.standings import standing_of, stored_weights

_BASIS_POINT_E18 = 10**14
_MONTH_OF_ROUNDS = 2976
_HEADER: tuple[str, ...] = (
    "#",
    "miner",
    "uid",
    "combined",
    "evaluation",
    "live",
    "rounds",
    "wins",
    "days",
    "mean ± se",
    "ahead",
    "needs",
    "weight",
)


@dataclass(frozen=True, slots=True)
class JobBoard:
    """One job's table. `weights` are shares of the whole subnet, 0 where a miner has none."""

    job: Job
    rounds: int
    rows: tuple[LeaderboardRow, ...]
    weights: Mapping[Hotkey, Fraction]


@click.command()
@click.option("--job", "job_id", help="Only this job; default all.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=_MONTH_OF_ROUNDS,
    show_default=True,
    help="Newest rounds that the statistics are taken from.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: scores raw in units of 1e-18, hotkeys in full.")
@database_option
def leaderboard(*, job_id: str | None, rounds: int, as_json: bool, database_url: str) -> None:
    """Rank the miners of each job, with how sure the ranking is.

    Scores are basis points of the vault's value earned per round beyond leaving it untouched. "mean ± se" is over the
    rounds in which a miner was scored; "ahead" is the chance that a miner is really better than the next one, from the
    rounds that both played; "needs" is how many rounds its advantage over the benchmark takes to show. "weight" is its
    share of the subnet over all active jobs.

    \b
    Examples:
      tideline leaderboard
      tideline leaderboard --job weth-usdc --json
    """
    boards = asyncio.run(load_boards(database_url, job_id, rounds))
    if as_json:
        click.echo(json.dumps([_board_json(board) for board in boards], indent=2))
        return
    if not boards:
        click.echo("no jobs; add one with: tideline jobs add")
    for index, board in enumerate(boards):
        if index:
            click.echo()
        print_board(board, {})


async def load_boards(url: str, job_id: str | None = None, rounds: int = _MONTH_OF_ROUNDS) -> list[JobBoard]:
    """Read the tables of one job or of all."""
    async with await Store.open(url, create=False) as store:
        every = await store.list_jobs()
        shown = every if job_id is None else [await find_job(store, job_id)]
        weights = await stored_weights(store, [job for job in every if job.is_active])
        return [await _board(store, job, rounds, weights) for job in shown]


async def _board(store: Store, job: Job, rounds: int, weights: Mapping[Identity, Fraction]) -> JobBoard:
    job_id = JobId(job.job_id)
    reputations, participation, today = await standing_of(store, job_id)
    history = await store.round_score_history(job_id, "evaluation", last_rounds=rounds)
    return JobBoard(
        job=job,
        rounds=len({entry.round_number for entry in history}),
        rows=rank_miners(reputations, history, participation, today=today),
        weights={
            miner.hotkey: weights.get(Identity(miner.hotkey, BlockNumber(miner.registered_at_block)), Fraction(0))
            for miner in reputations
        },
    )


def print_board(board: JobBoard, names: Mapping[str, str]) -> None:
    """Write one job's table; `names` puts a name in the place of a hotkey."""
    state = "" if board.job.is_active else ", paused"
    click.echo(f"{board.job.job_id}  ({board.job.target}, weight {board.job.weight}{state}; {board.rounds} rounds)")
    if not board.rows:
        click.echo("  nobody has been scored yet")
        return
    table = [_HEADER, *(_cells(row, board.weights[row.hotkey], names) for row in board.rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADER))]
    for row in table:
        left = f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}"
        rest = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        click.echo(f"  {left}  {rest}")


def _cells(row: LeaderboardRow, weight: Fraction, names: Mapping[str, str]) -> tuple[str, ...]:
    return (
        str(row.rank),
        names.get(row.hotkey) or (f"{row.hotkey[:8]}…{row.hotkey[-4:]}" if len(row.hotkey) > 14 else row.hotkey),
        str(row.uid),
        _basis_points(row.combined_e18),
        _basis_points(row.evaluation_e18),
        _basis_points(row.live_e18),
        f"{row.evaluation_rounds}+{row.live_rounds}" if row.live_rounds else str(row.evaluation_rounds),
        str(row.wins),
        f"{row.participation_days}/{PARTICIPATION_WINDOW_DAYS}",
        mean_text(row.excess),
        "-" if row.lead is None or row.lead.probability_positive is None else f"{row.lead.probability_positive:.1%}",
        "-" if row.excess.rounds_needed is None else str(row.excess.rounds_needed),
        f"{float(weight):.2%}",
    )


def _basis_points(value_e18: int) -> str:
    return f"{Decimal(value_e18) / _BASIS_POINT_E18:+.4f}"


def mean_text(excess: Excess) -> str:
    """Return a mean and its standard error in basis points."""
    if excess.mean_e18 is None:
        return "-"
    mean = f"{excess.mean_e18 / _BASIS_POINT_E18:+.4f}"
    error = excess.standard_error_e18
    return mean if error is None else f"{mean} ± {error / _BASIS_POINT_E18:.4f}"


def _board_json(board: JobBoard) -> dict[str, Any]:
    return {
        "job_id": board.job.job_id,
        "target": board.job.target,
        "weight": str(board.job.weight),
        "is_active": board.job.is_active,
        "rounds": board.rounds,
        "miners": [_row_json(row, board.weights[row.hotkey]) for row in board.rows],
    }


def _row_json(row: LeaderboardRow, weight: Fraction) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "hotkey": row.hotkey,
        "uid": row.uid,
        "combined_e18": str(row.combined_e18),
        "evaluation_e18": str(row.evaluation_e18),
        "live_e18": str(row.live_e18),
        "evaluation_rounds": row.evaluation_rounds,
        "live_rounds": row.live_rounds,
        "participation_days": row.participation_days,
        "wins": row.wins,
        "excess": excess_json(row.excess),
        "lead": None if row.lead is None else excess_json(row.lead),
        "weight": float(weight),
    }


def excess_json(excess: Excess) -> dict[str, Any]:
    """Return statistics, JSON-ready."""
    return {
        "rounds": excess.rounds,
        "mean_e18": excess.mean_e18,
        "standard_error_e18": excess.standard_error_e18,
        "signal_to_noise": excess.signal_to_noise,
        "probability_positive": excess.probability_positive,
        "rounds_needed": excess.rounds_needed,
    }
