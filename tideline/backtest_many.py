"""Many back-tests and what they come to together: a sweep of settings, several markets, a walk-forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from db.job import Job
from miner.report import Page, Table
from miner.strategies.plus.walk_forward import FoldParams
from protocol.errors import ConfigError
from simulator.engine import Engine
from tideline.backtest_data import Source
from tideline.backtest_play import Contest, Entry, check_rounds, most_rounds
from tideline.backtest_result import print_table
from tideline.backtest_sweep import Standing, WalkForward, grid, standing, walk_forward
from tideline.backtest_units import Workers, play_units
from tideline.commands.leaderboard import excess_json, mean_text

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Plan:
    """Which candidates play which markets. With `folds`, the first `swept` are chosen among; the first is in place."""

    candidates: tuple[Entry, ...]
    swept: int
    job: Job
    markets: tuple[Source, ...]
    rounds: int | None
    folds: FoldParams | None

    @classmethod
    def of(
        cls,
        entries: Sequence[Entry],
        job: Job,
        source: Source,
        *,
        rounds: int | None,
        sweeps: Sequence[str],
        draws: int,
        folds: FoldParams | None,
    ) -> Plan:
        """Return what is to be played. Raises ConfigError for what cannot be."""
        mine, *others = entries
        swept = dict.fromkeys((mine, *grid(sweeps, mine)))
        if folds is not None and len(swept) < 2:
            raise ConfigError("--walk-forward chooses between settings; give some with --sweep")
        if draws > 1 and not source.is_drawn:
            raise ConfigError("--draws needs something to draw; give --days, or --data quiet, trending or crash")
        candidates = tuple(dict.fromkeys((*swept, *others)))
        check_rounds(job, source, rounds)
        markets = tuple(replace(source, seed=source.seed + number) for number in range(draws))
        plan = cls(candidates, len(swept), job, markets, rounds, folds)
        days = (rounds or most_rounds(job, source)) // plan.per_day
        if folds is not None and days < folds.days:
            raise ConfigError(f"the folds take {folds.days} days, {source.title} has {days}; give --days {folds.days}")
        return plan

    @property
    def title(self) -> str:
        """What is played, for people."""
        more = f" to {self.markets[-1].seed}" if len(self.markets) > 1 else ""
        return self.markets[0].title + more

    @property
    def caveat(self) -> str:
        """What must be known of the outcome."""
        return self.markets[0].caveat

    @property
    def per_day(self) -> int:
        """Rounds of a day."""
        return max(1, _DAY_S // self.job.round_duration_seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the candidates came to over all markets, in their order."""

    standings: tuple[Standing, ...]
    walk: WalkForward | None


def play_plan(
    plan: Plan, folder: Path | None, workers: Workers, tell: Callable[[int], None], *, engine: Engine
) -> Outcome:
    """Play what of a plan has not been played yet. One market after the other, so that a worker finds it once."""
    units = [Contest((entry,), plan.job, market, plan.rounds) for market in plan.markets for entry in plan.candidates]
    rows = play_units(units, folder, workers, tell, engine=engine)
    count = len(plan.candidates)
    by_candidate = [rows[index::count] for index in range(count)]
    labels = [entry.label for entry in plan.candidates]
    standings = [standing(label, markets, plan.per_day) for label, markets in zip(labels, by_candidate, strict=True)]
    walk = None
    if plan.folds is not None:
        chosen = slice(plan.swept)
        walk = walk_forward(labels[chosen], by_candidate[chosen], plan.per_day, plan.folds, plan.markets[0].seed)
    return Outcome(tuple(standings), walk)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome, JSON-ready; means in bp a round."""
    walk = outcome.walk
    return {
        "candidates": [
            {**asdict(found), "excess": excess_json(found.excess)} for found in _best_first(outcome.standings)
        ],
        "walk_forward": None
        if walk is None
        else {**asdict(walk), "luck_bp": walk.luck_bp, "is_believed": walk.is_believed},
    }


def _best_first(standings: Sequence[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda found: -(found.excess.mean_e18 or 0.0))


def outcome_rows(standings: Sequence[Standing]) -> list[tuple[str, ...]]:
    """Return the candidates as the rows of a table, the header first."""
    rows: list[tuple[str, ...]] = [
        ("strategy", "mean ± se", "rounds", "fees", "LVR", "costs", "moves", "in range", "ahead")
    ]
    for found in _best_first(standings):
        ahead = found.excess.probability_positive
        parts = (f"{value:.4f}" for value in (found.fees_bp, found.lvr_bp, found.costs_bp))
        end = (str(found.rebalances), f"{found.in_range:.1%}", "-" if ahead is None else f"{ahead:.1%}")
        rows.append((found.label, mean_text(found.excess), str(found.rounds), *parts, *end))
    return rows


def walk_rows(walk: WalkForward) -> list[tuple[str, ...]]:
    """Return the choices as the rows of a table, the header first."""
    rows: list[tuple[str, ...]] = [("market", "fold", "chosen", "train", "test", "test of the first")]
    for choice in walk.choices:
        means = (f"{value:+.4f}" for value in (choice.train_bp, choice.test_bp, choice.incumbent_bp))
        rows.append((str(choice.market), str(choice.fold), choice.label, *means))
    return rows


def verdict(walk: WalkForward) -> str:
    """Return whether choosing paid, in one sentence."""
    said = "more than luck" if walk.is_believed else "not more than luck: keep what you have"
    return (
        f"Chosen settings beat the first by {walk.gain_bp:+.4f} ± {walk.gain_se_bp:.4f} bp a round on test days; the "
        f"best of {walk.tried} equal ones would seem ahead by {walk.luck_bp:.4f}: {said}."
    )


def many_report(title: str, caveat: str, outcome: Outcome) -> Page:
    """Return the outcome as a page."""
    note = (
        "Means a round in bp of the opening value; errors count days of rounds, or shorter blocks where there are few."
    )
    tables = [Table("Candidates", note, outcome_rows(outcome.standings))]
    if outcome.walk is not None:
        tables.append(Table("Walk-forward", verdict(outcome.walk), walk_rows(outcome.walk)))
    return Page(title, f"Each candidate played every market by itself; the best come first. {caveat}", tables)


def print_outcome(outcome: Outcome) -> None:
    """Write the tables, in basis points of the opening value a round."""
    print_table(outcome_rows(outcome.standings))
    if outcome.walk is not None:
        click.echo("")
        print_table(walk_rows(outcome.walk))
        click.echo(verdict(outcome.walk))
