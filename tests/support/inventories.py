"""Inventories for tests: one honest default, every part replaceable."""

from __future__ import annotations

from typing import Any

from protocol.inventory import Held, Inventory, Place
from protocol.messages import Token

WETH = Token(address="0x" + "11" * 20, symbol="WETH", decimals=18)
USDC = Token(address="0x" + "22" * 20, symbol="USDC", decimals=6)


def held(lower: int, amount0: int = 5, fees1: int = 0) -> Held:
    """Return a position of 60 ticks."""
    return Held(tick_lower=lower, tick_upper=lower + 60, liquidity=9, amount0=amount0, amount1=7, fees0=0, fees1=fees1)


def inventory(book: str = "a", *positions: Held, **changes: Any) -> Inventory:
    """Return an inventory at price 1."""
    values: dict[str, Any] = {
        "book": book,
        "kind": "live",
        "chain_id": 8453,
        "pair_address": "0x" + "33" * 20,
        "token0": WETH,
        "token1": USDC,
        "place": Place(block_number=1, timestamp=2, sqrt_price_x96=2**96, tick=0),
        "idle0": 10,
        "idle1": 0,
        "positions": positions,
    }
    return Inventory(**{**values, **changes})
