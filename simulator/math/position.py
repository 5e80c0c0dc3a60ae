"""What a position remembers: its liquidity, up to where its fees are counted, and what it has not collected."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.units import Q128
from simulator.math.full_math import mul_div
from simulator.math.integers import MASK_128, MASK_256
from simulator.math.liquidity_math import add_delta
from simulator.math.revert import PoolRevert


@dataclass(frozen=True, slots=True)
class PositionInfo:
    """One owner's position in one range. Fee growths Q128 modulo 2**256, tokens owed uint128 raw."""

    liquidity: int = 0
    fee_growth_inside_0_last_x128: int = 0
    fee_growth_inside_1_last_x128: int = 0
    tokens_owed_0: int = 0
    tokens_owed_1: int = 0


EMPTY_POSITION = PositionInfo()


def fees_since(fee_growth_inside_x128: int, fee_growth_inside_last_x128: int, liquidity: int) -> int:
    """Return the fees that liquidity earned between two fee growths.

    Parameters: fee_growth_*_x128  Q128 modulo 2**256   ·   liquidity  uint128
    Returns:    raw token units, floor; up to 256 bits, of which the contract keeps the low 128 when it adds them
    Raises:     nothing
    Source:     v3-core Position.update; whitepaper eq. 6.28
    """
    growth = (fee_growth_inside_x128 - fee_growth_inside_last_x128) & MASK_256
    return mul_div(growth, liquidity, Q128)


def tokens_owed(
    position: PositionInfo, fee_growth_inside_0_x128: int, fee_growth_inside_1_x128: int
) -> tuple[int, int]:
    """Return what a position is owed once its fees are counted up to now.

    Parameters: fee_growth_inside_*_x128  Q128 modulo 2**256
    Returns:    (owed0, owed1) raw, fees floor, modulo 2**128
    Raises:     nothing
    Source:     v3-core Position.update
    """
    fees0 = fees_since(fee_growth_inside_0_x128, position.fee_growth_inside_0_last_x128, position.liquidity)
    fees1 = fees_since(fee_growth_inside_1_x128, position.fee_growth_inside_1_last_x128, position.liquidity)
    return (position.tokens_owed_0 + fees0) & MASK_128, (position.tokens_owed_1 + fees1) & MASK_128


def update(
    position: PositionInfo, liquidity_delta: int, fee_growth_inside_0_x128: int, fee_growth_inside_1_x128: int
) -> PositionInfo:
    """Return the position with its fees counted up to now and its liquidity changed.

    Parameters: liquidity_delta  int128, 0 = only count fees   ·   fee_growth_inside_*_x128  Q128 modulo 2**256
    Returns:    a new PositionInfo; fees floor, tokens owed modulo 2**128
    Raises:     PoolRevert: "NP" for a delta of 0 without liquidity, "LS" or "LA" from the liquidity
    Source:     v3-core Position.update
    """
    if liquidity_delta == 0 and position.liquidity == 0:
        raise PoolRevert("NP")
    return PositionInfo(
        add_delta(position.liquidity, liquidity_delta),
        fee_growth_inside_0_x128,
        fee_growth_inside_1_x128,
        *tokens_owed(position, fee_growth_inside_0_x128, fee_growth_inside_1_x128),
    )


def add_owed(position: PositionInfo, amount0: int, amount1: int) -> PositionInfo:
    """Return the position owed that much more (a burn's principal) or less (what was collected).

    Parameters: amount*  raw, may be negative
    Returns:    a new PositionInfo, tokens owed modulo 2**128
    Raises:     nothing
    Source:     v3-core UniswapV3Pool.burn, collect
    """
    return PositionInfo(
        position.liquidity,
        position.fee_growth_inside_0_last_x128,
        position.fee_growth_inside_1_last_x128,
        (position.tokens_owed_0 + amount0) & MASK_128,
        (position.tokens_owed_1 + amount1) & MASK_128,
    )
