"""What the contract does when it refuses: revert with a reason, and leave no trace."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from protocol.errors import TidelineError

# What the contract's reasons stand for, for people; code compares the reason alone.
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "AI": "the pool has a price already",
        "AS": "the amount is 0",
        "F0": "too little token0 is paid back",
        "F1": "too little token1 is paid back",
        "I": "the oracle is empty",
        "L": "no liquidity is active",
        "LA": "the liquidity would exceed uint128",
        "LO": "a tick would hold more liquidity than it may",
        "LOK": "the pool has no price yet",
        "LS": "there is less liquidity than is taken",
        "NP": "there is no such position",
        "OLD": "the oracle does not reach back so far",
        "R": "the price is out of range",
        "SPL": "the price limit lies behind the price, or out of range",
        "T": "the tick is out of range",
        "TF": "the pool does not hold the tokens",
        "TLM": "the lower tick is below -887272",
        "TLU": "the lower tick is not below the upper",
        "TUM": "the upper tick is above 887272",
    }
)
OFF_SPACING = "a tick is not a multiple of the pool's spacing"


class PoolRevert(TidelineError):
    """The contract would have reverted. `reason` is its own string, "" where it gives none; `meaning` is ours.

    It stands beside SimulationError, not below it: a revert is the pool's answer to a call, and whoever made the call
    says what it means. It is a TidelineError so that one nobody expected is still reported with its place.
    """

    def __init__(self, reason: str = "", meaning: str = "") -> None:
        self.reason = reason
        self.meaning = meaning or MEANINGS.get(reason, "")
        told = f"reverted: {reason}" if reason else "reverted without a reason"
        super().__init__(f"{told} ({self.meaning})" if self.meaning else told)

    def __reduce__(self) -> tuple[type[PoolRevert], tuple[str, str]]:
        # The message is not the constructor's argument, so the default would rebuild another error in another process.
        return PoolRevert, (self.reason, self.meaning)


def require(condition: object, reason: str = "") -> None:
    """Revert with `reason` unless `condition` holds."""
    if not condition:
        raise PoolRevert(reason)
