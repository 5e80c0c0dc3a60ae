"""What every strategy came to on every market that ships with Tideline and on made-up ones, as a table for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from db.job import Job
from protocol.errors import ConfigError
from simulator.engine import Engine
from simulator.synthetic import WEATHERS
from tideline.backtest_data import RECORDED, Source
from tideline.backtest_play import Contest, Entry, most_rounds
from tideline.backtest_report import interval_of
from tideline.backtest_sweep import block_means
from tideline.backtest_units import Rows, Workers, play_units
from tideline.demo import demo_jobs
from validator.leaderboard import describe

START, END = "<!-- strategy table: written by scripts/strategy_table.py -->", "<!-- end of strategy table -->"
_BLOCKS = 12  # of a single market
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is played: futures of each weather, their days, and rounds of each market (None: all)."""

    draws: int = 12
    days: float = 3.0
    rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A market, or several of one kind."""

    title: str
    job: Job
    markets: tuple[Source, ...]

    @property
    def per_day(self) -> float:
        """Rounds of a day."""
        return _DAY_S / self.job.round_duration_seconds


@dataclass(frozen=True, slots=True)
class Cell:
    """A strategy on a column: its mean excess and the 95 % interval of that, in bp a day; fees and LVR beside it."""

    mean: float
    low: float
    high: float
    fees: float
    lvr: float

    @property
    def beats(self) -> bool:
        """Whether all of the interval lies above 0."""
        return self.low > 0

    @property
    def text(self) -> str:
        """The cell as it is printed."""
        shown = f"{self.mean:+.1f} ({self.low:+.1f} … {self.high:+.1f})"
        return f"**{shown}**" if self.beats else shown


def columns_of(scale: Scale) -> tuple[Column, ...]:
    """Return the recorded markets, one a demo job, then the kinds of made-up ones, on the first job's pool."""
    jobs = demo_jobs()
    recorded = [Column(f"{job.job_id}, recorded", job, (Source.of(job, RECORDED),)) for job in jobs]
    first = jobs[0]
    made_up = [
        Column(
            weather, first, tuple(Source.of(first, weather, days=scale.days, seed=seed) for seed in range(scale.draws))
        )
        for weather in WEATHERS
    ]
    return (*recorded, *made_up)


def measure(
    strategies: Sequence[str],
    scale: Scale,
    workers: Workers,
    folder: Path | None,
    tell: Callable[[int, int], None],
    *,
    engine: Engine,
) -> dict[str, dict[str, Cell]]:
    """Return a cell for each strategy and column, by their names. `tell` hears how many of how many are done."""
    columns = columns_of(scale)
    places = [(column, market, name) for column in columns for market in column.markets for name in strategies]
    units = [Contest((Entry.of(name, {}),), column.job, market, scale.rounds) for column, market, name in places]
    results = play_units(units, folder, workers, lambda done: tell(done, len(units)), engine=engine)
    cells: dict[str, dict[str, Cell]] = {}
    for name in strategies:
        cells[name] = {}
        for column in columns:
            played = [rows for (c, _, n), rows in zip(places, results, strict=True) if c is column and n == name]
            cells[name][column.title] = _cell(played, column.per_day)
    return cells


def _cell(markets: Sequence[Rows], per_day: float) -> Cell:
    """Return a cell: of several markets each is one reading, of a single one each of twelve stretches is."""
    single = markets[0]
    blocks = (
        block_means(single, max(1, len(single) // _BLOCKS))
        if len(markets) == 1
        else [mean for rows in markets for mean in block_means(rows, len(rows))]
    )
    found = describe(np.array(blocks) * per_day)
    low, high = interval_of(found)
    rows = [row for market in markets for row in market]
    fees, lvr = (sum(getattr(row, name) for row in rows) / len(rows) * per_day for name in ("fees_bp", "lvr_bp"))
    return Cell(found.mean_e18 or 0.0, low, high, fees, lvr)


def table_text(cells: dict[str, dict[str, Cell]], scale: Scale) -> str:
    """Return what stands between the markers: the table, and in words which strategies beat holding where."""
    columns = columns_of(scale)
    lines = ["| strategy | " + " | ".join(column.title for column in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, row in cells.items():
        lines.append(f"| `{name}` | " + " | ".join(row[column.title].text for column in columns) + " |")
    return "\n".join([*lines, "", *(_said(column, cells, scale) for column in columns)])


def _said(column: Column, cells: dict[str, dict[str, Cell]], scale: Scale) -> str:
    rounds = scale.rounds or most_rounds(column.job, column.markets[0])
    played = f"{rounds} rounds" if len(column.markets) == 1 else f"{len(column.markets)} markets of {rounds} rounds"
    of_column = {name: row[column.title] for name, row in cells.items()}
    lpers = [cell for cell in of_column.values() if cell.lvr > 0]
    ratio = sum(cell.fees for cell in lpers) / sum(cell.lvr for cell in lpers) if lpers else 0.0
    ahead = [f"`{name}`" for name, cell in of_column.items() if cell.low > 0]
    behind = [f"`{name}`" for name, cell in of_column.items() if cell.high < 0]
    unknown = [f"`{name}`" for name, cell in of_column.items() if cell.low <= 0 <= cell.high and cell.low < cell.high]
    verdicts = [f"{', '.join(ahead)} beat holding" if ahead else "**none beats holding**"]
    verdicts += [f"{', '.join(behind)} fell behind it"] if behind else []
    verdicts += [f"of {', '.join(unknown)} it cannot be told"] if unknown else []
    return (
        f"- **{column.title}** ({played}; fees were {ratio:.2f} times what was lost to the informed): "
        f"{'; '.join(verdicts)}."
    )


def put_between(text: str, table: str) -> str:
    """Return a page with the table between its markers. Raises ConfigError where the page has none."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ConfigError(f"the page has no place for the table; put {START} and {END} where it belongs")
    return f"{before}{START}\n{table}\n{END}{after}"
