"""`tideline replay`: does a recorded market come out of the engine bit for bit?"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from simulator import records
from simulator.file_replay import FirstDivergence, ReplayReport, replay_file


@click.command(short_help="Replay a recorded market bit for bit.")
@click.argument("file")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Count lines on standard error. Default: only when that is a terminal.",
)
@click.pass_context
def replay(context: click.Context, file: str, *, progress: bool | None) -> None:
    """Replay every pool of FILE and compare each event with what the chain did.

    FILE is a market in the neutral format (.jsonl or .jsonl.gz) or the name of a record that ships with Tideline. Every
    swap must give the recorded amounts, price, liquidity and tick, every mint and burn the recorded amounts, and every
    pool its recorded end state. A pool stops at its first mismatch.

    Prints one JSON object. Exit code: 0 all exact, 1 something differs, 2 FILE cannot be used.

    \b
    Example:
      $ tideline replay usdc-weth-005
      {"swaps": 6045, "liquidity_changes": 109, "mismatches": 0, "end_state": "absent"}
    """
    path = Path(file)
    is_shipped = file in records.names() and not path.exists()
    wants_progress = sys.stderr.isatty() if progress is None else progress
    with records.locate(file) if is_shipped else nullcontext(path) as source:
        report = replay_file(source, _show_lines if wants_progress else None)
    if wants_progress:
        click.echo(err=True)
    click.echo(json.dumps(_json(report)))
    context.exit(0 if report.is_exact else 1)


def _show_lines(lines: int) -> None:
    click.echo(f"\r{lines} lines", err=True, nl=False)


def _json(report: ReplayReport) -> dict[str, Any]:
    """Return what is printed; `first_divergence` and `not_replayed` only where there is something to tell."""
    value: dict[str, Any] = {
        "swaps": report.swaps,
        "liquidity_changes": report.liquidity_changes,
        "mismatches": report.mismatches,
        "end_state": report.end_state,
    }
    if report.not_replayed:
        value["not_replayed"] = report.not_replayed
    if report.first_divergence is not None:
        value["first_divergence"] = _divergence(report.first_divergence)
    return value


def _divergence(divergence: FirstDivergence) -> dict[str, Any]:
    value = asdict(divergence)
    for key in ("expected", "got"):
        value[key] = _exact(value[key])
    return value


def _exact(value: object) -> object:
    """Return integers as decimal strings, because many JSON readers round large ones."""
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return str(value) if isinstance(value, int) else value
