from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.math.revert import PoolRevert
from simulator.math.swap_math import PIPS, compute_swap_step
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO

PRICE = st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1)


@given(PRICE, PRICE, st.integers(0, 2**128 - 1), st.integers(-(2**255), 2**255 - 1), st.integers(0, PIPS - 1))
def test_a_step_stays_within_its_target_and_its_amount(
    current: int, target: int, liquidity: int, remaining: int, fee_pips: int
) -> None:
    try:
        moved, amount_in, amount_out, fee_amount = compute_swap_step(current, target, liquidity, remaining, fee_pips)
    except PoolRevert:
        # With hardly any rate left after the fee, mulDiv's result can pass uint256: no factory admits such a fee.
        assert fee_pips > PIPS // 2
        return
    assert min(current, target) <= moved <= max(current, target)
    if remaining < 0:
        assert amount_out <= -remaining
    else:
        assert amount_in + fee_amount <= remaining
    if moved != target:
        assert (amount_in + fee_amount, -amount_out)[remaining < 0] == remaining
    else:
        assert fee_amount == -(-amount_in * fee_pips // (PIPS - fee_pips))
    if moved == current:
        assert (amount_in, amount_out) in ((0, 0), (0, min(0, -remaining)))


def test_an_input_that_lands_on_the_target_exactly_pays_the_rate_only() -> None:
    reached, amount_in, amount_out, fee_amount = compute_swap_step(2**96, 2**96 * 101 // 100, 10**18, 10**18, 600)
    assert (reached, amount_in, amount_out, fee_amount) == (
        2**96 * 101 // 100,
        10**16,
        9900990099009900,
        6003602161297,
    )
