"""A contest: which strategies play a job's rounds on which data, and playing it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.job import Job
from miner import own_strategy
from miner.backtest import Backtest, PlayedRound
from miner.backtest_state import BacktestState, StateFile
from miner.strategies import build
from protocol.errors import ConfigError
from protocol.units import Hotkey
from simulator.engine import Engine
from simulator.opening import Entrant, RoundOpening
from simulator.snapshot import PoolSnapshot
from tideline.backtest_data import Data, Source, load
from tideline.wiring import code_version
from validator import job_settings

_SAVE_EVERY_S = 1.0  # what is lost at a kill is played again

Tell = Callable[[PlayedRound], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy with settings, under the label that it plays by."""

    label: str
    strategy: str
    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, strategy: str, settings: dict[str, str]) -> Entry:
        """Return a strategy labelled by its name and settings. Raises ConfigError where it cannot be built."""
        build(strategy, settings)
        label = " ".join((strategy, *(f"{key}={value}" for key, value in settings.items())))
        return cls(label, strategy, tuple(settings.items()))


@dataclass(frozen=True, slots=True)
class Contest:
    """Who plays, the one in question first, and what: small, so that it can be sent to another process. `rounds` None
    are all that the data holds.
    """

    entries: tuple[Entry, ...]
    job: Job
    source: Source
    rounds: int | None = None

    def key(self) -> dict[str, Any]:
        """Return all that decides how rounds go, but how many. The engine does not."""
        settings = self.job.to_mapping()
        return {
            "job": {name: settings[name] for name in settings if name not in ("revision", "created_at", "updated_at")},
            "data": self.source.identity(),
            "strategies": [[entry.label, _source_digest(entry.strategy)] for entry in self.entries],
            "version": code_version(),
        }


def most_rounds(job: Job, source: Source) -> int:
    """Return how many rounds of a job a source holds, without drawing it. Raises ConfigError where it holds none."""
    blocks, length = source.count_blocks(), _length_blocks(job, load(source.base))
    if blocks < length:
        raise ConfigError(f"{source.title} holds {blocks} blocks, and a round of job {job.job_id} is {length} long")
    return blocks // length


def check_rounds(job: Job, source: Source, rounds: int | None) -> None:
    """Raise ConfigError where a source holds fewer rounds than are wanted."""
    most = most_rounds(job, source)
    if rounds is not None and rounds > most:
        raise ConfigError(f"{source.title} holds {most} rounds of job {job.job_id}; use at most that")


def _length_blocks(job: Job, data: Data) -> int:
    return job_settings.schedule(job, data.info).length_blocks


async def play(
    contest: Contest, state_path: Path | None, tell: Tell, *, engine: Engine, save_every_s: float = _SAVE_EVERY_S
) -> tuple[PlayedRound, ...]:
    """Play what of a contest has not been played yet, and return all its rounds."""
    data = load(contest.source)
    strategies = {entry.label: build(entry.strategy, dict(entry.settings)) for entry in contest.entries}
    test = Backtest(strategies, _openings(contest.job, data), version=code_version(), engine=engine)
    file = None if state_path is None else StateFile(state_path, contest.key())
    state = BacktestState() if file is None else file.load()
    if state.memories is not None:
        _recall(test, state, state_path)
    rounds = list(state.rounds)
    wanted = contest.rounds or most_rounds(contest.job, contest.source)
    market, length = data.market(), _length_blocks(contest.job, data)
    await market.seek(rounds[-1].end_block if rounds else data.opening.block_number)
    saved, saved_s = len(rounds), time.monotonic()
    while len(rounds) < wanted:
        rounds.append(await test.play(market, len(rounds) + 1, length))
        tell(rounds[-1])
        is_due = time.monotonic() - saved_s >= save_every_s or len(rounds) == wanted
        if file is not None and is_due:
            file.append(rounds[saved:], test.memories())
            saved, saved_s = len(rounds), time.monotonic()
    return tuple(rounds[:wanted])


def _recall(test: Backtest, state: BacktestState, state_path: Path | None) -> None:
    try:
        test.recall(state.memories or {})
    except ValueError as error:
        raise ConfigError(f"{state_path} cannot be gone on from: {error}; remove it, or name another file") from error


def _openings(job: Job, data: Data) -> Callable[[PoolSnapshot, int, tuple[Entrant, ...]], RoundOpening]:
    def opening(snapshot: PoolSnapshot, number: int, entrants: tuple[Entrant, ...]) -> RoundOpening:
        return job_settings.round_opening(
            job,
            data.info,
            snapshot,
            job_settings.vault(job, snapshot, None),
            entrants,
            round_type="evaluation",
            number=number,
            validator_hotkey=Hotkey("backtest"),
        )

    return opening


def _source_digest(name: str) -> str:
    """Return the digest of the file that a strategy of one's own is in: it changes between two back-tests."""
    file = own_strategy.source(name)
    try:
        return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
