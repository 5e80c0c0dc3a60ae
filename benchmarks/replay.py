"""What a replay costs beside its bare swaps, on either engine, with decisions, and what sharing saves.

python -m benchmarks.replay
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence

import click

from simulator import records
from simulator.flow import Flow
from simulator.fork import Inventory, virtual_vault
from simulator.gas import DEFAULT_GAS_TABLE
from simulator.ledger import GasPolicy
from simulator.native import is_built
from simulator.opening import Schedule
from simulator.participant import Checkpoint
from simulator.plan import Desired
from simulator.portfolio import Range
from simulator.replay import Candidate, Replay, Terms, replay
from simulator.valuation import Numeraire, QuoteToken, Target

FORKS = 256
MARKET = "usdc-weth-005"  # a day: some 6,000 swaps in 7,099 blocks
HELD = (3 * 10**9, 10**18)  # 3,000 USDC and 1 WETH


def terms(flow: Flow, schedule: Schedule | None = None) -> Terms:
    """Return what everything here is measured by: WETH, gas at 1 gwei."""
    gas = GasPolicy(10**9, token_is_0=False, rate_numerator=1, rate_denominator=1, table=DEFAULT_GAS_TABLE)
    return Terms(Numeraire(Target.MAX_VALUE, QuoteToken.TOKEN1, 0, 0, flow.snapshot.sqrt_price_x96), gas, schedule)


def candidates(flow: Flow, *, count: int, near: bool = True, seed: int = 1) -> list[Candidate]:
    """Return as many positions around the price, or else anywhere within 5,000 ticks of it."""
    rng, spacing = random.Random(seed), flow.snapshot.tick_spacing
    middle = flow.snapshot.tick // spacing
    vault = virtual_vault(flow.snapshot, Inventory(*HELD))
    made = []
    for _ in range(count):
        centre = middle + (0 if near else rng.randint(-5000 // spacing, 5000 // spacing))
        low, high = centre - rng.randint(1, 60), centre + rng.randint(1, 60)
        made.append(Candidate(vault, (Desired(Range(low * spacing, high * spacing), *HELD),)))
    return made


def fifth_moves(spacing: int) -> Callable[[Checkpoint[int]], Mapping[int, Sequence[Desired]]]:
    """Return a rule by which, at each checkpoint, every fifth fork places most of what it has around the price."""

    def decide(asked: Checkpoint[int]) -> Mapping[int, Sequence[Desired]]:
        wishes = {}
        for index, shown in asked.shown.items():
            if (index + asked.index) % 5 == 0:
                middle, half = asked.pool.tick // spacing * spacing, spacing * (5 + index % 40)
                total0, total1 = shown.portfolio.total
                wishes[index] = (Desired(Range(middle - half, middle + half), total0 * 9 // 10, total1 * 9 // 10),)
        return wishes

    return decide


def timed(run: Callable[[], Replay], repeat: int) -> tuple[Replay, float]:
    """Return a result and the least processor time that it took, all threads together."""
    best = float("inf")
    for _ in range(repeat):
        begin = time.process_time()
        result = run()
        best = min(best, time.process_time() - begin)
    return result, best


def swaps_alone(flow: Flow, forks: int) -> float:
    """Return the processor time of the same events on as many forks, nothing read and nothing booked."""
    from simulator.course import Course  # these three only where the engine was compiled
    from simulator.native.batch import run_events
    from simulator.native.pool import NativePool
    from simulator.native.stretch import NativeSteps

    packed = NativeSteps(Course.of(flow, None).steps).packed
    base, best = NativePool.from_snapshot(flow.snapshot), float("inf")
    for _ in range(3):
        pools = [base.copy() for _ in range(forks)]
        begin = time.process_time()
        run_events(pools, packed)
        best = min(best, time.process_time() - begin)
    return best


def measure() -> dict[str, float]:
    """Return processor seconds and ratios."""
    flow = records.load(MARKET).flow()
    near, anywhere = candidates(flow, count=FORKS), candidates(flow, count=FORKS, near=False)
    few = near[:4]
    slow, python_s = timed(lambda: replay(flow, few, terms(flow), engine="python"), 1)
    found = {"events": sum(len(block.happenings) for block in flow.blocks), "forks": FORKS}
    if not is_built():
        return {**found, "python_s_per_fork": python_s / len(few)}
    fast, native_s = timed(lambda: replay(flow, near, terms(flow)), 3)
    if fast.ledgers[: len(few)] != slow.ledgers:
        raise click.ClickException("the engines' ledgers differ")
    asked = terms(flow, Schedule(len(flow.blocks), 150, 60, 12))
    _, decided_s = timed(lambda: replay(flow, near, asked, decide=fifth_moves(flow.snapshot.tick_spacing)), 3)
    shared, shared_s = timed(lambda: replay(flow, anywhere, terms(flow)), 3)
    alone, alone_s = timed(lambda: replay(flow, anywhere, terms(flow), sharing=False), 3)
    if shared.ledgers != alone.ledgers:
        raise click.ClickException("sharing changed a ledger")
    return {
        **found,
        "swaps_alone_s": swaps_alone(flow, FORKS),
        "replay_s": native_s,
        "replay_with_48_checkpoints_s": decided_s,
        "native_vs_python": python_s / len(few) / (native_s / FORKS),
        "anywhere_shared_s": shared_s,
        "anywhere_not_shared_s": alone_s,
        "anywhere_steps_run": shared.steps_run / alone.steps_run,
    }


@click.command(help=__doc__)
def main() -> None:
    click.echo(json.dumps({name: round(value, 3) for name, value in measure().items()}, indent=1))


if __name__ == "__main__":
    main()
