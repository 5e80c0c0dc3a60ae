"""What the chain said of a live round beside the pool's events: what the vault held at the end, and what gas cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.errors import SimulationError
from simulator.engine import AnyPool
from simulator.fork import Fork
from simulator.portfolio import VaultState

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Paid:
    """A transaction of the vault's keeper that was mined within the round."""

    tx_hash: str
    block_number: int
    gas_used: int
    fee_wei: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The vault as it was read at the end block's hash, and the keeper's receipts in the order of the blocks."""

    vault: VaultState
    paid: tuple[Paid, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; `from_json` reads them back."""
        paid = [[p.tx_hash, p.block_number, str(p.gas_used), str(p.fee_wei)] for p in self.paid]
        return {"vault": self.vault.to_json(), "paid": paid}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Settlement:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError on a malformed value."""
        rows = ((tx_hash, int(block), int(gas), int(fee)) for tx_hash, block, gas, fee in value["paid"])
        return cls(VaultState.from_json(value["vault"]), tuple(Paid(*row) for row in rows))


def check_nav(followed: Fork, vault: VaultState, pool: AnyPool) -> None:
    """Hold the vault that was followed through the pool's events against the one that was read on chain.

    Parameters: followed  the vault's fork at the end   ·   vault  as read there   ·   pool  the real one, not changed
    Returns:    nothing. More on chain is a gift or a deposit and is not counted; a millionth less may be what a gift's
                booking rounds off
    Rounding:   tokens inside positions and fees are floored on both sides
    Raises:     SimulationError when tokens have left the vault by other ways than plans
    Source:     design §4.11
    """
    found = Fork.with_vault(pool.copy(), vault).portfolio().total
    for name, expected, got in zip(("token0", "token1"), followed.portfolio().total, found, strict=True):
        if (expected - got) * _MILLION > max(expected, 0):
            raise SimulationError(f"{expected - got} {name} have left the vault, by no plan", expected=expected)
