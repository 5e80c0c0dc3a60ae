"""Measure the engines and their peers on one workload, having checked that they agree.

python -m benchmarks [--quick] [--json] [--write]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from benchmarks import report
from benchmarks.engines import all_engines
from benchmarks.measure import Findings, check, fetch, race
from benchmarks.peers import PEERS
from benchmarks.workload import SWAPS, recorded, synthetic
from simulator.native import is_built

QUICK_FETCH_S = 18.0


def run(*, swaps: int, only: frozenset[str], rounds: int, fetch_s: float | None) -> Findings:
    """Fetch, check, then race."""
    engines = [engine for engine in all_engines() if not only or engine.name in only]
    findings = Findings(absent=fetch([peer for peer in PEERS if not only or peer.name in only], fetch_s))
    if not is_built():
        findings.absent |= dict.fromkeys(("native", "native_calls"), "there was no compiler at installation")
    engines = [engine for engine in engines if engine.name not in findings.absent]
    check(engines, recorded(), "wbtc-weth-03", findings)
    race(engines, synthetic(swaps), rounds, findings)
    return findings


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="fewer rounds; a peer that is not fetched in 18 s is left out")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@click.option("--write", is_flag=True, help="keep the results, and show them in the README")
@click.option("--swaps", type=click.IntRange(min=1), default=SWAPS, show_default=True)
@click.option("--only", multiple=True, help="an engine or a peer; may be repeated")
def main(*, quick: bool, as_json: bool, write: bool, swaps: int, only: tuple[str, ...]) -> None:
    # The bytecode harness is shared with the tests, which are no package.
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    rounds = 4 if quick else 9
    findings = run(swaps=swaps, only=frozenset(only), rounds=rounds, fetch_s=QUICK_FETCH_S if quick else None)
    costs = _costs() if write or not (as_json or findings.disagreements) else {}
    results = report.results_of(findings, costs, rounds)
    if as_json:
        rates = {rate.name: rate.swaps_per_s for rate in findings.rates}
        spreads = {rate.name: rate.spread for rate in findings.rates}
        click.echo(json.dumps({"ratios": findings.ratios(), "swaps_per_s": rates, "spreads": spreads}))
    elif not findings.disagreements:
        click.echo(report.table_of(results))
    for name, why in findings.absent.items():
        click.echo(f"{name}: {why}", err=True)
    for line in findings.disagreements:
        click.echo(line, err=True)
    if findings.disagreements:
        sys.exit(1)
    if write:
        report.write(results)


def _costs() -> dict[str, float]:
    if not is_built():
        return {}
    from benchmarks.native_costs import costs  # needs the extension

    return costs()


if __name__ == "__main__":
    main()
