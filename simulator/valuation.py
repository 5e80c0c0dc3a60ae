"""What tokens are worth, in exact integers.

A value is an integer in X192: `amount0 * price0_x192 + amount1 * price1_x192`. Prices are integers fixed once per
price of the base fork,
so every sum and difference of values is exact, and two machines always agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.units import Q192


class Target(StrEnum):
    """What a job's owner wants to grow."""

    MAX_VALUE = "max_value"  # value in the quote token
    POL = "pol"  # the opening inventory itself, at its own ratio (protocol-owned liquidity)


class QuoteToken(StrEnum):
    """The pool token in which values are expressed."""

    TOKEN0 = "token0"
    TOKEN1 = "token1"


@dataclass(frozen=True, slots=True)
class Prices:
    """Value of one raw unit of each token, X192, in the numéraire's units."""

    price0_x192: int
    price1_x192: int

    def value(self, amount0: int, amount1: int) -> int:
        """Return the X192 value of a pair of raw amounts (either may be negative). Exact."""
        return amount0 * self.price0_x192 + amount1 * self.price1_x192

    def less(self, before: Prices) -> Prices:
        """Return how much these prices are above earlier ones. Exact; either may be negative."""
        return Prices(self.price0_x192 - before.price0_x192, self.price1_x192 - before.price1_x192)


@dataclass(frozen=True, slots=True)
class Numeraire:
    """The unit in which one round measures value; `bundle0`, `bundle1` and the opening price matter for POL only."""

    target: Target
    quote_token: QuoteToken
    bundle0: int
    bundle1: int
    opening_sqrt_price_x96: int

    def prices(self, sqrt_price_x96: int) -> Prices:
        """Return both prices at a pool price.

        Parameters: sqrt_price_x96  Q64.96 of the base fork, > 0
        Returns:    X192 prices. `max_value`: the quote token is worth exactly 2**192. `pol`: both prices are divided
                    by the value of
                    the opening bundle relative to its opening value, so that the bundle itself never gains or loses.
        Rounding:   token0 in token1 is exact; token1 in token0 and the pol quotients are floored, once per price.
        Raises:     ZeroDivisionError never for a reachable price and a non-empty bundle
        Source:     design §4.7, §4.8; strategy reference C2
        """
        quoted = quote_prices(sqrt_price_x96, self.quote_token)
        if self.target is Target.MAX_VALUE:
            return quoted
        opening = quote_prices(self.opening_sqrt_price_x96, self.quote_token).value(self.bundle0, self.bundle1)
        now = quoted.value(self.bundle0, self.bundle1)
        return Prices(quoted.price0_x192 * opening // now, quoted.price1_x192 * opening // now)


def quote_prices(sqrt_price_x96: int, quote_token: QuoteToken) -> Prices:
    """Return the X192 prices of both tokens in one of them.

    Parameters: sqrt_price_x96  Q64.96 token1 per token0, > 0
    Rounding:   exact when quoted in token1 (the square of a Q96 is a Q192); floored once when quoted in token0
    Source:     whitepaper: price = (sqrt_price_x96 / 2**96)**2
    """
    square = sqrt_price_x96 * sqrt_price_x96
    if quote_token is QuoteToken.TOKEN1:
        return Prices(square, Q192)
    return Prices(Q192, Q192 * Q192 // square)


def to_raw(value_x192: int) -> int:
    """Return whole raw units of the numéraire, rounded toward zero: for display, never for further arithmetic."""
    return value_x192 // Q192 if value_x192 >= 0 else -(-value_x192 // Q192)
