"""The fuzzer can fail: it finds every one of these bugs, most of which a reader would hardly see.

None of them makes the swap's loop endless, and each can be seen from outside the pool. That excludes two favourites:
the second formula of getNextSqrtPriceFromAmount0 (no step in a pool is that large) and a floored slope in the oracle
(it always divides exactly).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from support.planting import plant
from support.pool_duel import fight, replayed

from simulator import fee_policy, pool, pool_flash, pool_liquidity, pool_swap
from simulator.math import (
    bit_math,
    full_math,
    liquidity_math,
    oracle,
    position,
    sqrt_price_math,
    swap_math,
    tick,
    tick_bitmap,
    tick_math,
    unsafe_math,
)

BUDGET = 900  # walks; most bugs need fewer than ten
SKIP_EMPTY_EDGES = """
        while not initialized and MIN_TICK < tick_next < MAX_TICK:
            tick_next, initialized = next_initialized_tick_within_one_word(
                pool.tick_bitmap, tick_next - 1 if zero_for_one else tick_next, pool.tick_spacing, lte=zero_for_one
            )
        tick_next = max("""


class Bug(NamedTuple):
    """A wrong piece of one function."""

    function: Callable[..., Any]
    right: str
    wrong: str


BUGS = {
    "amount0 rounds up once of twice": Bug(
        sqrt_price_math.get_amount0_delta,
        "-((-numerator1 * numerator2 // sqrt_ratio_b_x96) // sqrt_ratio_a_x96)",
        "-(-(numerator1 * numerator2 // sqrt_ratio_b_x96) // sqrt_ratio_a_x96)",
    ),
    "amount1 is never rounded up": Bug(sqrt_price_math.get_amount1_delta, "-(-product >> 96)", "(product >> 96)"),
    "a mint is rounded down": Bug(sqrt_price_math.get_amount0_delta_signed, "round_up=True", "round_up=False"),
    "the price after an input of token0 rounds down": Bug(
        sqrt_price_math.get_next_sqrt_price_from_amount0_rounding_up,
        "mul_div_rounding_up(numerator1, sqrt_price_x96, denominator)",
        "(numerator1 * sqrt_price_x96 // denominator)",
    ),
    "the price after an output of token1 falls one too far": Bug(
        sqrt_price_math.get_next_sqrt_price_from_amount1_rounding_down,
        "quotient = div_rounding_up(amount << 96, liquidity)",
        "quotient = (amount << 96) // liquidity + 1",
    ),
    "empty word edges are skipped": Bug(pool_swap._run, "\n        tick_next = max(", SKIP_EMPTY_EDGES),
    "the fee is a share of the whole, not added on top": Bug(
        swap_math._exact_input_step,
        "mul_div_rounding_up(amount_in, fee_pips, PIPS - fee_pips)",
        "mul_div_rounding_up(amount_in, fee_pips, PIPS)",
    ),
    "an output is not capped": Bug(swap_math._exact_output_step, "min(amount_out, amount_remaining)", "amount_out"),
    "the protocol's share is rounded up": Bug(
        fee_policy.ProtocolFeePolicy.share_of_swap_fee,
        "return fee_amount // setting",
        "return -(-fee_amount // setting)",
    ),
    "the protocol's shares are exchanged": Bug(
        pool_swap._run,
        "[0 if zero_for_one else 1]",
        "[1 if zero_for_one else 0]",
    ),
    "the fee growth does not wrap": Bug(
        pool_swap._run,
        "(growth_x128 + mul_div(fee_amount, Q128, liquidity)) & MASK_256",
        "growth_x128 + mul_div(fee_amount, Q128, liquidity)",
    ),
    "a crossing takes the fee growth of the swap's start": Bug(
        pool_swap._at_crossing, "return Accumulators(growth0, growth_x128,", "return Accumulators(growth0, growth1,"
    ),
    "the final tick is taken from the final price": Bug(
        pool_swap.commit_swap,
        "outcome.sqrt_price_x96, outcome.tick,",
        "outcome.sqrt_price_x96, get_tick_at_sqrt_ratio(outcome.sqrt_price_x96),",
    ),
    "the tick is recomputed though the price stood still": Bug(pool_swap._run, "elif price_x96 != start_x96:", "else:"),
    "the price at a range's upper tick counts as inside": Bug(
        tick.get_fee_growth_inside, "tick_current >= tick_upper", "tick_current > tick_upper"
    ),
    "a tick made at the price takes no growth": Bug(tick.update, "tick <= tick_current", "tick < tick_current"),
    "the most liquidity of a tick is refused": Bug(
        tick.update, "gross_after > max_liquidity", "gross_after >= max_liquidity"
    ),
    "seconds outside do not wrap": Bug(tick.cross, "(now.time - seconds) & MASK_32", "now.time - seconds"),
    "tokens owed are not cut": Bug(
        position.tokens_owed, "(position.tokens_owed_0 + fees0) & MASK_128", "position.tokens_owed_0 + fees0"
    ),
    "an unmoved tick writes an observation": Bug(pool_swap.commit_swap, "if outcome.tick != pool.tick:", "if True:"),
    "the oracle's clock does not wrap": Bug(oracle.lte, "a <= time and b <= time", "True"),
    "the ring grows at once": Bug(oracle.write, "and state.observation_index == state.cardinality - 1", ""),
    "a flash pays no rounding": Bug(
        pool_flash.compute_flash,
        "paid0 < mul_div_rounding_up(amount0, fee_pips, PIPS)",
        "paid0 < amount0 * fee_pips // PIPS",
    ),
    "the protocol's last unit is paid": Bug(
        pool.Pool.collect_protocol, "self.protocol_fees_0 - 1", "self.protocol_fees_0"
    ),
    "the range's lower tick is outside": Bug(
        pool_liquidity.compute_liquidity_change,
        "tick_lower <= pool.tick < tick_upper",
        "tick_lower < pool.tick < tick_upper",
    ),
    "a rising search includes the present tick": Bug(
        tick_bitmap.next_initialized_tick_within_one_word, "    compressed += 1\n", ""
    ),
    "the last bit of a word is taken for the one before": Bug(
        bit_math.most_significant_bit, "x.bit_length() - 1", "min(x.bit_length() - 1, 254)"
    ),
    "the first bit of a word is never found": Bug(
        bit_math.least_significant_bit, "(x & -x).bit_length() - 1", "max((x & -x).bit_length() - 1, 1)"
    ),
    "a product is divided upwards": Bug(full_math.mul_div, "a * b // denominator", "-(-a * b // denominator)"),
    "what divides exactly is rounded up too": Bug(
        full_math.mul_div_rounding_up, "-(-a * b // denominator)", "a * b // denominator + 1"
    ),
    "too large a burn fails for another reason": Bug(
        liquidity_math.add_delta, 'raise PoolRevert("LS")', 'raise PoolRevert("LA")'
    ),
    "the ratio at a tick is rounded down": Bug(tick_math.get_sqrt_ratio_at_tick, "-(-ratio >> 32)", "(ratio >> 32)"),
    "the price at a tick belongs to the tick below": Bug(
        tick_math.get_tick_at_sqrt_ratio,
        "get_sqrt_ratio_at_tick(tick_high) > sqrt_price_x96",
        "get_sqrt_ratio_at_tick(tick_high) >= sqrt_price_x96",
    ),
    "an exact quotient is rounded up": Bug(unsafe_math.div_rounding_up, "-(-x // y)", "(x // y + 1)"),
    "burning 2**127 fails for another reason": Bug(pool.Pool.burn, "-to_int128(amount)", "-amount"),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_fuzzer_finds_a_planted_bug(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = BUGS[name]
    plant(monkeypatch, bug.function, bug.right, bug.wrong)
    defeat = next((found for index in range(BUDGET) if (found := fight(7, index)) is not None), None)
    assert defeat is not None
    # What is reported reproduces the difference by itself, and not without the bug.
    assert replayed(defeat.fee_pips, defeat.tick_spacing, defeat.operations) == defeat.difference
    monkeypatch.undo()
    assert replayed(defeat.fee_pips, defeat.tick_spacing, defeat.operations) is None
