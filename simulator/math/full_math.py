"""Products of two 256-bit words divided by a third, without losing a bit in between."""

from __future__ import annotations

from simulator.math.integers import MASK_256
from simulator.math.revert import PoolRevert


def mul_div(a: int, b: int, denominator: int) -> int:
    """Return a * b / denominator.

    Parameters: a, b, denominator  uint256
    Returns:    uint256, floor
    Raises:     PoolRevert("") if the denominator is 0 or the result exceeds uint256
    Source:     v3-core FullMath.mulDiv
    """
    if denominator == 0:
        raise PoolRevert
    result = a * b // denominator
    if result > MASK_256:
        raise PoolRevert
    return result


def mul_div_rounding_up(a: int, b: int, denominator: int) -> int:
    """Return a * b / denominator.

    Parameters: a, b, denominator  uint256
    Returns:    uint256, ceil
    Raises:     PoolRevert("") if the denominator is 0 or the result exceeds uint256
    Source:     v3-core FullMath.mulDivRoundingUp
    """
    if denominator == 0:
        raise PoolRevert
    result = -(-a * b // denominator)
    if result > MASK_256:
        raise PoolRevert
    return result
