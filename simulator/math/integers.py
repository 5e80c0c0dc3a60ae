"""Solidity's fixed-width integers: solc 0.7.6 wraps silently, SafeCast and LowGasSafeMath revert."""

from __future__ import annotations

from simulator.math.revert import PoolRevert

MASK_32 = 2**32 - 1
MASK_128 = 2**128 - 1
MASK_160 = 2**160 - 1
MASK_256 = 2**256 - 1


def check_ints(*values: int) -> None:
    """Raise TypeError unless all are plain ints: a float is not exact, numpy's integers wrap, a bool is no number."""
    for value in values:
        if type(value) is not int:
            raise TypeError(f"an int is wanted, not {type(value).__name__}")


def wrap_int56(value: int) -> int:
    """Return `value` as int56 holds it: modulo 2**56, two's complement."""
    return ((value + 2**55) & (2**56 - 1)) - 2**55


def add_uint256(x: int, y: int) -> int:
    """Return x + y. Raises PoolRevert("") above uint256, as LowGasSafeMath.add does."""
    if x + y > MASK_256:
        raise PoolRevert
    return x + y


def to_uint128(y: int) -> int:
    """Return y >= 0. Raises PoolRevert("") above uint128 (LiquidityAmounts.toUint128)."""
    if y > MASK_128:
        raise PoolRevert
    return y


def to_uint160(y: int) -> int:
    """Return y >= 0. Raises PoolRevert("") above uint160 (SafeCast.toUint160)."""
    if y > MASK_160:
        raise PoolRevert
    return y


def to_int128(y: int) -> int:
    """Return y. Raises PoolRevert("") outside int128 (SafeCast.toInt128)."""
    if not -(2**127) <= y < 2**127:
        raise PoolRevert
    return y


def to_int256(y: int) -> int:
    """Return y. Raises PoolRevert("") outside int256 (SafeCast.toInt256, LowGasSafeMath.add and sub on int256)."""
    if not -(2**255) <= y < 2**255:
        raise PoolRevert
    return y
