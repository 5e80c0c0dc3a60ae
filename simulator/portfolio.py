"""What a vault owns: idle tokens, positions, and the fees they are owed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.errors import SimulationError


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """A position's bounds."""

    tick_lower: int
    tick_upper: int


@dataclass(frozen=True, slots=True)
class Holding:
    """One position as it stands: what burning it now would return (floored), and its uncollected fees. Raw units."""

    range: Range
    liquidity: int
    amount0: int
    amount1: int
    fees0: int
    fees1: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Everything a fork owns at one moment. Holdings are sorted by range and their ranges are distinct."""

    idle0: int
    idle1: int
    holdings: tuple[Holding, ...]

    @property
    def principal(self) -> tuple[int, int]:
        """Tokens inside positions, without fees."""
        return sum(h.amount0 for h in self.holdings), sum(h.amount1 for h in self.holdings)

    @property
    def fees(self) -> tuple[int, int]:
        """Uncollected fees of all positions."""
        return sum(h.fees0 for h in self.holdings), sum(h.fees1 for h in self.holdings)

    @property
    def total(self) -> tuple[int, int]:
        """All tokens: idle + principal + fees."""
        principal0, principal1 = self.principal
        fees0, fees1 = self.fees
        return self.idle0 + principal0 + fees0, self.idle1 + principal1 + fees1

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values, integers as decimal strings except ticks."""
        return {
            "idle0": str(self.idle0),
            "idle1": str(self.idle1),
            "holdings": [
                {
                    "tick_lower": h.range.tick_lower,
                    "tick_upper": h.range.tick_upper,
                    "liquidity": str(h.liquidity),
                    "amount0": str(h.amount0),
                    "amount1": str(h.amount1),
                    "fees0": str(h.fees0),
                    "fees1": str(h.fees1),
                }
                for h in self.holdings
            ],
        }


@dataclass(frozen=True, slots=True)
class VaultPosition:
    """A vault's position as the pool stores it, with its fee checkpoint."""

    range: Range
    liquidity: int
    fee_growth_inside_0_last_x128: int
    fee_growth_inside_1_last_x128: int
    tokens_owed_0: int
    tokens_owed_1: int


@dataclass(frozen=True, slots=True)
class VaultState:
    """A vault at a snapshot.

    `in_pool` says whether the snapshot's ticks already contain these positions (a real vault) or not (a virtual one,
    which
    exists on the forks only and never on the base fork).
    """

    idle0: int
    idle1: int
    positions: tuple[VaultPosition, ...]
    in_pool: bool

    def check(self, tick_spacing: int) -> None:
        """Raise SimulationError unless amounts are natural numbers and the ranges distinct and on the spacing."""
        ranges = [p.range for p in self.positions]
        if len(set(ranges)) != len(ranges):
            raise SimulationError("vault holds two positions on one range; merge them before a round")
        if self.idle0 < 0 or self.idle1 < 0:
            raise SimulationError(f"vault has negative idle tokens: {self.idle0}, {self.idle1}")
        for p in self.positions:
            off = p.range.tick_lower % tick_spacing or p.range.tick_upper % tick_spacing
            if off or p.range.tick_lower >= p.range.tick_upper or p.liquidity <= 0:
                raise SimulationError(f"vault position {p.range} with liquidity {p.liquidity} cannot exist")

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; `from_json` reads them back."""
        return {
            "idle0": str(self.idle0),
            "idle1": str(self.idle1),
            "in_pool": self.in_pool,
            "positions": [
                [
                    p.range.tick_lower,
                    p.range.tick_upper,
                    str(p.liquidity),
                    str(p.fee_growth_inside_0_last_x128),
                    str(p.fee_growth_inside_1_last_x128),
                    str(p.tokens_owed_0),
                    str(p.tokens_owed_1),
                ]
                for p in self.positions
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> VaultState:
        """Read what `to_json` wrote. Raises SimulationError on a malformed value."""
        try:
            return cls(
                idle0=int(value["idle0"]),
                idle1=int(value["idle1"]),
                in_pool=bool(value["in_pool"]),
                positions=tuple(
                    VaultPosition(Range(int(lower), int(upper)), *(int(number) for number in rest))
                    for lower, upper, *rest in value["positions"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SimulationError(f"vault state is malformed: {error!r}") from error
