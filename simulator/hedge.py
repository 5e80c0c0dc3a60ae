"""What an inventory gains and loses with token0's price, and so what must be sold short to be rid of it."""

from __future__ import annotations

from protocol.inventory import Inventory
from simulator.math.liquidity_amounts import get_amounts_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick


def token0_to_short(inventory: Inventory, sqrt_price_x96: int | None = None) -> int:
    """Return the token0 that offsets an inventory's exposure to its price in token1.

    Parameters: inventory  as published   ·   sqrt_price_x96  now, Q64.96; None for that of its publication
    Returns:    raw token0: what is idle, uncollected, and in the positions at that price, for a position's value moves
                with the token0 in it; >= 0. It grows as the price falls, so that the hedge must follow
    Rounding:   amounts in positions floored, as burning would return them
    Raises:     nothing
    Source:     ∂V/∂P = x (Milionis, Moallemi, Roughgarden, Zhang 2022); design §4.8
    """
    price = inventory.place.sqrt_price_x96 if sqrt_price_x96 is None else sqrt_price_x96
    short = inventory.idle0
    for held in inventory.positions:
        lower, upper = get_sqrt_ratio_at_tick(held.tick_lower), get_sqrt_ratio_at_tick(held.tick_upper)
        short += held.fees0 + get_amounts_for_liquidity(price, lower, upper, held.liquidity)[0]
    return short
