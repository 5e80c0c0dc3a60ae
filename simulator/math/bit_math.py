"""The places of the outermost set bits of a word."""

from __future__ import annotations

from simulator.math.revert import PoolRevert


def most_significant_bit(x: int) -> int:
    """Return the index of the highest set bit.

    Parameters: x  uint256, > 0
    Returns:    0 .. 255, exact
    Raises:     PoolRevert("") if x is 0
    Source:     v3-core BitMath.mostSignificantBit
    """
    if x == 0:
        raise PoolRevert
    return x.bit_length() - 1


def least_significant_bit(x: int) -> int:
    """Return the index of the lowest set bit.

    Parameters: x  uint256, > 0
    Returns:    0 .. 255, exact
    Raises:     PoolRevert("") if x is 0
    Source:     v3-core BitMath.leastSignificantBit
    """
    if x == 0:
        raise PoolRevert
    return (x & -x).bit_length() - 1
