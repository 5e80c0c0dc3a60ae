"""What is measured: a synthetic pool of 200 initialised ticks with 20,000 random swaps, and a recorded market."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Protocol

from benchmarks.peers import Happening
from protocol.units import Q96
from simulator import records
from simulator.chain.seeding import opening_positions
from simulator.engine import AnyPool, Engine, default_engine, make_pool
from simulator.events import LiquidityEvent
from simulator.recovery import RecoveredCall

SEED = 20261121
FEE_PIPS, SPACING = 3000, 60
TICKS, SWAPS = 200, 20_000
START_TIME = 1_700_000_000
Position = tuple[int, int, int]


class Fillable(Protocol):
    """What a workload needs of a pool to set it up."""

    timestamp: int

    def initialize(self, sqrt_price_x96: int, /) -> Any: ...

    def mint(self, owner: Any, tick_lower: int, tick_upper: int, amount: int, /) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Workload:
    """A pool by its positions (tick_lower, tick_upper, liquidity), and what happens on it, with each block's time."""

    fee_pips: int
    tick_spacing: int
    start_time: int
    sqrt_price_x96: int
    positions: tuple[Position, ...]
    happened: tuple[Happening, ...]

    def fill(self, pool: Fillable) -> None:
        """Initialise a fresh pool and give it the positions."""
        pool.timestamp = self.start_time
        pool.initialize(self.sqrt_price_x96)
        for position in self.positions:
            pool.mint(0, *position)

    def pool(self, engine: Engine) -> AnyPool:
        """Return the filled pool in one of our engines."""
        pool = make_pool(self.fee_pips, self.tick_spacing, engine=engine)
        self.fill(pool)
        return pool


def synthetic(swaps: int = SWAPS, seed: int = SEED) -> Workload:
    """Return the workload of a seed: 80 % exact input; 60 % tiny, 30 % medium, 10 % large; mean-reverting direction."""
    rng = random.Random(seed)
    workload = Workload(FEE_PIPS, SPACING, START_TIME, Q96 * 3, _positions(rng), ())
    pool = workload.pool(default_engine())
    start, time, calls = pool.tick, START_TIME, []
    for _ in range(swaps):
        falls = rng.random() < min(0.95, max(0.05, 0.5 + (pool.tick - start) / 3000))
        time += rng.choice((0, 0, 12, 12, 24))
        call = RecoveredCall(falls, _amount(rng, pool, falls=falls), None)
        pool.timestamp = time
        pool.swap(call.zero_for_one, call.amount_specified, None)
        calls.append((time, call))
    return replace(workload, happened=tuple(calls))


def _positions(rng: random.Random) -> tuple[Position, ...]:
    middle = 21_973 // SPACING  # of a price of 9
    positions = [(-887_220, 887_220, 10**17)]
    while len({tick for position in positions for tick in position[:2]}) < TICKS:
        centre, half = middle + rng.randint(-40, 40), max(1, abs(round(rng.gauss(0, 45))))
        liquidity = int(10 ** rng.uniform(16.5, 18.5))
        positions.append(((centre - half) * SPACING, (centre + half) * SPACING, liquidity))
    return tuple(positions)


def _amount(rng: random.Random, pool: AnyPool, *, falls: bool) -> int:
    size = rng.random()
    low, high = (-6.0, -3.5) if size < 0.6 else (-3.5, -2.2) if size < 0.9 else (-2.2, -1.2)
    exact_in = rng.random() < 0.8
    if falls == exact_in:
        reserve = (pool.liquidity << 96) // pool.sqrt_price_x96
    else:
        reserve = pool.liquidity * pool.sqrt_price_x96 >> 96
    amount = max(1, int(reserve * 10 ** rng.uniform(low, high)))
    return amount if exact_in else -amount


def recorded(name: str = "wbtc-weth-03") -> Workload:
    """Return a real market: its opening as positions that explain it, and all that moved its price or liquidity."""
    record = records.load(name)
    opening, happened = record.opening, list[Happening]()
    for block in record.blocks:
        for event, call in zip(block.events, block.calls, strict=True):
            if call is not None:
                happened.append((block.timestamp, call))
            elif isinstance(event, LiquidityEvent) and event.liquidity_delta:
                happened.append((block.timestamp, event))
    positions = tuple((*ticks, liquidity) for ticks, liquidity in opening_positions(record).items())
    kind = opening.fee_pips, opening.tick_spacing, opening.timestamp, opening.sqrt_price_x96
    return Workload(*kind, positions, tuple(happened))
