from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.math.full_math import mul_div, mul_div_rounding_up
from simulator.math.revert import PoolRevert
from simulator.math.unsafe_math import div_rounding_up

UINT256 = st.integers(0, 2**256 - 1)


@given(UINT256, UINT256, st.integers(1, 2**256 - 1))
def test_floor_and_ceil_enclose_the_quotient(a: int, b: int, denominator: int) -> None:
    if a * b // denominator >= 2**256 - 1:
        return
    floor, ceil = mul_div(a, b, denominator), mul_div_rounding_up(a, b, denominator)
    assert floor * denominator <= a * b <= ceil * denominator
    assert ceil - floor == (a * b % denominator != 0)


@pytest.mark.parametrize("function", [mul_div, mul_div_rounding_up])
@pytest.mark.parametrize("arguments", [(1, 1, 0), (2**256 - 1, 2**256 - 1, 2**256 - 2), (2**128, 2**128, 1)])
def test_what_does_not_fit_reverts_without_a_reason(function, arguments: tuple[int, int, int]) -> None:  # type: ignore[no-untyped-def] # one of two
    with pytest.raises(PoolRevert) as caught:
        function(*arguments)
    assert caught.value.reason == ""


def test_rounding_up_reverts_where_only_the_ceiling_overflows() -> None:
    arguments = (535006138814359, 432862656469423142931042426214547535783388063929571229938474969, 2)
    assert mul_div(*arguments) == 2**256 - 1
    with pytest.raises(PoolRevert):
        mul_div_rounding_up(*arguments)


@given(UINT256, UINT256)
def test_unchecked_division_rounds_up_and_takes_zero(x: int, y: int) -> None:
    assert div_rounding_up(x, y) == (x // y + (x % y > 0) if y else 0)
