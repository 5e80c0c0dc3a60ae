"""What a back-test came to, as a table and as JSON. Parts are floats for display; scores are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from miner.backtest import Played, PlayedRound
from tideline.commands.leaderboard import excess_json, mean_text
from validator.leaderboard import Excess, describe

_PARTS = {"fees": "fees", "lvr": "lvr", "swaps": "swap_cost", "gas": "gas"}
_HEADER = (
    "strategy",
    "mean ± se",
    "sum",
    "scored",
    "fees",
    "LVR",
    "swaps",
    "gas",
    "moves",
    "in range",
    "ahead",
    "needs",
)


@dataclass(frozen=True, slots=True)
class Summary:
    """One strategy over all rounds. Parts are means over its scored rounds, in basis points of the opening value."""

    label: str
    scores_e18: tuple[int | None, ...]
    excess: Excess
    outcomes: dict[str, int]
    parts_bp: dict[str, float]
    rebalances: int
    in_range: float
    complaints: tuple[str, ...]

    @property
    def sum_e18(self) -> int:
        """All scores added up."""
        return sum(score for score in self.scores_e18 if score is not None)


def part_bp(ledger: Mapping[str, Any], part: str) -> float:
    """Return a part of a ledger over its opening value, in basis points."""
    return 1e4 * int(ledger[f"{part}_x192"]) / int(ledger["w_open_x192"])


def summarize(rounds: Sequence[PlayedRound]) -> tuple[Summary, ...]:
    """Return every strategy's summary, in the order in which they were given."""
    return tuple(summary_of([r.played[index] for r in rounds]) for index in range(len(rounds[0].played)))


def summary_of(played: Sequence[Played]) -> Summary:
    """Return one strategy's rounds, summed up."""
    ledgers = [p.ledger for p in played if p.ledger is not None]
    scored = [float(p.score_e18) for p in played if p.score_e18 is not None]
    duration = sum(ledger["duration_s"] for ledger in ledgers)
    return Summary(
        label=played[0].label,
        scores_e18=tuple(p.score_e18 for p in played),
        excess=describe(np.array(scored, dtype=np.float64)),
        outcomes=dict(sorted(Counter(p.outcome for p in played).items())),
        parts_bp={
            part: sum(part_bp(ledger, field) for ledger in ledgers) / max(len(ledgers), 1)
            for part, field in _PARTS.items()
        },
        rebalances=sum(ledger["rebalances"] for ledger in ledgers),
        in_range=sum(ledger["in_range_s"] for ledger in ledgers) / duration if duration else 0.0,
        complaints=tuple(why for p in played for why in p.complaints),
    )


def result_json(rounds: Sequence[PlayedRound]) -> dict[str, Any]:
    """Return the result, JSON-ready; scores as decimal strings, None where a strategy was not part of a round."""
    return {
        "rounds": len(rounds),
        "start_block": rounds[0].start_block,
        "end_block": rounds[-1].end_block,
        "strategies": [
            {
                "strategy": s.label,
                "sum_e18": str(s.sum_e18),
                "excess": excess_json(s.excess),
                "outcomes": s.outcomes,
                "parts_bp": s.parts_bp,
                "rebalances": s.rebalances,
                "in_range": s.in_range,
                "complaints": len(s.complaints),
                "scores_e18": [None if score is None else str(score) for score in s.scores_e18],
            }
            for s in summarize(rounds)
        ],
    }


def print_result(rounds: Sequence[PlayedRound]) -> None:
    """Write the table, in basis points of the opening value a round."""
    summaries = summarize(rounds)
    print_table([_HEADER, *map(_cells, summaries)])
    for summary in summaries:
        if summary.complaints:
            click.echo(f"{summary.label}: {len(summary.complaints)} answers replaced; first: {summary.complaints[0]}")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows with aligned columns, the first one to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        rest = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        click.echo(f"  {row[0]:<{widths[0]}}  {rest}")


def _cells(summary: Summary) -> tuple[str, ...]:
    ahead, needs = summary.excess.probability_positive, summary.excess.rounds_needed
    return (
        summary.label,
        mean_text(summary.excess),
        f"{summary.sum_e18 / 1e14:+.3f}",
        str(summary.excess.rounds),
        *(f"{value:.4f}" for value in summary.parts_bp.values()),
        str(summary.rebalances),
        f"{summary.in_range:.1%}",
        "-" if ahead is None else f"{ahead:.1%}",
        "-" if needs is None else str(needs),
    )
