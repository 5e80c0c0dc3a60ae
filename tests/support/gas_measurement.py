"""What a vault's operations cost on the published bytecode, each as a transaction of its own without the base cost."""

from __future__ import annotations

from collections.abc import Callable

from support.bytecode_pool import BytecodePool

from protocol.units import MAX_UINT128, Q96

BASE = 21_000
# The range of a pool's other liquidity, and one inside it whose four neighbours share their words of the bitmap.
WIDE, NARROW, FRESH = (-2000, 2000), (-500, 500), (-400, 400)
OTHERS, VAULT = 1, 2
LIQUIDITY = 10**18


def measure_gas() -> dict[str, int]:
    """Return gas by the names that simulator.gas gives its figures.

    The pool has fee 500 and spacing 10, has been traded and holds protocol fees; the oracle has one slot, a second has
    passed since the last observation. Tokens only keep balances, none of which is empty before or after.
    """
    narrow, fresh = (VAULT, *NARROW), (VAULT, *FRESH)
    swap = (True, 10**14, 4295128740)
    return {
        "MINT_FRESH_TICKS": _gas(lambda pool: pool.mint(*fresh, LIQUIDITY)),
        "MINT_EXISTING_TICKS": _gas(lambda pool: pool.mint(OTHERS + 2, *NARROW, LIQUIDITY)),
        "BURN_ALL": _gas(lambda pool: pool.burn(*narrow, LIQUIDITY)),
        "BURN_NOTHING": _gas(lambda pool: pool.burn(*narrow, 0)),
        "COLLECT": _gas(lambda pool: pool.collect(*narrow, MAX_UINT128, MAX_UINT128), poked=True),
        "SWAP_WITHIN_TICK": _gas(lambda pool: pool.swap(*swap)),
    }


def _gas(operation: Callable[[BytecodePool], object], *, poked: bool = False) -> int:
    """Return the gas of one operation in the market described above; `poked`: the vault's fees are already counted."""
    pool = BytecodePool(500, 10)
    pool.timestamp = 1_700_000_000
    pool.initialize(Q96)
    pool.set_fee_protocol(4, 4)
    pool.mint(OTHERS, *WIDE, 100 * LIQUIDITY)
    pool.mint(VAULT, *NARROW, LIQUIDITY)
    pool.swap(True, 10**17, 4295128740)
    pool.swap(False, 10**17, 2**97)
    if poked:
        pool.burn(VAULT, *NARROW, 0)
    settled = pool.settled({*WIDE, *NARROW, *FRESH}, [(OTHERS, *WIDE), (VAULT, *NARROW)])
    settled.timestamp = pool.timestamp + 1
    operation(settled)
    return settled.gas_used - BASE
