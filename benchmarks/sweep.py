"""How fast a sweep is beside exact forks of the same ranges, and how far from them, by share of the liquidity.

python -m benchmarks.sweep [--quick]
"""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Iterator, Sequence
from typing import TypeAlias

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
from simulator.scenarios import Past, draw_futures
from simulator.sweep import Sweep
from simulator.valuation import Numeraire, QuoteToken, Target

SHARES = (0.0001, 0.001, 0.01, 0.05, 0.2)  # of the liquidity at the opening
REACH = 60  # spacings from the price to a bound, at most
MANY = 1_000_000
FUTURES = 12
HEAD = "  share    fees: median      worst     LVR: median      worst    excess: bp      worst   regret: bp"
Ranges: TypeAlias = NDArray[np.int64]  # (2, n): lower, upper
Column: TypeAlias = NDArray[np.float64]
FREE = GasPolicy(0, token_is_0=False, rate_numerator=1, rate_denominator=1, table=GasTable(0, 0, 0, 0, 0))


def random_ranges(flow: Flow, count: int) -> Ranges:
    """Return ranges around the price."""
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


def deviation(flows: Sequence[Flow], ranges: Ranges, share: float, numeraire: Numeraire) -> str:
    """Return a line: relative errors of fees and LVR, of the excess over the opening value in basis points (median and
    worst), and by how many of them the range that a sweep likes best is worse than the best, on average.
    """
    errors: list[tuple[Column, Column, Column]] = []
    regrets = []
    for flow in flows:
        sweep = Sweep(flow, numeraire)
        liquidity = int(flow.snapshot.liquidity * share)
        swept = sweep.evaluate(*ranges, liquidity / sweep.evaluate(*ranges, 1.0).liquidity)
        forks = exact(flow, ranges, liquidity, numeraire)
        swept_bp, exact_bp = (1e4 * each / swept.w_open_value for each in (swept.excess_value, forks["excess_value"]))
        fees, lvr = swept.fees_value / forks["fees_value"] - 1, swept.lvr_value / forks["lvr_value"] - 1
        errors.append((fees, lvr, swept_bp - exact_bp))
        regrets.append(exact_bp.max() - exact_bp[np.argmax(swept_bp)])
    of_fees, of_lvr, of_excess = (abs(np.concatenate(parts)) for parts in zip(*errors, strict=True))
    relative = "  ".join(f"{np.median(part):10.3%} {part.max():10.3%}" for part in (of_fees, of_lvr))
    return f"{share:7.2%} {relative}   {np.median(of_excess):10.4f} {of_excess.max():10.4f}   {np.mean(regrets):10.4f}"


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
    begin = time.thread_time()
    lines = [deviation([flow], ranges, share, numeraire) for share in SHARES]
    fork_s = (time.thread_time() - begin) / (len(SHARES) * count)
    yield f"walk {walk_s * 1e3:.0f} ms, then {many / min(times) / 1e6:.1f} M ranges/s"
    yield f"exact forks {1 / fork_s:.0f} ranges/s, {fork_s * many / min(times):,.0f} times slower"
    yield HEAD
    yield from lines
    yield f"on {FUTURES} futures"
    past, length = Past.of(flow), min(7000, len(flow.blocks))
    futures = draw_futures(flow.snapshot, past, count=FUTURES, length_blocks=length, window_blocks=150, seed=SEED)
    for share in SHARES[2:4]:
        yield deviation(futures, ranges[:, : count // 4], share, numeraire)


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
