"""What to pay per gas: pure integer arithmetic, in wei."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fees:
    """The two prices of a type-2 transaction, wei per gas."""

    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """An operator's bounds: never more than `max_fee_wei` for a unit of gas, whatever the chain asks, and, where it is
    given, than `max_cost_wei` in all for a plan's transaction.
    """

    max_fee_wei: int
    min_tip_wei: int = 1_000_000
    max_cost_wei: int | None = None
    replacement_permille: int = 1125  # nodes want a tenth more on both prices; some compare with >


def suggest(base_fee_wei: int, tip_wei: int, policy: FeePolicy) -> Fees | None:
    """Return fees for a first attempt.

    Parameters: base_fee_wei  of the latest block   ·   tip_wei  what a node suggests
    Returns:    tip + twice the base fee, which outlasts some six full blocks; None above the operator's bound
    Rounding:   none
    Raises:     nothing
    Source:     EIP-1559; execution facts §2
    """
    tip = max(tip_wei, policy.min_tip_wei)
    fees = Fees(tip + 2 * base_fee_wei, tip)
    return fees if fees.max_fee_wei <= policy.max_fee_wei else None


def bump(old: Fees, base_fee_wei: int, tip_wei: int, policy: FeePolicy) -> Fees | None:
    """Return fees with which a node replaces an attempt that has these.

    Parameters: old  of the dearest attempt   ·   the rest as for `suggest`
    Returns:    both prices at least `replacement_permille` of the old ones; None where that is above the bound: then
                the old attempt is sent again
    Rounding:   up
    Raises:     nothing
    Source:     go-ethereum's price bump of 10 % on both prices
    """
    tip = max(_raised(old.tip_wei, policy), tip_wei, policy.min_tip_wei)
    fees = Fees(max(_raised(old.max_fee_wei, policy), tip + 2 * base_fee_wei), tip)
    return fees if fees.max_fee_wei <= policy.max_fee_wei else None


def _raised(price_wei: int, policy: FeePolicy) -> int:
    return -(-price_wei * policy.replacement_permille // 1000)
