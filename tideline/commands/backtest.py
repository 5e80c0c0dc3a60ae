"""`tideline backtest`: the score a strategy sees at home is the score that it gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from db.job import Job, validate_job
from miner.backtest import PlayedRound
from miner.strategies import DEFAULT
from protocol.errors import ConfigError
from simulator.engine import Engine
from tideline.backtest_data import RECORDED, Data, Source, load
from tideline.backtest_play import Contest, Entry, Tell, most_rounds, play
from tideline.backtest_report import report
from tideline.backtest_result import print_result, result_json
from tideline.commands.miner import parse_settings
from tideline.demo import demo_jobs
from tideline.wiring import engine_option

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Score strategies on recorded rounds, exactly as a validator would.")
@click.option("--strategy", default=DEFAULT, show_default=True, help="A name, or module:Class for your own.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of it; repeatable.")
@click.option("--against", default="hold,wide,band", show_default=True, help="Others to play beside it, by name.")
@click.option(
    "--data",
    default=RECORDED,
    show_default=True,
    help="recorded: the job's record; a neutral file; a pool events database (sqlite:///… or postgresql://…); "
    "or a made-up market: quiet, trending, crash.",
)
@click.option(
    "--from-block", type=click.IntRange(min=0), help="Where in a database to begin; default its first snapshot."
)
@click.option("--names", type=_FILE, help="What an external database calls things (docs/indexer.md).")
@click.option("--snapshots", metavar="DATABASE", help="Index of our own that has a snapshot for an external database.")
@click.option("--days", type=float, help="Play a future of so many days, drawn from windows of the data.")
@click.option("--window-hours", type=float, default=6.0, show_default=True, help="Length of those windows.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what is drawn.")
@click.option("--job", "job_name", default="usdc-weth", show_default=True, help="A demo job, or a JSON file of a job.")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds to play; default all that the data holds.")
@click.option(
    "--resume", "state_file", type=_FILE, help="Keep finished rounds in this file, and go on from those in it."
)
@click.option("--out", type=_FILE, help="Write a report to this HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: scores raw in units of 1e-18.")
@engine_option
def backtest(
    *,
    strategy: str,
    settings: tuple[str, ...],
    against: str,
    job_name: str,
    rounds: int | None,
    state_file: Path | None,
    out: Path | None,
    as_json: bool,
    engine: Engine,
    **where: Any,
) -> None:
    """Play a strategy through the rounds of a market.

    It is asked what a validator would ask, at the same blocks; its answers become plans, and plans a ledger, through
    the functions of the validator's rounds. The scores are those that a validator stores, to the last digit. All play
    alone against the market, each on its own fork. Progress goes to standard error, the result to standard output.

    \b
    Examples:
      tideline backtest --strategy btr_plus --against hold,wide,band --data recorded
      tideline backtest --strategy btr_plus --days 30 --seed 1 --out month.html
      tideline backtest --strategy band --set half_width=8 --set edge=2 --rounds 20
      PYTHONPATH=. tideline backtest --strategy my_strategies:Quiet --job wbtc-weth --resume quiet.jsonl
    """
    started_s = time.monotonic()
    job = _job(job_name)
    contest = make_contest(entries_of(strategy, settings, against), job, Source.of(job, **where), rounds)
    data = load(contest.source)
    with _progress(contest.rounds, is_terminal=sys.stderr.isatty()) as tell:
        played = asyncio.run(play(contest, state_file, tell, engine=engine))
    headline = _headline(contest, data, played)
    if out is not None:
        _write(out, report(headline, played, data.info))
    if as_json:
        seconds = round(time.monotonic() - started_s, 3)
        value = result_json(played)
        click.echo(json.dumps({"job": contest.job.job_id, "data": data.name, **value, "seconds": seconds}))
    else:
        click.echo(headline)
        print_result(played)


def entries_of(strategy: str, settings: Sequence[str], against: str) -> tuple[Entry, ...]:
    """Return who plays. What cannot be built is said before anything is played."""
    mine = Entry.of(strategy, parse_settings(tuple(settings)))
    others = dict.fromkeys(name.strip() for name in against.split(",") if name.strip())
    return (mine, *(Entry.of(name, {}) for name in others if name != mine.label))


def make_contest(entries: tuple[Entry, ...], job: Job, source: Source, rounds: int | None) -> Contest:
    """Return a contest over so many rounds, or all that the data holds. Raises ConfigError where it holds fewer."""
    data = load(source)
    most = most_rounds(job, data)
    if (rounds or 1) > most:
        raise ConfigError(f"{data.name} holds {most} rounds of job {job.job_id}; use at most that")
    return Contest(entries, job, source, rounds or most)


def _job(name: str) -> Job:
    found = next((job for job in demo_jobs() if job.job_id == name), None)
    if found is not None:
        return found
    path = Path(name)
    if not path.is_file():
        demos = ", ".join(job.job_id for job in demo_jobs())
        raise ConfigError(f"--job {name!r:.80} is neither a file nor one of {demos}")
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read job {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no job; write an object of its settings, as `tideline jobs` names them")
    return validate_job(value)


@contextlib.contextmanager
def _progress(rounds: int, *, is_terminal: bool) -> Iterator[Tell]:
    """Show a bar on a terminal, a line a round elsewhere."""
    if not is_terminal:
        yield lambda played: click.echo(_line(played, rounds), err=True)
        return
    from rich.console import Console  # most runs of most commands never draw
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rounds", total=rounds, now="")
        yield lambda played: bar.update(task, completed=played.number, now=f"block {played.end_block}")


def _line(played: PlayedRound, rounds: int) -> str:
    scores = (f"{p.label} {p.score_e18 / 1e14:+.3f} bp" for p in played.played if p.score_e18 is not None)
    return f"round {played.number}/{rounds} to block {played.end_block}  {'  '.join(scores)}"


def _write(out: Path, page: str) -> None:
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another --out") from error


def _headline(contest: Contest, data: Data, played: Sequence[PlayedRound]) -> str:
    first, last = (datetime.fromtimestamp(s, UTC) for s in (played[0].start_timestamp, played[-1].end_timestamp))
    return (
        f"{contest.job.job_id} on {data.name}: {len(played)} rounds, "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {sum(p.swaps for p in played)} swaps"
    )
