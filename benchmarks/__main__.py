"""Measure the engines and their peers on one workload, having checked that they agree.

python -m benchmarks [--quick] [--json]
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from benchmarks import engines
from benchmarks.engines import Answers, best_of
from benchmarks.workload import SWAPS, Workload, recorded, synthetic
from simulator.engine import pool_from_snapshot
from simulator.events import LiquidityEvent
from simulator.native import is_built


@dataclass
class Table:
    """Swaps a second by engine, and in what engines disagreed."""

    swaps: int
    rates: dict[str, float] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def add(self, name: str, answers: Answers, *, forks: int = 1) -> None:
        """Note a time."""
        self.rates[name] = self.swaps * forks / answers.seconds

    def compare(self, name: str, answers: Answers, truth: Answers) -> None:
        """Note whether an engine gave other answers than the Python engine, in as much as it gives any."""
        if answers.amounts and answers.amounts != truth.amounts[: len(answers.amounts)]:
            first = next(
                i for i, pair in enumerate(zip(answers.amounts, truth.amounts, strict=False)) if pair[0] != pair[1]
            )
            self.disagreements.append(f"{name}: swap {first} {answers.amounts[first]}, expected {truth.amounts[first]}")
        if answers.end != truth.end[: len(answers.end)]:
            self.disagreements.append(f"{name}: ends at {answers.end}, expected {truth.end}")

    def ratios(self) -> dict[str, float]:
        """Return how many times the native engine, one fork and one thread, is faster than each other engine."""
        native = self.rates.get("native")
        if native is None:
            return {}
        others = ("python", "bytecode", "v3_sdk")
        return {f"native_vs_{name}": round(native / self.rates[name], 1) for name in others if name in self.rates}


def measure(*, quick: bool) -> Table:
    """Run every engine that is here."""
    workload = synthetic()
    table = Table(len(workload.swaps))
    truth = best_of(2 if quick else 5, partial(engines.python, workload))
    table.add("python", truth)
    if is_built():
        _measure_native(table, workload, truth, quick=quick)
    else:
        table.absent.append("native: there was no compiler at installation")
    _measure_peer(table, "bytecode", truth, partial(engines.bytecode, workload))
    if not quick and not engines.has_sdk():
        _try(table, "v3_sdk", engines.install_sdk)
    if engines.has_sdk():
        _measure_peer(table, "v3_sdk", truth, partial(engines.typescript_sdk, workload))
    else:
        table.absent.append("v3_sdk: not installed (a run without --quick installs it)")
    return table


def _measure_native(table: Table, workload: Workload, truth: Answers, *, quick: bool) -> None:
    checked = engines.native_batch(workload, keep_amounts=True)
    table.compare("native", checked, truth)
    table.compare("native, a call each", calls := best_of(3, partial(engines.native_calls, workload)), truth)
    table.add("native, a call each", calls)
    table.add("native", best_of(9 if quick else 25, partial(engines.native_batch, workload)))
    for forks, threads in ((1, 2), (256, 1), (256, 2)):
        several = best_of(1 if quick else 3, partial(engines.native_batch, workload, forks=forks, threads=threads))
        table.compare(f"native, {forks} forks", several, truth)
        table.add(f"native, {forks} forks, {threads} threads", several, forks=forks)
    _compare_recorded(table)


def _compare_recorded(table: Table) -> None:
    """The real record through both engines: the same time each event, and the same tick table at the end."""
    from simulator.native.batch import EventBatch, run_events
    from simulator.native.pool import NativePool

    snapshot, happened = recorded()
    python, native = pool_from_snapshot(snapshot), NativePool.from_snapshot(snapshot)
    begin = time.thread_time()
    for timestamp, what in happened:
        python.timestamp = timestamp
        if isinstance(what, LiquidityEvent):
            python.apply_liquidity(what.tick_lower, what.tick_upper, what.liquidity_delta)
        else:
            python.swap(what.zero_for_one, what.amount_specified, what.sqrt_price_limit_x96)
    python_s = time.thread_time() - begin
    batch = EventBatch.of(happened)
    forks = [native.copy() for _ in range(20)]
    begin = time.thread_time()
    run_events(forks, batch)
    native_s = (time.thread_time() - begin) / len(forks)
    table.rates["wbtc-weth-03, python"] = len(happened) / python_s
    table.rates["wbtc-weth-03, native"] = len(happened) / native_s
    if engines.end_of(python) != engines.end_of(forks[-1]) or dict(python.ticks) != dict(forks[-1].ticks):
        table.disagreements.append("wbtc-weth-03: the engines end in different states")


def _measure_peer(table: Table, name: str, truth: Answers, run: Callable[[], Answers]) -> None:
    answers = _try(table, name, run)
    if isinstance(answers, Answers):
        table.compare(name, answers, truth)
        table.add(name, answers)


def _try(table: Table, name: str, run: Callable[[], Answers | None]) -> Answers | None:
    """A peer that cannot be had here is left out and named."""
    try:
        return run()
    except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        table.absent.append(f"{name}: {error}")
        return None


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="fewer repetitions, nothing fetched")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def main(*, quick: bool, as_json: bool) -> None:
    # The bytecode harness is shared with the tests, which are no package.
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    table = measure(quick=quick)
    if as_json:
        click.echo(json.dumps({"ratios": table.ratios(), "swaps_per_s": {k: round(v) for k, v in table.rates.items()}}))
    else:
        click.echo(f"{SWAPS} swaps, {platform.machine()}, Python {platform.python_version()}\n")
        for name, rate in sorted(table.rates.items(), key=lambda item: item[1]):
            click.echo(f"{name:34} {rate:14,.0f} swaps/s")
        for name, ratio in table.ratios().items():
            click.echo(f"{name:34} {ratio:14,.1f}")
    for line in (*table.absent, *table.disagreements):
        click.echo(line, err=True)
    sys.exit(1 if table.disagreements else 0)


if __name__ == "__main__":
    main()
