"""Our vault's words: its positions, limits and plans as the contract knows them, and its code.

The contract is in executor/contracts; docs/vault.md says what it promises.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from simulator.chain.compiler import Compiled, compiled
from simulator.portfolio import Range

CONTRACTS = Path(__file__).parent / "contracts"


@dataclass(frozen=True, slots=True)
class VaultLimits:
    """How far the keeper may go, in the contract's order. Shares are parts per million, distances are ticks."""

    twap_short_s: int = 120
    twap_long_s: int = 1800
    max_deviation: int = 100
    min_width: int = 20
    max_distance: int = 5000
    max_positions: int = 10
    cooldown_s: int = 120
    max_loss_ppm: int = 3000
    max_daily_loss_ppm: int = 10_000
    max_daily_drift: int = 3_000


@dataclass(frozen=True, slots=True)
class ListedPosition:
    """A position as the vault lists it; `liquidity` is what the vault itself minted."""

    range: Range
    liquidity: int


@dataclass(frozen=True, slots=True)
class VaultClose:
    """A position to close, and the least that its liquidity must return."""

    range: Range
    amount0_min: int
    amount1_min: int


@dataclass(frozen=True, slots=True)
class VaultSwap:
    """Buy what the opens lack, at most `amount_out`, for at most `amount_in_max`."""

    zero_for_one: bool
    amount_out: int
    amount_in_max: int
    sqrt_price_limit_x96: int


@dataclass(frozen=True, slots=True)
class VaultOpen:
    """A position to open, the tokens offered to it, and the least that it must take of them."""

    range: Range
    amount0: int
    amount1: int
    amount0_min: int
    amount1_min: int


@dataclass(frozen=True, slots=True)
class VaultCall:
    """The argument of `rebalance`."""

    plan_id: bytes
    deadline_s: int
    positions_hash: bytes
    closes: tuple[VaultClose, ...]
    collects: tuple[Range, ...]
    swap: VaultSwap | None
    opens: tuple[VaultOpen, ...]


def vault_code() -> Compiled:
    """Return the vault's code. Takes three seconds the first time in a process. Raises ConfigError."""
    return compiled("vault", CONTRACTS)


def limit_words(limits: VaultLimits) -> tuple[int, ...]:
    """Return the limits as the contract takes them."""
    return astuple(limits)
