"""Made-up markets do what their names say, on the real engine, the same for the same seed."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from protocol.errors import SimulationError
from simulator import records
from simulator.flow import Flow
from simulator.logged import log_blocks
from simulator.recovery import RecoveredCall
from simulator.snapshot import PoolSnapshot
from simulator.synthetic import WEATHERS, Weather, draw_market

OPENING = records.load("usdc-weth-005").opening
DAY = 7200


def drawn(weather: Weather, *, blocks: int = DAY, seed: int = 3, opening: PoolSnapshot = OPENING) -> Flow:
    return draw_market(opening, weather, length_blocks=blocks, block_time_s=12, seed=seed)


def ticks(flow: Flow) -> list[float]:
    """Return the log price after each block, over that of the start."""
    price, path = flow.snapshot.sqrt_price_x96, []
    for block in log_blocks(flow):
        for event in block.events:
            price = getattr(event, "sqrt_price_x96", price)
        path.append(2 * math.log(price / flow.snapshot.sqrt_price_x96))
    return path


def deviation(path: list[float]) -> float:
    """Return the volatility per square root of a year, of moves over five minutes."""
    marks = path[::25]
    moved = math.fsum((b - a) ** 2 for a, b in pairwise(marks))
    return math.sqrt(moved / ((len(marks) - 1) * 300) * 365.25 * 86_400)


def test_the_price_moves_as_the_weather_says() -> None:
    quiet, trending, crash = (ticks(drawn(WEATHERS[name], blocks=2 * DAY)) for name in ("quiet", "trending", "crash"))
    assert 0.2 < deviation(quiet) < 0.32 < 0.5 < deviation(trending) < 0.65 < 0.8 < deviation(crash)
    assert abs(quiet[-1]) < 0.06
    hour = 300
    falls = [b - a for a, b in zip(crash, crash[hour:], strict=False)]
    assert min(falls) < -0.1 and DAY / 2 - hour < falls.index(min(falls)) < 1.5 * DAY + hour
    steady = ticks(drawn(Weather(sigma=0.01, drift=0.04)))
    assert abs(steady[-1]) == pytest.approx(0.04, abs=0.003)
    assert {math.copysign(1, ticks(drawn(Weather(0.01, 0.04), blocks=900, seed=s))[-1]) for s in range(6)} == {-1, 1}


def test_the_arbitrageur_leaves_the_price_inside_the_band_of_the_fee() -> None:
    calm = ticks(drawn(Weather(sigma=0.0, trade_move=0.004, trades=1.0), blocks=300))
    fee = OPENING.fee_pips / 1e6
    assert max(map(abs, calm)) == pytest.approx(-math.log(1 - fee), abs=1e-9), "trades push it there, and no further"
    still = drawn(Weather(sigma=0.0, trades=0.0), blocks=50)
    assert not any(block.happenings for block in still.blocks)


def test_swaps_are_calls_of_both_directions_and_the_same_for_the_same_seed() -> None:
    flow = drawn(WEATHERS["quiet"], blocks=600)
    calls = [h for b in flow.blocks for h in b.happenings]
    assert {h.zero_for_one for h in calls if isinstance(h, RecoveredCall)} == {True, False}
    assert flow == drawn(WEATHERS["quiet"], blocks=600) != drawn(WEATHERS["quiet"], blocks=600, seed=4)
    assert flow == draw_market(
        OPENING, WEATHERS["quiet"], length_blocks=600, block_time_s=12, seed=3, engine="python"
    ), "on either engine"
    first = replace(flow, blocks=flow.blocks[:100])
    assert first == drawn(replace(WEATHERS["quiet"]), blocks=100), "a longer market begins as a shorter one"


@pytest.mark.parametrize("wrong", [{"length_blocks": 0}, {"block_time_s": 0}, {"seed": -1}])
def test_what_cannot_be_drawn_is_refused(wrong: dict[str, int]) -> None:
    settings = {"length_blocks": 1, "block_time_s": 12, "seed": 0, **wrong}
    with pytest.raises(SimulationError):
        draw_market(OPENING, WEATHERS["quiet"], **settings)
