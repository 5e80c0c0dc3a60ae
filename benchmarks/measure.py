"""Who agrees, and who is how fast: engines take turns, round by round, so that a busy moment meets all alike."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.engines import Answers, Engine, python
from benchmarks.peers import PEERS, Peer
from benchmarks.workload import Workload

FAILURES = (ImportError, OSError, subprocess.SubprocessError)  # a peer that cannot be had here


@dataclass(frozen=True, slots=True)
class Rate:
    """One engine's speed. `ratio` is how many times faster the native engine was, the median of the rounds, and
    `spread` the least and the greatest of them; 0 where the native engine is not built."""

    name: str
    title: str
    swaps_per_s: int
    ratio: float
    spread: tuple[float, float]


@dataclass(slots=True)
class Findings:
    """What a run found."""

    rates: list[Rate] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)

    def ratios(self) -> dict[str, float]:
        """Return how many times the native engine, one fork and one thread, is faster than each other engine."""
        others = (rate for rate in self.rates if rate.ratio and not rate.name.startswith("native"))
        return {f"native_vs_{rate.name}": rate.ratio for rate in others}


def fetch(peers: Sequence[Peer], seconds: float | None) -> dict[str, str]:
    """Install what is missing, all at once; what is large only without a limit of time. Returns why not, by name."""
    missing = [peer for peer in peers if not peer.is_installed]
    with ThreadPoolExecutor(len(PEERS)) as executor:
        why = executor.map(lambda peer: _fetched(peer, seconds), missing)
        return {peer.name: reason for peer, reason in zip(missing, why, strict=True) if reason}


def _fetched(peer: Peer, seconds: float | None) -> str | None:
    if seconds is not None and not peer.is_small:
        return "not installed (a run without --quick does it)"
    try:
        peer.install(seconds)
    except subprocess.TimeoutExpired:
        return f"not installed within {seconds:.0f} s (a run without --quick waits)"
    except FAILURES as error:
        return str(error)
    return None


def check(engines: Sequence[Engine], workload: Workload, what: str, findings: Findings) -> dict[str, Answers]:
    """Run every engine once and compare it with the Python engine. Returns the answers of those that gave some."""
    truth = python(workload)
    answered = {}
    for engine in engines:
        try:
            answers = answered[engine.name] = engine.run(workload)
        except FAILURES as error:
            findings.absent[engine.name] = str(error)
            continue
        difference = answers.difference(truth)
        if difference is not None:
            findings.disagreements.append(f"{what}, {engine.name}: {difference}")
    return answered


def race(engines: Sequence[Engine], workload: Workload, rounds: int, findings: Findings) -> None:
    """Time all engines in turns, if they agree; the first round is the one that is compared."""
    first = check(engines, workload, "synthetic", findings)
    if findings.disagreements:
        return
    present = [engine for engine in engines if engine.name in first]
    seconds = {name: [answers.seconds] for name, answers in first.items()}
    for _ in range(rounds - 1):
        for engine in present:
            seconds[engine.name].append(engine.run(workload).seconds)
    for engine in present:
        own = seconds[engine.name]
        ratios = [slow / fast for slow, fast in zip(own, seconds.get("native", []), strict=False)] or [0.0]
        rate = round(len(workload.happened) / statistics.median(own))
        spread = (round(min(ratios), 1), round(max(ratios), 1))
        findings.rates.append(Rate(engine.name, engine.title, rate, round(statistics.median(ratios), 1), spread))
