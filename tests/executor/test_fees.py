"""Fees: enough to replace what is there, and never more than the operator allows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from executor.fees import FeePolicy, Fees, bump, suggest

GWEI = 10**9
prices = st.integers(0, 10**13)


def test_a_first_attempt_outlasts_a_doubling_of_the_base_fee() -> None:
    policy = FeePolicy(max_fee_wei=100 * GWEI, min_tip_wei=GWEI)
    assert suggest(10 * GWEI, 2 * GWEI, policy) == Fees(22 * GWEI, 2 * GWEI)
    assert suggest(10 * GWEI, 0, policy) == Fees(21 * GWEI, GWEI)
    assert suggest(49 * GWEI, 2 * GWEI, policy) == Fees(100 * GWEI, 2 * GWEI)
    assert suggest(49 * GWEI + 1, 2 * GWEI, policy) is None


@given(prices, prices, prices, prices, st.integers(1, 10**14))
def test_a_replacement_is_a_tenth_dearer_on_both_prices_or_none(
    max_fee: int, tip: int, base: int, suggested: int, bound: int
) -> None:
    policy, old = FeePolicy(max_fee_wei=bound), Fees(max_fee, tip)
    new = bump(old, base, suggested, policy)
    if new is None:
        least = max(-(-max_fee * 1125 // 1000), max(-(-tip * 1125 // 1000), suggested, policy.min_tip_wei) + 2 * base)
        assert least > bound
        return
    assert 10 * new.max_fee_wei >= 11 * max_fee and 10 * new.tip_wei >= 11 * tip
    assert new.tip_wei >= suggested and new.max_fee_wei >= new.tip_wei + 2 * base
    assert new.max_fee_wei <= bound
