"""How fast a sweep is beside exact forks of the same ranges, and how far from them, by share of the liquidity.

python -m benchmarks.sweep [--quick]
"""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import SEED
from simulator import records
from simulator.flow import Flow
from simulator.gas import GasTable
from simulator.ledger import GasPolicy
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.replay import Candidate, Terms, replay
from simulator.sweep import Sweep, Swept
from simulator.valuation import Numeraire, QuoteToken, Target

SHARES = (0.0001, 0.001, 0.01, 0.05, 0.2)  # of the liquidity at the opening
REACH = 60  # spacings from the price to a bound, at most
MANY = 1_000_000
FREE = GasPolicy(0, token_is_0=False, rate_numerator=1, rate_denominator=1, table=GasTable(0, 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Deviation:
    """Relative errors of fees and LVR (median, worst), of the excess over opening value in basis points, and by how
    much of them the range that the sweep likes best is exactly worse than the best.
    """

    share: float
    fees: tuple[float, float]
    lvr: tuple[float, float]
    excess_bp: tuple[float, float]
    regret_bp: float


def random_ranges(flow: Flow, count: int) -> NDArray[np.int64]:
    """Return (lower, upper), shape (2, count), around the price."""
    rng, spacing = random.Random(SEED), flow.snapshot.tick_spacing
    middle = flow.snapshot.tick // spacing
    pairs = [(middle - rng.randint(0, REACH), middle + rng.randint(1, REACH)) for _ in range(count)]
    return np.array(pairs).T * spacing


def exact(
    flow: Flow, ranges: NDArray[np.int64], liquidity: int, numeraire: Numeraire
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of one fork a range."""
    vaults = (
        VaultState(0, 0, (VaultPosition(Range(int(lower), int(upper)), liquidity, 0, 0, 0, 0),), in_pool=False)
        for lower, upper in ranges.T
    )
    return replay(flow, [Candidate(vault) for vault in vaults], Terms(numeraire, FREE)).columns()


def deviation(share: float, swept: Swept, forks: dict[str, NDArray[np.float64]]) -> Deviation:
    """Return how far a sweep is from forks of the same ranges."""

    def spread(errors: NDArray[np.float64]) -> tuple[float, float]:
        return float(np.median(abs(errors))), float(abs(errors).max())

    to_bp = 1e4 / forks["w_open_value"]
    exact_bp = forks["excess_value"] * to_bp
    return Deviation(
        share,
        spread(swept.fees_value / forks["fees_value"] - 1),
        spread(swept.lvr_value / forks["lvr_value"] - 1),
        spread(swept.excess_value * to_bp - exact_bp),
        float(exact_bp.max() - exact_bp[np.argmax(swept.excess_value * to_bp)]),
    )


def measure(flow: Flow, count: int, many: int = MANY) -> Iterator[str]:
    """Yield lines on one market: many ranges by sweep, fewer on forks, too."""
    numeraire = Numeraire(Target.MAX_VALUE, QuoteToken.TOKEN1, 0, 0, flow.snapshot.sqrt_price_x96)
    begin = time.thread_time()
    sweep = Sweep(flow, numeraire)
    walk_s = time.thread_time() - begin
    times = []
    crowd = random_ranges(flow, many)
    for _ in range(5):
        begin = time.thread_time()
        sweep.evaluate(*crowd, 1e18)
        times.append(time.thread_time() - begin)
    ranges = random_ranges(flow, count)
    unit = sweep.evaluate(*ranges, 1.0).liquidity
    deviations = []
    begin = time.thread_time()
    for share in SHARES:
        liquidity = int(flow.snapshot.liquidity * share)
        deviations.append(
            deviation(share, sweep.evaluate(*ranges, liquidity / unit), exact(flow, ranges, liquidity, numeraire))
        )
    fork_s = (time.thread_time() - begin) / (len(SHARES) * count)
    yield f"walk {walk_s * 1e3:.0f} ms, then {many / min(times) / 1e6:.1f} M ranges/s"
    yield f"exact forks {1 / fork_s:.0f} ranges/s, {fork_s * many / min(times):,.0f} times slower"
    yield "share     fees (median, worst)    LVR                     excess, bp              regret, bp"
    for d in deviations:
        errors = "  ".join(f"{middle:10.3%} {worst:10.3%} " for middle, worst in (d.fees, d.lvr))
        yield f"{d.share:7.2%} {errors}  {d.excess_bp[0]:10.4f} {d.excess_bp[1]:10.4f}   {d.regret_bp:10.4f}"


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="fewer exact forks")
def main(*, quick: bool) -> None:
    click.echo(f"{platform.machine()}, Python {platform.python_version()}, one thread")
    for name in records.names():
        click.echo(f"\n{name}")
        for line in measure(records.load(name).flow(), 20 if quick else 200):
            click.echo(line)


if __name__ == "__main__":
    main()
