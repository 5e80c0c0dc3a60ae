"""Which ticks are initialised: one bit a usable tick, 256 to a word, so that one read finds the next."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from simulator.math.bit_math import least_significant_bit, most_significant_bit
from simulator.math.revert import PoolRevert


def position(compressed: int) -> tuple[int, int]:
    """Return (word_pos, bit_pos) of a tick divided by the spacing. Source: v3-core TickBitmap.position."""
    return compressed >> 8, compressed & 255


def flip_tick(words: MutableMapping[int, int], tick: int, tick_spacing: int) -> None:
    """Flip a tick's bit, in place; a word that becomes 0 is removed.

    Parameters: words  word_pos -> uint256   ·   tick  int24   ·   tick_spacing  > 0
    Returns:    nothing
    Raises:     PoolRevert("") if the tick is not on the spacing
    Source:     v3-core TickBitmap.flipTick
    """
    if tick % tick_spacing:
        raise PoolRevert
    word_pos, bit_pos = position(tick // tick_spacing)
    word = words.get(word_pos, 0) ^ 1 << bit_pos
    if word:
        words[word_pos] = word
    else:
        del words[word_pos]


def next_initialized_tick_within_one_word(
    words: Mapping[int, int], tick: int, tick_spacing: int, *, lte: bool
) -> tuple[int, bool]:
    """Return (next, initialized): the next initialised tick in the word, or the word's edge.

    Parameters: words  word_pos -> uint256   ·   tick  int24   ·   tick_spacing  > 0
                lte  search at or below `tick` (price falls), else strictly above it (price rises)
    Returns:    a tick on the spacing, possibly outside the usable range; tick / spacing is floored
    Raises:     nothing
    Source:     v3-core TickBitmap.nextInitializedTickWithinOneWord
    """
    compressed = tick // tick_spacing
    if lte:
        bit_pos = compressed & 255
        masked = words.get(compressed >> 8, 0) & ((2 << bit_pos) - 1)
        if masked:
            return (compressed - bit_pos + most_significant_bit(masked)) * tick_spacing, True
        return (compressed - bit_pos) * tick_spacing, False
    compressed += 1
    bit_pos = compressed & 255
    masked = words.get(compressed >> 8, 0) >> bit_pos
    if masked:
        return (compressed + least_significant_bit(masked)) * tick_spacing, True
    return (compressed + 255 - bit_pos) * tick_spacing, False
