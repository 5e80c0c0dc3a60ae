"""Values in X192: exact where they can be, floored once where they cannot."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.units import Q96, Q192
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO
from simulator.valuation import Numeraire, Prices, QuoteToken, Target, quote_prices, to_raw

sqrt_prices = st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1)
amounts = st.integers(0, 2**128 - 1)


@pytest.mark.parametrize(
    ("sqrt_price_x96", "quote_token", "expected"),
    [
        (Q96, QuoteToken.TOKEN1, Prices(Q192, Q192)),
        (Q96, QuoteToken.TOKEN0, Prices(Q192, Q192)),
        (2 * Q96, QuoteToken.TOKEN1, Prices(4 * Q192, Q192)),
        (2 * Q96, QuoteToken.TOKEN0, Prices(Q192, Q192 // 4)),
        (3 * Q96, QuoteToken.TOKEN0, Prices(Q192, Q192 // 9)),  # 2**192 / 9 has a fraction: floored
        (Q96 // 2, QuoteToken.TOKEN0, Prices(Q192, 4 * Q192)),
    ],
)
def test_prices_in_either_token(sqrt_price_x96: int, quote_token: QuoteToken, expected: Prices) -> None:
    assert quote_prices(sqrt_price_x96, quote_token) == expected


def test_a_value_takes_either_sign() -> None:
    assert Prices(7, 3).value(5, -11) == 2


@given(sqrt_prices)
def test_prices_are_the_exact_ones_floored(sqrt_price_x96: int) -> None:
    price = Fraction(sqrt_price_x96, Q96) ** 2
    assert quote_prices(sqrt_price_x96, QuoteToken.TOKEN1) == Prices(int(price * Q192), Q192)
    assert quote_prices(sqrt_price_x96, QuoteToken.TOKEN0) == Prices(Q192, int(Q192 / price))


@given(opening=sqrt_prices, now=sqrt_prices, bundle0=amounts, bundle1=amounts, quote_token=st.sampled_from(QuoteToken))
def test_max_value_knows_no_bundle(opening: int, now: int, bundle0: int, bundle1: int, quote_token: QuoteToken) -> None:
    numeraire = Numeraire(Target.MAX_VALUE, quote_token, bundle0, bundle1, opening)
    assert numeraire.prices(now) == quote_prices(now, quote_token)


def test_pol_divides_by_the_bundle() -> None:
    """Two of each token at price 1; at price 4 the bundle is worth 10 token1, not 4: all prices shrink to 2/5."""
    numeraire = Numeraire(Target.POL, QuoteToken.TOKEN1, 2, 2, Q96)
    assert numeraire.prices(Q96) == Prices(Q192, Q192)
    assert numeraire.prices(2 * Q96) == Prices(4 * Q192 * 2 // 5, Q192 * 2 // 5)


def test_a_bundle_of_one_token_holds_that_tokens_price_still() -> None:
    """The two sides of the bundle are not interchangeable."""
    only0 = Numeraire(Target.POL, QuoteToken.TOKEN1, 5, 0, Q96).prices(2 * Q96)
    only1 = Numeraire(Target.POL, QuoteToken.TOKEN1, 0, 5, Q96).prices(2 * Q96)
    assert (only0, only1) == (Prices(Q192, Q192 // 4), Prices(4 * Q192, Q192))


@given(
    opening=st.integers(2**70, 2**120),
    now=st.integers(2**70, 2**120),
    bundle0=st.integers(0, 2**100),
    bundle1=st.integers(1, 2**100),
    quote_token=st.sampled_from(QuoteToken),
)
def test_the_pol_bundle_keeps_its_value_up_to_a_floor_per_price(
    opening: int, now: int, bundle0: int, bundle1: int, quote_token: QuoteToken
) -> None:
    numeraire = Numeraire(Target.POL, quote_token, bundle0, bundle1, opening)
    before = quote_prices(opening, quote_token).value(bundle0, bundle1)
    after = numeraire.prices(now).value(bundle0, bundle1)
    assert before - bundle0 - bundle1 < after <= before


@pytest.mark.parametrize(
    ("value_x192", "raw"), [(0, 0), (Q192, 1), (Q192 - 1, 0), (1 - Q192, 0), (-Q192, -1), (-3 * Q192 // 2, -1)]
)
def test_raw_units_round_toward_zero(value_x192: int, raw: int) -> None:
    assert to_raw(value_x192) == raw
