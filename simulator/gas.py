"""Gas per vault operation, measured on the published pool bytecode.

    PYTHONPATH=.:tests .venv/bin/python scripts/measure_gas.py

prints these figures, and a test measures them again. Each is one transaction that does one thing, refunds taken
off and without the base cost, in a pool of fee 500 whose state is cold. It is the pool's own cost with
tokens that only keep balances; managers, routers and tokens that do more add to it.
"""

from __future__ import annotations

from dataclasses import dataclass

TRANSACTION = 21_000
MINT_FRESH_TICKS = 245_139
MINT_EXISTING_TICKS = 155_193
BURN_ALL = 121_571
BURN_NOTHING = 91_020
COLLECT = 36_618
SWAP_WITHIN_TICK = 82_198


@dataclass(frozen=True, slots=True)
class GasTable:
    """Gas units: `base` once a transaction, the others once an operation in it."""

    base: int
    open: int
    close: int
    collect: int
    swap: int


# Opening is charged for two ticks that nobody used before, as a new range mostly meets them; counting fees is a burn of
# nothing. Crossing ticks in a swap would cost more, operations that share a transaction less.
DEFAULT_GAS_TABLE = GasTable(
    base=TRANSACTION,
    open=MINT_FRESH_TICKS,
    close=BURN_ALL + COLLECT,
    collect=BURN_NOTHING + COLLECT,
    swap=SWAP_WITHIN_TICK,
)
