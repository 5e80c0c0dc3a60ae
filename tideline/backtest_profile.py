"""Where a pool's liquidity lies, and where a strategy's lay beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from miner.backtest import PlayedRound
from miner.report import Chart, Line
from miner.span import tick_of
from simulator.snapshot import PoolSnapshot

_POINTS = 240
_LEAST_TICKS, _MOST_TICKS = 500, 8000  # to either side of where the price went
_LABELS = 5


def liquidity_profile(
    rounds: Sequence[PlayedRound], pool: PoolSnapshot, price_of: Callable[[float], float], pair: str
) -> Chart:
    """Return the chart: each line in percent of its own highest point, since ours is next to nothing of the pool's.

    The pool's is that of the snapshot, ours the mean over the rounds of what was open at their ends. `price_of` makes
    a tick a price as people quote it.
    """
    start, *ends = [tick_of(r.start_sqrt_price_x96) for r in rounds[:1]] + [
        tick_of(r.end_sqrt_price_x96) for r in rounds
    ]
    low, high = min(start, *ends), max(start, *ends)
    held = _held(rounds)
    far = max((max(low - lower, upper - high) for lower, upper, _ in held), default=0) * 1.1
    room = max(high - low, _LEAST_TICKS, min(far, _MOST_TICKS))
    step = (high - low + 2 * room) / (_POINTS - 1)
    ticks = [low - room + step * n for n in range(_POINTS)]
    if price_of(1.0) < price_of(0.0):
        ticks.reverse()  # prices rise to the right
    label = rounds[0].played[0].label
    lines = (
        Line(f"{label}, mean", _of_peak(_at(held, ticks))),
        Line("pool", _of_peak(_pool_liquidity(pool, ticks)), is_reference=True),
    )
    marks = [(at, f"{price_of(ticks[round(at)]):,.6g}") for at in _spread(_POINTS, _LABELS)]
    share = max((p.ledger["max_share_ppm"] for r in rounds for p in r.played[:1] if p.ledger), default=0) / 1e4
    went = sorted(price_of(tick) for tick in (low, high))
    note = (
        f"By price in {pair}, % of the highest point of each. The price went from {went[0]:,.6g} to {went[1]:,.6g}. In "
        f"range {label} was never more than {share:.3g} % of the pool. The pool is shown as it was at the start."
    )
    return Chart("Liquidity", note, lines, marks=marks)


def _spread(points: int, labels: int) -> list[float]:
    return [(points - 1) * n / (labels - 1) for n in range(labels)]


def _pool_liquidity(pool: PoolSnapshot, ticks: Sequence[float]) -> list[float]:
    return [float(sum(state.liquidity_net for tick, state in pool.ticks if tick <= at)) for at in ticks]


def _held(rounds: Sequence[PlayedRound]) -> list[tuple[int, int, float]]:
    """Return (lower tick, upper tick, mean liquidity) of what was open at the rounds' ends."""
    return [
        (h["tick_lower"], h["tick_upper"], int(h["liquidity"]) / len(rounds))
        for r in rounds
        if r.played[0].ledger is not None
        for h in r.played[0].ledger["closing"]["holdings"]
    ]


def _at(held: Sequence[tuple[int, int, float]], ticks: Sequence[float]) -> list[float]:
    return [sum(liquidity for lower, upper, liquidity in held if lower <= at < upper) for at in ticks]


def _of_peak(values: Sequence[float]) -> list[float]:
    peak = max(values, default=0.0)
    return [100 * value / peak if peak else 0.0 for value in values]
