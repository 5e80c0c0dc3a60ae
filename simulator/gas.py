"""Gas per vault operation (being measured)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GasTable:
    """Gas units per operation."""

    base: int
    open: int
    close: int
    collect: int
    swap: int


DEFAULT_GAS_TABLE = GasTable(21_000, 300_000, 200_000, 90_000, 120_000)
