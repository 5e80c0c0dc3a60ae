"""Gas per vault operation, measured on the published pool bytecode.

    PYTHONPATH=.:tests .venv/bin/python scripts/measure_gas.py

prints these figures, and a test measures them again. Each is the gas of one transaction that does one thing, refunds
taken off and without a transaction's base cost, in a pool of fee 500 whose state is cold. It is the pool's own cost with
tokens that only keep balances: a position manager, a router, or a token that does more, adds to it.
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


# Opening is charged for two ticks that nobody used before, as a new range mostly meets them; fees are counted by burning
# nothing. A swap that crosses ticks costs more than this, operations that share a transaction's warm state cost less.
DEFAULT_GAS_TABLE = GasTable(
    base=TRANSACTION,
    open=MINT_FRESH_TICKS,
    close=BURN_ALL + COLLECT,
    collect=BURN_NOTHING + COLLECT,
    swap=SWAP_WITHIN_TICK,
)
