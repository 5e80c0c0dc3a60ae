"""What a vault holds at one moment, and the pool's price: on what simulator and chain must agree, to the wei."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.chain.abi import signed
from simulator.fork import VAULT, Fork, amounts_for_liquidity
from simulator.portfolio import Range


@dataclass(frozen=True, slots=True)
class Standing:
    """Idle tokens, and the liquidity of each range, sorted. Fees owed are left out: they belong to no plan."""

    idle0: int
    idle1: int
    sqrt_price_x96: int
    positions: tuple[tuple[Range, int], ...]

    def total_at(self, sqrt_price_x96: int) -> tuple[int, int]:
        """Return all tokens, those inside positions (floored) as they would be at a price."""
        inside = [amounts_for_liquidity(sqrt_price_x96, r, liquidity) for r, liquidity in self.positions]
        return self.idle0 + sum(a for a, _ in inside), self.idle1 + sum(b for _, b in inside)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; `from_json` reads them back."""
        return {
            "idle0": str(self.idle0),
            "idle1": str(self.idle1),
            "sqrt_price_x96": str(self.sqrt_price_x96),
            "positions": [[r.tick_lower, r.tick_upper, str(liquidity)] for r, liquidity in self.positions],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Standing:
        """Read what `to_json` wrote."""
        rows = ((Range(lower, upper), int(liquidity)) for lower, upper, liquidity in value["positions"])
        return cls(int(value["idle0"]), int(value["idle1"]), int(value["sqrt_price_x96"]), tuple(rows))


def standing_of(fork: Fork) -> Standing:
    """Return what a fork's vault holds."""
    positions = fork.pool.positions
    held = tuple((r, positions[(VAULT, r.tick_lower, r.tick_upper)].liquidity) for r in fork.ranges)
    return Standing(fork.idle0, fork.idle1, fork.pool.sqrt_price_x96, held)


def read_positions(fields: Sequence[int]) -> tuple[tuple[Range, int], ...]:
    """Return a vault's positions, sorted, out of the words of its list. Raises BadAnswer."""
    rows = (fields[at : at + 3] for at in range(0, len(fields), 3))
    return tuple(sorted((Range(signed(lower, 24), signed(upper, 24)), liquidity) for lower, upper, liquidity in rows))


def difference(expected: Standing, found: Standing) -> str | None:
    """Return in what two standings differ, or None."""
    for name in ("idle0", "idle1", "sqrt_price_x96", "positions"):
        if getattr(expected, name) != getattr(found, name):
            return f"{name} {getattr(found, name)}, expected {getattr(expected, name)}"
    return None
