"""`tideline backtest`: the score a strategy sees at home is the score that it gets."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from db.job import Job, validate_job
from miner.backtest import PlayedRound
from miner.pictures import check_drawing, draw_pngs
from miner.report import Page, render
from miner.strategies.plus.walk_forward import FoldParams
from protocol.errors import ConfigError
from simulator.engine import Engine
from tideline.backtest_data import Data, Source, load
from tideline.backtest_many import Plan, many_report, outcome_json, play_plan, print_outcome
from tideline.backtest_options import FILE, what_is_played, which_is_better, who_plays, who_works
from tideline.backtest_play import Contest, Entry, check_rounds, most_rounds, play
from tideline.backtest_progress import progress
from tideline.backtest_report import report
from tideline.backtest_result import print_result, result_json
from tideline.backtest_units import Workers
from tideline.commands.miner import parse_settings
from tideline.demo import demo_jobs
from tideline.wiring import engine_option


@click.command(short_help="Score strategies on recorded rounds, exactly as a validator would.")
@who_plays
@what_is_played
@which_is_better
@who_works
@click.option("--resume", type=click.Path(path_type=Path), help="Keep what is done in this file (of many: folder).")
@click.option("--out", type=FILE, help="Write a report to this HTML file.")
@click.option("--png", "pictures", type=click.Path(file_okay=False, path_type=Path), help="Draw it into this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@engine_option
def backtest(
    *,
    strategy: str,
    settings: tuple[str, ...],
    against: str,
    job_name: str,
    rounds: int | None,
    sweeps: tuple[str, ...],
    draws: int,
    is_walk: bool,
    resume: Path | None,
    engine: Engine,
    **more: Any,
) -> None:
    """Play a strategy through the rounds of a market.

    It is asked what a validator would ask, at the same blocks; its answers become plans, and plans a ledger, through
    the functions of the validator's rounds. The scores are those that a validator stores, to the last digit. All play
    alone against the market, each on its own fork. Progress goes to standard error, the result to standard output.

    With --sweep, --draws or --walk-forward many back-tests are played at once, each strategy by itself, over processes.

    \b
    Examples:
      tideline backtest --strategy btr_plus --against hold,wide,band --data recorded
      tideline backtest --strategy btr_plus --days 30 --seed 1 --out month.html
      tideline backtest --strategy band --set half_width=10 --set edge=2 --rounds 20
      tideline backtest --strategy band --sweep half_width=10,20,40 --days 3 --draws 4 --resume band-sweep
      tideline backtest --strategy band --sweep half_width=10,20,40 --days 37 --walk-forward
      PYTHONPATH=. tideline backtest --strategy my_strategies:Quiet --job wbtc-weth --resume quiet.jsonl
    """
    job = _job(job_name)
    entries = entries_of(strategy, settings, against)
    workers = Workers(more.pop("backend"), more.pop("workers"), more.pop("scheduler"))
    folds = FoldParams(more.pop("folds"), more.pop("train_days"), more.pop("gap_days"), more.pop("test_days"))
    output = Output(more.pop("out"), more.pop("pictures"), as_json=more.pop("as_json"))
    is_many = bool(sweeps) or draws > 1 or is_walk
    output.check(is_many=is_many)
    source = Source.of(job, **more)
    if not is_many:
        _one(make_contest(entries, job, source, rounds), resume, output, engine=engine)
        return
    plan = Plan.of(entries, job, source, rounds=rounds, sweeps=sweeps, draws=draws, folds=folds if is_walk else None)
    _many(plan, workers, resume, output, engine=engine)


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go, besides standard output."""

    out: Path | None
    pictures: Path | None
    as_json: bool

    def check(self, *, is_many: bool) -> None:
        """Raise ConfigError, before anything is played, where pictures cannot be had."""
        if self.pictures is None:
            return
        if is_many:
            raise ConfigError("--png draws the charts of one back-test; what many came to is in tables: use --out")
        check_drawing()

    def write(self, make_page: Callable[[], Page]) -> None:
        """Write the page and its pictures, where they are wanted. Raises ConfigError where that cannot be."""
        if self.out is None and self.pictures is None:
            return
        page = make_page()
        if self.pictures is not None:
            draw_pngs(page, self.pictures)
        try:
            if self.out is not None:
                self.out.write_text(render(page), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {self.out}: {error.strerror}; choose another --out") from error


def _one(contest: Contest, resume: Path | None, output: Output, *, engine: Engine) -> None:
    started_s = time.monotonic()
    total = contest.rounds or most_rounds(contest.job, contest.source)
    with progress(total, is_terminal=sys.stderr.isatty()) as tell:
        played = asyncio.run(play(contest, resume, lambda r: tell(r.number, _line(r, total)), engine=engine))
    data = load(contest.source)
    headline = _headline(contest, data, played)
    if output.as_json:
        value = {"job": contest.job.job_id, "data": data.name, "caveat": data.caveat, **result_json(played)}
        click.echo(json.dumps({**value, "seconds": round(time.monotonic() - started_s, 3)}))
    else:
        click.echo(headline)
        print_result(played)
        click.echo(data.caveat, nl=bool(data.caveat))
    output.write(lambda: report(headline, played, data))  # last: what cannot be written must not cost the result


def _many(plan: Plan, workers: Workers, resume: Path | None, output: Output, *, engine: Engine) -> None:
    total = len(plan.candidates) * len(plan.markets)
    headline = f"{plan.job.job_id}, {plan.title}: {len(plan.candidates)} candidates, {len(plan.markets)} markets"
    with progress(total, is_terminal=sys.stderr.isatty()) as tell:
        outcome = play_plan(plan, resume, workers, lambda n: tell(n, f"{n} of {total} back-tests"), engine=engine)
    if output.as_json:
        value = {"job": plan.job.job_id, "data": plan.title, "caveat": plan.caveat}
        click.echo(json.dumps({**value, **outcome_json(outcome)}))
    else:
        click.echo(headline)
        print_outcome(outcome)
        click.echo(plan.caveat, nl=bool(plan.caveat))
    output.write(lambda: many_report(headline, plan.caveat, outcome))  # last, as above


def entries_of(strategy: str, settings: Sequence[str], against: str) -> tuple[Entry, ...]:
    """Return who plays. What cannot be built is said before anything is played."""
    mine = Entry.of(strategy, parse_settings(tuple(settings)))
    others = dict.fromkeys(name.strip() for name in against.split(",") if name.strip())
    return (mine, *(Entry.of(name, {}) for name in others if name != mine.label))


def make_contest(entries: tuple[Entry, ...], job: Job, source: Source, rounds: int | None) -> Contest:
    """Return a contest over so many rounds, or all that the data holds. Raises ConfigError where it holds fewer."""
    check_rounds(job, source, rounds)
    return Contest(entries, job, source, rounds)


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


def _line(played: PlayedRound, rounds: int) -> str:
    scores = (f"{p.label} {p.score_e18 / 1e14:+.3f} bp" for p in played.played if p.score_e18 is not None)
    return f"round {played.number}/{rounds} to block {played.end_block}  {'  '.join(scores)}"


def _headline(contest: Contest, data: Data, played: Sequence[PlayedRound]) -> str:
    first, last = (datetime.fromtimestamp(s, UTC) for s in (played[0].start_timestamp, played[-1].end_timestamp))
    return (
        f"{contest.job.job_id}, {data.name}: {len(played)} rounds, "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {sum(p.swaps for p in played)} swaps"
    )
