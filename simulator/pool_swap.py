"""A swap, computed without touching the pool: the contract's loop, step by step.

The price stops at every initialised tick and also at every edge of a 256-tick bitmap word, and every step rounds.
Leaving out the empty edges would be faster and wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from protocol.errors import SimulationError
from protocol.units import MAX_TICK, MIN_TICK, Q128
from simulator.math.full_math import mul_div
from simulator.math.integers import MASK_128, MASK_160, MASK_256, check_ints
from simulator.math.liquidity_math import add_delta
from simulator.math.revert import PoolRevert
from simulator.math.swap_math import compute_swap_step
from simulator.math.tick import Accumulators, TickInfo, cross
from simulator.math.tick_bitmap import next_initialized_tick_within_one_word
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio
from simulator.pool_state import PoolState, accumulators, check_unsigned, write_observation


@dataclass(frozen=True, slots=True)
class SwapQuote:
    """What a swap would return and where it would leave the pool. Positive amounts are paid to the pool.

    `amount_remaining` is what of the amount specified was not swapped, with its sign: 0 unless the price limit or the
    end of the liquidity came first.
    """

    amount0: int
    amount1: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    amount_remaining: int = 0


class SwapOutcome(NamedTuple):
    """Everything a swap changes. The fee growth is the input token's; `crossed` holds ticks as they are afterwards.

    `protocol_fee` is what was kept from the liquidity: for the protocol, or for whom the swap's own terms say.
    """

    amount0: int
    amount1: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_growth_global_x128: int
    protocol_fee: int
    crossed: list[tuple[int, TickInfo]]


def swap_quote(
    reached: tuple[int, int, int, int, int],
    amount_specified: int,
    sqrt_price_limit_x96: int | None,
    *,
    zero_for_one: bool,
    partial: bool,
) -> SwapQuote:
    """Return the quote of a swap that was computed.

    Parameters: reached  the first five fields of SwapOutcome   ·   partial  a swap that ends early is an answer
                otherwise as for the swap
    Returns:    the quote with what remains   ·   Rounding: none
    Raises:     SimulationError if the amount is beyond the liquidity, unless `partial` or a price limit allows for it
    Source:     v3-core UniswapV3Pool.swap returns what was used; v3-periphery Quoter refuses less than was asked for
    """
    used = reached[0] if bool(zero_for_one) == (amount_specified > 0) else reached[1]
    remaining = amount_specified - used
    if remaining and sqrt_price_limit_x96 is None and not partial:
        raise SimulationError(
            "the amount is beyond the pool's liquidity; give a price limit, or ask for partial quotes",
            amount_specified=amount_specified,
            most=used,
        )
    return SwapQuote(*reached, remaining)


class SwapTerms(Protocol):
    """One swap under a contract that shares this loop but not its fees; made for the swap, and may remember."""

    @property
    def fee_pips(self) -> int:
        """The rate, as it was before the first step."""

    def split_fee(self, fee_amount: int, liquidity: int) -> tuple[int, int]:
        """Return (what is kept from the liquidity, the growth Q128 of the rest) of one step's fee."""

    def cross(self, tick: int, *, zero_for_one: bool) -> None:
        """Notice that the price crosses an initialised tick."""


def compute_swap(
    pool: PoolState,
    amount_specified: int,
    sqrt_price_limit_x96: int | None,
    *,
    zero_for_one: bool,
    terms: SwapTerms | None = None,
) -> SwapOutcome:
    """Return what a swap does to a pool.

    Parameters: amount_specified  int256 raw, > 0 exact input, < 0 exact output
                sqrt_price_limit_x96  Q64.96, None = no limit   ·   zero_for_one  token0 is paid in and the price falls
                terms  another contract's fees, None = the pool's own rate and its protocol's share
    Returns:    amounts in ceil, amounts out floor, at every step; fee growth Q128 floor; protocol share of a fee floor
    Raises:     PoolRevert: "AS" for an amount of 0, "LOK" before initialisation, "SPL" for a limit behind the price or
                outside the tick range; SimulationError for arguments that do not fit their types
    Source:     v3-core UniswapV3Pool.swap
    """
    check_ints(amount_specified)
    if not -(2**255) <= amount_specified < 2**255:
        raise SimulationError("argument does not fit its Solidity type", amount_specified=amount_specified)
    if sqrt_price_limit_x96 is not None:
        check_unsigned(sqrt_price_limit_x96, MASK_160)
    limit_x96 = _checked_limit(pool, amount_specified, sqrt_price_limit_x96, zero_for_one=zero_for_one)
    used, calculated, reached = _run(pool, amount_specified, limit_x96, terms, zero_for_one=zero_for_one)
    if bool(zero_for_one) == (amount_specified > 0):
        return SwapOutcome(used, calculated, *reached)
    return SwapOutcome(calculated, used, *reached)


def commit_swap(pool: PoolState, outcome: SwapOutcome, *, zero_for_one: bool) -> None:
    """Write what a swap did to price, liquidity, oracle, ticks and fee growth; not to balances and kept fees."""
    if outcome.tick != pool.tick:
        write_observation(pool)
    pool.sqrt_price_x96, pool.tick, pool.liquidity = outcome.sqrt_price_x96, outcome.tick, outcome.liquidity
    if zero_for_one:
        pool.fee_growth_global_0_x128 = outcome.fee_growth_global_x128
    else:
        pool.fee_growth_global_1_x128 = outcome.fee_growth_global_x128
    pool.ticks.update(outcome.crossed)


def _run(
    pool: PoolState, amount_specified: int, limit_x96: int, terms: SwapTerms | None, *, zero_for_one: bool
) -> tuple[int, int, tuple[int, int, int, int, int, list[tuple[int, TickInfo]]]]:
    """Return (the specified amount used, the other amount, the last six fields of SwapOutcome)."""
    remaining = amount_specified
    exact_input = remaining > 0
    calculated = protocol_fee = 0
    price_x96, tick, liquidity = pool.sqrt_price_x96, pool.tick, pool.liquidity
    growth_x128 = pool.fee_growth_global_0_x128 if zero_for_one else pool.fee_growth_global_1_x128
    fee_pips = pool.fee_pips if terms is None else terms.fee_pips
    fee_protocol = pool.fee_protocol and pool.fee_policy.decode(pool.fee_protocol)[0 if zero_for_one else 1]
    at_start: Accumulators | None = None
    crossed: list[tuple[int, TickInfo]] = []
    while remaining and price_x96 != limit_x96:
        tick_next, initialized = next_initialized_tick_within_one_word(
            pool.tick_bitmap, tick, pool.tick_spacing, lte=zero_for_one
        )
        tick_next = max(MIN_TICK, min(MAX_TICK, tick_next))
        start_x96, next_x96 = price_x96, get_sqrt_ratio_at_tick(tick_next)
        target_x96 = max(next_x96, limit_x96) if zero_for_one else min(next_x96, limit_x96)
        price_x96, amount_in, amount_out, fee_amount = compute_swap_step(
            price_x96, target_x96, liquidity, remaining, fee_pips
        )
        if exact_input:
            remaining -= amount_in + fee_amount
            calculated -= amount_out
        else:
            remaining += amount_out
            calculated += amount_in + fee_amount
        if terms is not None:
            kept, step_growth_x128 = terms.split_fee(fee_amount, liquidity)
            protocol_fee = (protocol_fee + kept) & MASK_128
            growth_x128 = (growth_x128 + step_growth_x128) & MASK_256
        else:
            if fee_protocol:
                share = pool.fee_policy.share_of_swap_fee(fee_amount, fee_protocol)
                fee_amount -= share
                protocol_fee = (protocol_fee + share) & MASK_128
            if liquidity:
                growth_x128 = (growth_x128 + mul_div(fee_amount, Q128, liquidity)) & MASK_256
        if price_x96 == next_x96:
            if initialized:
                at_start = at_start or accumulators(pool)
                info = pool.ticks[tick_next]
                crossed.append((tick_next, cross(info, _at_crossing(at_start, growth_x128, zero_for_one=zero_for_one))))
                if terms is not None:
                    terms.cross(tick_next, zero_for_one=zero_for_one)
                liquidity = add_delta(liquidity, -info.liquidity_net if zero_for_one else info.liquidity_net)
            tick = tick_next - 1 if zero_for_one else tick_next
        elif price_x96 != start_x96:
            tick = get_tick_at_sqrt_ratio(price_x96)
    reached = (price_x96, tick, liquidity, growth_x128, protocol_fee, crossed)
    return amount_specified - remaining, calculated, reached


def _checked_limit(
    pool: PoolState, amount_specified: int, sqrt_price_limit_x96: int | None, *, zero_for_one: bool
) -> int:
    if amount_specified == 0:
        raise PoolRevert("AS")
    if pool.sqrt_price_x96 == 0:
        raise PoolRevert("LOK")
    if sqrt_price_limit_x96 is None:
        sqrt_price_limit_x96 = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
    if zero_for_one:
        allowed = MIN_SQRT_RATIO < sqrt_price_limit_x96 < pool.sqrt_price_x96
    else:
        allowed = pool.sqrt_price_x96 < sqrt_price_limit_x96 < MAX_SQRT_RATIO
    if not allowed:
        raise PoolRevert("SPL")
    return sqrt_price_limit_x96


def _at_crossing(at_start: Accumulators, growth_x128: int, *, zero_for_one: bool) -> Accumulators:
    """The oracle's values are those of the swap's start; only the input token's fee growth moves during a swap."""
    growth0, growth1, seconds_per_liquidity, tick_cumulative, time = at_start
    if zero_for_one:
        return Accumulators(growth_x128, growth1, seconds_per_liquidity, tick_cumulative, time)
    return Accumulators(growth0, growth_x128, seconds_per_liquidity, tick_cumulative, time)
