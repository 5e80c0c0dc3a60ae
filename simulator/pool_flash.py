"""A loan within one call: what it must pay back, checked without touching the pool."""

from __future__ import annotations

from simulator.math.full_math import mul_div_rounding_up
from simulator.math.integers import MASK_256
from simulator.math.revert import PoolRevert
from simulator.math.swap_math import PIPS
from simulator.pool_state import PoolState, balances_after, check_unsigned


def compute_flash(
    pool: PoolState, amount0: int, amount1: int, pay0: int, pay1: int, *, fee_pips: int
) -> tuple[int, int]:
    """Return (paid0, paid1): what the borrower pays above the principal.

    Parameters: amount*  borrowed, uint256 raw   ·   pay*  paid back, principal included, uint256 raw
                fee_pips  1e-6, what the contract asks at least
    Returns:    raw, exact
    Raises:     PoolRevert: "LOK", "L" without active liquidity, "TF" beyond the balance, "F0" "F1" for too small a
                payment (the fee is rounded up)
    Source:     v3-core UniswapV3Pool.flash
    """
    for amount in (amount0, amount1, pay0, pay1):
        check_unsigned(amount, MASK_256)
    if pool.sqrt_price_x96 == 0:
        raise PoolRevert("LOK")
    if pool.liquidity == 0:
        raise PoolRevert("L")
    balances_after(pool, -amount0, -amount1)
    paid0, paid1 = pay0 - amount0, pay1 - amount1
    balances_after(pool, paid0, paid1)
    if paid0 < mul_div_rounding_up(amount0, fee_pips, PIPS):
        raise PoolRevert("F0")
    if paid1 < mul_div_rounding_up(amount1, fee_pips, PIPS):
        raise PoolRevert("F1")
    return paid0, paid1
