"""`tideline backtest`: the score a strategy sees at home is the score that it gets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from db.job import Job, validate_job
from miner import backtest_state, own_strategy
from miner.backtest import Backtest, PlayedRound
from miner.backtest_state import BacktestState
from miner.strategies import DEFAULT, build
from protocol.errors import ConfigError
from protocol.units import Hotkey
from simulator import records
from simulator.engine import Engine
from simulator.opening import Entrant, RoundOpening
from simulator.recorded import RecordedMarket
from simulator.records import Record
from simulator.snapshot import PoolSnapshot
from tideline.backtest_report import report
from tideline.backtest_result import print_result, result_json
from tideline.commands.miner import parse_settings
from tideline.demo import demo_jobs
from tideline.wiring import code_version, engine_option
from validator import job_settings

RECORDED = "recorded"
_SAVE_EVERY_S = 1.0  # a file of many rounds is large, and what is lost at a kill is played again

Tell = Callable[[PlayedRound], None]


@dataclass(frozen=True, slots=True)
class Contest:
    """Which strategies play what: label, name and settings of each, the first one being the one in question."""

    entries: tuple[tuple[str, str, dict[str, str]], ...]
    job: Job
    record: Record
    length_blocks: int
    rounds: int


@click.command(short_help="Score strategies on recorded rounds, exactly as a validator would.")
@click.option("--strategy", default=DEFAULT, show_default=True, help="A name, or your own: file.py or module:Class.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of it; repeatable.")
@click.option("--against", default="hold,wide,band", show_default=True, help="Others to play beside it, by name.")
@click.option("--data", default=RECORDED, show_default=True, help="recorded: the job's record; or a neutral file.")
@click.option("--job", "job_name", default="usdc-weth", show_default=True, help="A demo job, or a JSON file of a job.")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds to play; default all that the data holds.")
@click.option(
    "--resume",
    "state_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep finished rounds in this file, and go on from those that are in it.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a report to this HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: scores raw in units of 1e-18.")
@engine_option
def backtest(
    *,
    strategy: str,
    settings: tuple[str, ...],
    against: str,
    data: str,
    job_name: str,
    rounds: int | None,
    state_file: Path | None,
    out: Path | None,
    as_json: bool,
    engine: Engine,
) -> None:
    """Play a strategy through the rounds of a recorded market.

    It is asked what a validator would ask, at the same blocks; its answers become plans, and plans a ledger, through
    the functions of the validator's rounds. The scores are those that a validator stores, to the last digit. All play
    alone against the market, each on its own fork. Progress goes to standard error, the result to standard output.

    \b
    Examples:
      tideline backtest --strategy btr_plus --against hold,wide,band --data recorded
      tideline backtest --strategy band --set half_width=8 --set edge=2 --rounds 20
      PYTHONPATH=. tideline backtest --strategy my_strategies:Quiet --job wbtc-weth --resume quiet.json --out quiet.html
    """
    started_s = time.monotonic()
    contest = _contest(strategy, settings, against, data, job_name, rounds)
    with _progress(contest.rounds, is_terminal=sys.stderr.isatty()) as tell:
        played = asyncio.run(play(contest, state_file, tell, engine=engine))
    if out is not None:
        _write(out, report(_headline(contest, played), played, contest.record.info))
    if as_json:
        seconds = round(time.monotonic() - started_s, 3)
        value = result_json(played)
        click.echo(json.dumps({"job": contest.job.job_id, "data": contest.record.name, **value, "seconds": seconds}))
    else:
        click.echo(_headline(contest, played))
        print_result(played)


def _contest(
    strategy: str, settings: tuple[str, ...], against: str, data: str, job_name: str, rounds: int | None
) -> Contest:
    given = parse_settings(settings)
    label = " ".join((strategy, *(f"{key}={value}" for key, value in given.items())))
    others = dict.fromkeys(name.strip() for name in against.split(",") if name.strip())
    entries = [(label, strategy, given), *((name, name, {}) for name in others if name != label)]
    for _, name, its in entries:
        build(name, its)  # what cannot be built is said before anything is played
    job = _job(job_name)
    record = _record(job, data)
    length = job_settings.schedule(job, record.info).length_blocks
    most = (record.length_blocks - 1) // length
    if (rounds or 1) > most:
        raise ConfigError(f"{record.name} holds {most} rounds of job {job.job_id} ({length} blocks); use at most that")
    return Contest(tuple(entries), job, record, length, rounds or most)


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


def _record(job: Job, data: str) -> Record:
    if data != RECORDED:
        return records.load_file(Path(data))
    if job.record is None:
        raise ConfigError(f"job {job.job_id} names no record; give --data FILE")
    return records.load(job.record)


async def play(
    contest: Contest, state_file: Path | None, tell: Tell, *, engine: Engine, save_every_s: float = _SAVE_EVERY_S
) -> tuple[PlayedRound, ...]:
    """Play what of a contest has not been played yet, and return all its rounds."""
    strategies = {label: build(name, settings) for label, name, settings in contest.entries}
    test = Backtest(strategies, _openings(contest), version=code_version(), engine=engine)
    key = _key(contest)
    state = BacktestState() if state_file is None else backtest_state.load(state_file, key)
    if state.memories is not None:
        _recall(test, state, state_file)
    rounds = list(state.rounds)
    market = RecordedMarket(contest.record, start_block=rounds[-1].end_block if rounds else None)
    saved_s = time.monotonic()
    while len(rounds) < contest.rounds:
        rounds.append(await test.play(market, len(rounds) + 1, contest.length_blocks))
        tell(rounds[-1])
        is_due = time.monotonic() - saved_s >= save_every_s or len(rounds) == contest.rounds
        if state_file is not None and is_due:
            backtest_state.save(state_file, key, rounds, test.memories())
            saved_s = time.monotonic()
    return tuple(rounds[: contest.rounds])


def _recall(test: Backtest, state: BacktestState, state_file: Path | None) -> None:
    try:
        test.recall(state.memories or {})
    except ValueError as error:
        raise ConfigError(f"{state_file} cannot be gone on from: {error}; remove it, or name another file") from error


def _openings(contest: Contest) -> Callable[[PoolSnapshot, int, tuple[Entrant, ...]], RoundOpening]:
    job = contest.job

    def opening(snapshot: PoolSnapshot, number: int, entrants: tuple[Entrant, ...]) -> RoundOpening:
        return job_settings.round_opening(
            job,
            contest.record.info,
            snapshot,
            job_settings.vault(job, snapshot, None),
            entrants,
            round_type="evaluation",
            number=number,
            validator_hotkey=Hotkey("backtest"),
        )

    return opening


def _key(contest: Contest) -> dict[str, Any]:
    """Return all that decides how rounds go, but how many. The engine does not."""
    settings = contest.job.to_mapping()
    return {
        "job": {name: settings[name] for name in settings if name not in ("revision", "created_at", "updated_at")},
        "record": contest.record.digest,
        "strategies": [[label, _source(name)] for label, name, _ in contest.entries],
        "version": code_version(),
    }


def _source(name: str) -> str:
    """Return the digest of the file that a strategy of one's own is in: it changes between two back-tests."""
    file = own_strategy.source(name)
    try:
        return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


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


def _headline(contest: Contest, played: Sequence[PlayedRound]) -> str:
    first, last = (datetime.fromtimestamp(s, UTC) for s in (played[0].start_timestamp, played[-1].end_timestamp))
    return (
        f"{contest.job.job_id} on {contest.record.name}: {len(played)} rounds, "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {sum(p.swaps for p in played)} swaps"
    )
