"""The check series, the generator and the tolerance of the strategy reference's section 0."""

from __future__ import annotations

from collections.abc import Callable

from miner.strategies.three_force.candles import Candle

_WORD = 2**32 - 1


def check_series(n: int, period_s: int, start: float, a: float, d: float) -> list[Candle]:
    """Return Z(n, T, p0, a, d)."""
    bars: list[Candle] = []
    previous = start
    for i in range(n):
        q = (37 * i) % 101 - 50
        close = start * (1 + a * q / 50 + d * i)
        high = max(previous, close) * (1 + a * ((11 * i) % 7) / 20)
        low = min(previous, close) * (1 - a * ((5 * i) % 9) / 20)
        bars.append((1_700_000_000_000 + 1000 * period_s * i, previous, high, low, close, 10.0 + i % 13))
        previous = close
    return bars


def mulberry32(seed: int) -> Callable[[], float]:
    """Return the seeded uniform generator of the examples."""
    state = seed & _WORD

    def draw() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & _WORD
        t = ((state ^ state >> 15) * (1 | state)) & _WORD
        t = ((t + ((t ^ t >> 7) * (61 | t))) ^ t) & _WORD
        return ((t ^ t >> 14) & _WORD) / 2**32

    return draw


def is_close(got: float, expected: float, tolerance: float = 1e-9) -> bool:
    """Return whether two numbers agree in the reference's sense."""
    return abs(got - expected) <= tolerance * max(1.0, abs(got), abs(expected))
