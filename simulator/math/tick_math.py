"""Between ticks and square roots of prices: price = 1.0001**tick, sqrt prices as Q64.96.

The two directions agree: get_tick_at_sqrt_ratio(p) is the greatest tick whose ratio is not above p.
"""

from __future__ import annotations

from functools import lru_cache

from protocol.units import MAX_TICK, MIN_TICK
from simulator.math.integers import MASK_256
from simulator.math.revert import PoolRevert

MIN_SQRT_RATIO = 4295128739
MAX_SQRT_RATIO = 1461446703485210103287273052203988822378723970342

# sqrt(1.0001)**-(2**i) as Q128, i = 0 .. 19: what a set bit i of |tick| multiplies the ratio by.
_RATIO_AT_BIT_X128 = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)

# 2**64 / log2(sqrt(1.0001)), which turns a Q64 logarithm to base 2 into a Q128 one to base sqrt(1.0001).
_LOG_SQRT10001_OF_2_X64 = 255738958999603826347141
# Bounds of the error that 14 bits of logarithm leave, Q128: the tick lies between the two floors.
_ERROR_BELOW_X128 = 3402992956809132418596140100660247210
_ERROR_ABOVE_X128 = 291339464771989622907027621153398088495


@lru_cache(maxsize=2**16)  # every step of a swap asks for one, out of a few thousand different ones
def get_sqrt_ratio_at_tick(tick: int) -> int:
    """Return the square root of the price at a tick.

    Parameters: tick  -887272 .. 887272
    Returns:    Q64.96, ceil of the Q128 ratio so that get_tick_at_sqrt_ratio returns the same tick
    Raises:     PoolRevert("T") outside the range
    Source:     v3-core TickMath.getSqrtRatioAtTick
    """
    abs_tick = abs(tick)
    if abs_tick > MAX_TICK:
        raise PoolRevert("T")
    ratio = 2**128
    for bit, factor in enumerate(_RATIO_AT_BIT_X128):
        if abs_tick >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = MASK_256 // ratio
    return -(-ratio >> 32)


def get_tick_at_sqrt_ratio(sqrt_price_x96: int) -> int:
    """Return the greatest tick whose ratio is not above a price.

    Parameters: sqrt_price_x96  Q64.96, MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO (the pool never reaches the latter)
    Returns:    tick, floor
    Raises:     PoolRevert("R") outside the range
    Source:     v3-core TickMath.getTickAtSqrtRatio
    """
    if not MIN_SQRT_RATIO <= sqrt_price_x96 < MAX_SQRT_RATIO:
        raise PoolRevert("R")
    ratio = sqrt_price_x96 << 32
    msb = ratio.bit_length() - 1
    r = ratio >> (msb - 127) if msb >= 128 else ratio << (127 - msb)
    log_2_x64 = (msb - 128) << 64
    for bit in range(63, 49, -1):
        r = r * r >> 127
        if r >> 128:
            log_2_x64 |= 1 << bit
            r >>= 1
    log_sqrt10001_x128 = log_2_x64 * _LOG_SQRT10001_OF_2_X64
    tick_low = (log_sqrt10001_x128 - _ERROR_BELOW_X128) >> 128
    tick_high = (log_sqrt10001_x128 + _ERROR_ABOVE_X128) >> 128
    if tick_low == tick_high or get_sqrt_ratio_at_tick(tick_high) > sqrt_price_x96:
        return tick_low
    return tick_high


def min_usable_tick(tick_spacing: int) -> int:
    """Return the lowest tick a position can use. Rounding: toward zero, as Solidity divides."""
    return -(-MIN_TICK // tick_spacing) * tick_spacing


def max_usable_tick(tick_spacing: int) -> int:
    """Return the highest tick a position can use. Rounding: toward zero, as Solidity divides."""
    return MAX_TICK // tick_spacing * tick_spacing
