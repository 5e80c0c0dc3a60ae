"""Made-up markets: a real pool, traded by an arbitrageur and by people who do not look at the price.

Elsewhere the token has a price that moves by chance. In each block some people trade on the pool in either direction,
and then the arbitrageur brings the pool's price back to where the fee just lets him. All of it are calls on the exact
engine. What differs from market to market is how the price elsewhere moves; how people trade does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from protocol.errors import SimulationError
from simulator.engine import AnyPool, Engine, default_engine, pool_from_snapshot
from simulator.flow import Flow, FlowBlock
from simulator.recovery import RecoveredCall
from simulator.scenarios import move_to
from simulator.snapshot import PoolSnapshot

_DAY_S = 86_400
_YEAR_S = 365.25 * _DAY_S
_PIPS = 1_000_000


@dataclass(frozen=True, slots=True)
class Weather:
    """How the price elsewhere moves, and how people trade.

    `sigma` is per √year, `drift` in log price a day, its sign drawn. At an instant drawn from the middle half there is
    a `fall` in log price over an hour; from then on `sigma` is `panic` times as large, half as much more each half day.
    `trades` are drawn in each block, on average; each moves the price by `trade_move` in log price, on average.
    """

    sigma: float
    drift: float = 0.0
    fall: float = 0.0
    panic: float = 1.0
    trades: float = 0.05
    trade_move: float = 0.0002


WEATHERS = {
    "quiet": Weather(sigma=0.3),
    "trending": Weather(sigma=0.6, drift=0.04),
    "crash": Weather(sigma=0.6, fall=0.15, panic=3.0),
}
_FALL_S = 3600.0
_CALM_S = _DAY_S / 2


def draw_market(
    snapshot: PoolSnapshot,
    weather: Weather,
    *,
    length_blocks: int,
    block_time_s: int,
    seed: int,
    engine: Engine | None = None,
) -> Flow:
    """Return what happens to a pool in made-up weather.

    Parameters: snapshot  a pool with liquidity; it stays as it is   ·   length_blocks, block_time_s  at least 1
                seed  >= 0
    Returns:    a flow of swaps; the same for the same arguments
    Rounding:   where prices go is drawn in floats; amounts in ceil, amounts out floor
    Raises:     SimulationError for a length or a seed that is none
    Source:     geometric Brownian motion with a jump; arbitrage with a fee (Milionis, Moallemi, Roughgarden 2023)
    """
    if min(length_blocks, block_time_s) < 1 or seed < 0:
        raise SimulationError("length and block time are at least 1, a seed at least 0", seed=seed)
    draws = np.random.Generator(np.random.PCG64(seed))
    pool = pool_from_snapshot(snapshot, engine=engine or default_engine())
    outside = _log_prices(weather, draws, length_blocks, block_time_s)
    start_x96 = snapshot.sqrt_price_x96
    blocks = []
    for index, moved in enumerate(islice(outside, length_blocks), start=1):
        pool.timestamp = snapshot.timestamp + index * block_time_s
        calls = [_trade(pool, weather, draws) for _ in range(int(draws.poisson(weather.trades)))]
        calls.append(_arbitrage(pool, start_x96 * math.exp(moved / 2)))
        done = tuple(call for call in calls if call is not None)
        blocks.append(FlowBlock(snapshot.block_number + index, pool.timestamp, done))
    return Flow(snapshot, tuple(blocks))


def _log_prices(weather: Weather, draws: np.random.Generator, length: int, block_time_s: int) -> Iterator[float]:
    """Yield the log of the price elsewhere at each block, over that of the start."""
    drift = weather.drift * float(draws.choice((-1, 1))) * block_time_s / _DAY_S
    fall_at_s = float(draws.uniform(0.25, 0.75)) * length * block_time_s
    log_price, time_s = 0.0, 0.0
    while True:
        time_s += block_time_s
        since_s = time_s - fall_at_s
        excited = 1 + (weather.panic - 1) * 0.5 ** (since_s / _CALM_S) if since_s >= 0 else 1.0
        deviation = weather.sigma * excited * math.sqrt(block_time_s / _YEAR_S)
        log_price += drift - deviation**2 / 2 + deviation * float(draws.standard_normal())
        if 0 <= since_s < _FALL_S:
            log_price -= weather.fall * block_time_s / _FALL_S
        yield log_price


def _trade(pool: AnyPool, weather: Weather, draws: np.random.Generator) -> RecoveredCall | None:
    """Let somebody trade in either direction, as much as moves the price by an exponentially distributed distance."""
    zero_for_one = bool(draws.integers(2))
    distance = float(draws.exponential(weather.trade_move)) / 2
    target = pool.sqrt_price_x96 * math.exp(-distance if zero_for_one else distance)
    return _push(pool, target, zero_for_one=zero_for_one, has_limit=False)


def _arbitrage(pool: AnyPool, outside_sqrt_x96: float) -> RecoveredCall | None:
    """Let the arbitrageur trade until a unit, with its fee, costs what it costs elsewhere; None inside that band."""
    band = math.sqrt(1 - pool.fee_pips / _PIPS)
    if pool.sqrt_price_x96 * band > outside_sqrt_x96:
        return _push(pool, outside_sqrt_x96 / band, zero_for_one=True, has_limit=True)
    if pool.sqrt_price_x96 < outside_sqrt_x96 * band:
        return _push(pool, outside_sqrt_x96 * band, zero_for_one=False, has_limit=True)
    return None


def _push(pool: AnyPool, target_x96: float, *, zero_for_one: bool, has_limit: bool) -> RecoveredCall | None:
    return move_to(pool, int(target_x96), zero_for_one=zero_for_one, is_exact_input=True, has_limit=has_limit)
