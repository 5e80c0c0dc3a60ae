"""What a run is written down as: JSON, and from the JSON alone the table of the README."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Findings
from benchmarks.workload import SWAPS, TICKS

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
COMMAND = "python -m benchmarks --write"
# What 64-bit multiplications and divisions of 128 by 64 bits were counted in the source (docs/native.md).
COUNTED = {
    "in_tick_ns": ("30 (falling 37, rising 22)", "1"),
    "in_tick_exact_output_ns": ("30", "1, and 2 of 64 bits"),
    "in_tick_own_block_ns": ("34", "1"),
    "crossing_ns": ("0", "0"),
    "first_crossing_ns": ("26", "2, and 2 of 64 bits"),
}
# What the native engine's pieces are called, and how they are shown.
COSTS = {
    "in_tick_ns": ("swap inside a tick, exact input", "{:.0f} ns"),
    "in_tick_exact_output_ns": ("swap inside a tick, exact output", "{:.0f} ns"),
    "in_tick_own_block_ns": ("the same in a block of its own: the oracle is written", "{:.0f} ns"),
    "crossing_ns": ("crossing a segment crossed before", "{:.0f} ns"),
    "first_crossing_ns": ("crossing a segment for the first time", "{:.0f} ns"),
    "day_256_forks_1_thread_s": ("256 forks x 6,000 swaps, 1 thread, processor time", "{:.2f} s"),
    "day_256_forks_2_threads_s": ("256 forks x 6,000 swaps, 2 threads, wall clock beside other work", "{:.2f} s"),
    "fork_600_ticks_bytes": ("a fork of a 600-tick pool before its first write", "{:,.0f} B"),
}


def results_of(findings: Findings, costs: dict[str, float], rounds: int) -> dict[str, Any]:
    """Return a run as JSON-ready values."""
    return {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "swaps": SWAPS,
        "ticks": TICKS,
        "rounds": rounds,
        "rates": [asdict(rate) for rate in findings.rates],
        "costs": {name: round(value, 3) for name, value in costs.items()},
        "absent": findings.absent,
    }


def table_of(results: dict[str, Any]) -> str:
    """Return the README's block, without its markers."""
    lines = ["| engine | swaps/s | native is faster by | rounds from - to |", "|---|---:|---:|---:|"]
    for rate in sorted(results["rates"], key=lambda rate: -rate["swaps_per_s"]):
        low, high = rate["spread"]
        ratio = ["", ""] if rate["name"] == "native" else [f"{rate['ratio']:,}", f"{low:,} - {high:,}"]
        lines.append(f"| {rate['title']} | {rate['swaps_per_s']:,} | {ratio[0]} | {ratio[1]} |")
    lines += ["", "| the native engine | |", "|---|---:|"]
    lines += [f"| {title} | {shown.format(results['costs'][name])} |" for name, (title, shown) in COSTS.items()]
    lines += ["", _conditions(results)]
    if results["absent"]:
        lines += ["", "Not there: " + "; ".join(f"{name} ({why})" for name, why in results["absent"].items()) + "."]
    return "\n".join(lines)


def _conditions(results: dict[str, Any]) -> str:
    machine = results["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores shared with other work, {machine['system']}"
    return (
        f"`{results['command']}` on {results['date']}: {where}, Python {machine['python']}. {results['swaps']:,} swaps"
        f" on a pool of {results['ticks']} ticks, one fork, one thread, {results['rounds']} rounds in turns, processor"
        " time. Our two engines keep a ledger besides: a vault's position is read and booked every 300 s."
        " First, all engines gave the same amounts and ended alike, on these swaps and on a real market's record."
    )


def profile_of(results: dict[str, Any]) -> str:
    """Return the block of docs/native.md, without its markers."""
    lines = ["| | measured | 64-bit multiplications | divisions 128 by 64 |", "|---|---:|---|---|"]
    for name, counted in COUNTED.items():
        title, shown = COSTS[name]
        lines.append(f"| {title} | {shown.format(results['costs'][name])} | {counted[0]} | {counted[1]} |")
    native = next(rate["swaps_per_s"] for rate in results["rates"] if rate["name"] == "native")
    return "\n".join([*lines, f"| the benchmark's swap, one crossing on average | {1e9 / native:.0f} ns | | |"])


def write(results: dict[str, Any], root: Path = ROOT) -> None:
    """Keep a run, and show it in the README and in the page on the native engine."""
    (root / "benchmarks" / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for path, name, block in (
        (root / "README.md", "benchmarks", table_of(results)),
        (root / "docs" / "native.md", "profile", profile_of(results)),
    ):
        path.write_text(with_block(path.read_text(), name, block))


def with_block(text: str, name: str, block: str) -> str:
    """Return a text with what stands between a name's markers replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}"


def _processor() -> str:
    """Return the processor's name, as Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()
