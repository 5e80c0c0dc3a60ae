"""Liquidity plus a signed change."""

from __future__ import annotations

from simulator.math.integers import MASK_128
from simulator.math.revert import PoolRevert


def add_delta(x: int, y: int) -> int:
    """Return x + y.

    Parameters: x  uint128   ·   y  int128
    Returns:    uint128, exact
    Raises:     PoolRevert("LS") below 0, PoolRevert("LA") above uint128
    Source:     v3-core LiquidityMath.addDelta
    """
    z = x + y
    if z < 0:
        raise PoolRevert("LS")
    if z > MASK_128:
        raise PoolRevert("LA")
    return z
