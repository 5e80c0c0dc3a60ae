"""Division without the check for zero."""

from __future__ import annotations


def div_rounding_up(x: int, y: int) -> int:
    """Return x / y.

    Parameters: x, y  uint256
    Returns:    uint256, ceil; 0 if y is 0, because the EVM's own division says so
    Raises:     nothing
    Source:     v3-core UnsafeMath.divRoundingUp
    """
    return -(-x // y) if y else 0
