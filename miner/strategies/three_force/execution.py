"""The arithmetic of carrying out a decision: shares of balances, minimums, bins, and the published P&L."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from miner.strategies.three_force.sums import round_half_up

_SHARE_UNIT = 10**9
_RESERVE = 0.95  # 5 % of a share stays behind
_BIN_ZERO = 2**23


@dataclass(frozen=True, slots=True)
class Pnl:
    """The published P&L, modelled, not measured: its loss is that of a full range and adds up over epochs."""

    fees: float
    gas: float
    il: float
    net: float


def scale(balance: int, share: float) -> int:
    """Return a share of a balance.

    Parameters: balance  raw   ·   share  0 to 1
    Returns:    raw, floor; the share is first rounded to nine digits
    Rounding:   half-up, then floor
    Raises:     nothing
    Source:     strategy reference A6
    """
    return balance * round_half_up(share * _SHARE_UNIT) // _SHARE_UNIT


def mint_amount(balance: int, pct: float) -> int:
    """Return how much of a balance goes into a target.

    Parameters: balance  raw   ·   pct  the target's share, 0 to 1
    Returns:    95 % of the share
    Rounding:   as `scale`
    Raises:     nothing
    Source:     strategy reference A6
    """
    return scale(balance, pct * _RESERVE)


def min_amount(amount: int, slippage_bps: int = 50) -> int:
    """Return the least that must arrive.

    Parameters: amount  raw   ·   slippage_bps  0 to 10,000
    Returns:    raw
    Rounding:   what may be lost is floored
    Raises:     nothing
    Source:     strategy reference A6
    """
    return amount - amount * slippage_bps // 10_000


def needs_swap(value0: float, value1: float) -> bool:
    """Return whether the published system would even out both tokens.

    Parameters: value0, value1  in one currency
    Returns:    True if the swap is at least 5 % of everything
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A6
    """
    return abs(value0 - value1) / 2 >= 0.05 * (value0 + value1)


def bin_id(price: float, bin_step: int) -> int:
    """Return the bin of a price.

    Parameters: price  > 0   ·   bin_step  basis points
    Returns:    2^23 for price 1
    Rounding:   half-up
    Raises:     nothing
    Source:     strategy reference A6
    """
    return round_half_up(math.log(price) / math.log(1 + bin_step / 10_000)) + _BIN_ZERO


def split_over_bins(amount0: int, amount1: int, offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Return the tokens of each bin, spread evenly.

    Parameters: amount0, amount1  raw   ·   offsets  from the active bin: token0 goes to those >= 0, token1 <= 0
    Returns:    (token0, token1) per offset
    Rounding:   floor; the last bin that takes a token gets what is left of it
    Raises:     nothing
    Source:     strategy reference A6
    """
    return list(
        zip(
            _spread(amount0, [offset >= 0 for offset in offsets]),
            _spread(amount1, [offset <= 0 for offset in offsets]),
            strict=True,
        )
    )


def _spread(amount: int, takes: Sequence[bool]) -> list[int]:
    takers = [i for i, does in enumerate(takes) if does]
    shares = [0] * len(takes)
    for i in takers:
        shares[i] = amount // len(takers)
    if takers:
        shares[takers[-1]] += amount - amount // len(takers) * len(takers)
    return shares


def impermanent_loss(price: float, entry_price: float, entry_value: float) -> float:
    """Return the published loss against holding: that of a full range, whatever the position.

    Parameters: price, entry_price  > 0   ·   entry_value  any currency
    Returns:    >= 0, in that currency
    Rounding:   floats
    Raises:     ZeroDivisionError for an entry price of 0
    Source:     strategy reference A6
    """
    ratio = price / entry_price
    return abs(2 * math.sqrt(ratio) / (1 + ratio) - 1) * entry_value


def epoch_pnl(*, current_apr: float, value: float, epochs_per_year: float, gas: float, cumulative_il: float) -> Pnl:
    """Return the published P&L of one epoch.

    Parameters: current_apr  per year   ·   value, gas, cumulative_il  in one currency   ·   epochs_per_year  > 0
    Returns:    modelled fees less gas less the loss of *all* epochs so far
    Rounding:   floats
    Raises:     ZeroDivisionError for 0 epochs
    Source:     strategy reference A6
    """
    fees = current_apr * value / epochs_per_year
    return Pnl(fees, gas, cumulative_il, fees - gas - cumulative_il)
