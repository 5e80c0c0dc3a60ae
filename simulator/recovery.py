"""From a Swap log back to the call that caused it, and from a divergence to its likely cause.

A Swap log carries amounts and the state afterwards, not what was asked for. A fork must repeat the call, not its
outcome: the same exact-in buys another amount on another pool. Every function here is pure; only `apply_call` changes
the pool it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from simulator.engine import AnyPool
from simulator.events import (
    FeeProtocolEvent,
    FlashEvent,
    LiquidityEvent,
    OtherEvent,
    StakeEvent,
    StakingEvent,
    SwapEvent,
)
from simulator.math.tick_math import max_usable_tick, min_usable_tick
from simulator.pool import PoolRevert, SwapQuote
from simulator.slipstream import CLPool

_PIPS = 1_000_000
UNBOUNDED = 2**200  # more of any token than a pool can hold, far from overflow
_MOST_BOUNDS = 1000  # ticks tried as the bound of a missed position; a swap across more is not worth the search


@dataclass(frozen=True, slots=True)
class RecoveredCall:
    """The arguments of `swap`: a positive amount is exact-in, a negative one exact-out; limit None never stops.

    `fee_pips` is what the swap cost where that is not what the pool asked before it, else None.
    """

    zero_for_one: bool
    amount_specified: int
    sqrt_price_limit_x96: int | None
    fee_pips: int | None = None


Happening: TypeAlias = RecoveredCall | OtherEvent  # what repeats on a fork


class DivergenceClass(StrEnum):
    """Why no call on our pool lands where the log says."""

    FEE_CHANGE = "fee_change"
    MISSED_LIQUIDITY = "missed_liquidity"
    MISSED_OR_FOREIGN_SWAP = "missed_or_foreign_swap"


def recover_call(pool: AnyPool, event: SwapEvent, *, max_fee_pips: int | None = None) -> RecoveredCall | None:
    """Return the call that takes the pool exactly to the event, or None when no call does.

    Parameters: pool  the base pool just before the event, not changed   ·   event  raw, positive = paid to the pool
                max_fee_pips  the most that a swap can cost where each may cost something else, None = the fee is fixed
    Returns:    exact-in without limit, exact-out without limit, or the amount paid with the price afterwards as limit:
                the first that gives equal amounts, price, liquidity and tick. A swap that went on through empty ticks
                to its limit asked for more than it could spend; the least such amount is returned. Where the fee may
                change and none of these lands at the pool's own, the same at the fee that fits and is nearest to it
    Rounding:   none of its own; the contract's loop decides
    Raises:     nothing: an event that no pool can produce is None, too
    Source:     simulation facts, reproduced on every swap of the recorded markets (tests/simulator/test_recovery.py)
    """
    zero_for_one = _direction(pool.sqrt_price_x96, event)
    if zero_for_one is None:
        return None
    for call in _candidates(event, zero_for_one=zero_for_one):
        quote = _quote(pool, call)
        if quote is not None and _lands(quote, event):
            return call
    if max_fee_pips is None:
        return None
    found = _first_with_fee(pool, event, near_pips=pool.fee_pips, zero_for_one=zero_for_one)
    return found if found is not None and (found.fee_pips or 0) <= max_fee_pips else None


def apply_call(pool: AnyPool, call: RecoveredCall) -> tuple[int, int] | None:
    """Repeat a recovered call on a fork.

    Parameters: pool  changed by the swap
    Returns:    (amount0, amount1) signed as the contract returns them, or None when the fork's price has already passed
                the call's limit: the chain would revert with SPL, so the swap is skipped. A fee that the call carries
                is the pool's from then on, skipped or not
    Rounding:   the contract's
    Raises:     PoolRevert for any other revert
    Source:     v3-core UniswapV3Pool.swap
    """
    if call.fee_pips is not None:
        pool.fee_pips = call.fee_pips
    try:
        return pool.swap(call.zero_for_one, call.amount_specified, call.sqrt_price_limit_x96)
    except PoolRevert as revert:
        if revert.reason == "SPL":
            return None
        raise


def apply_other(pool: AnyPool, event: OtherEvent) -> None:
    """Let an event that is no swap happen on a fork, as it was.

    Parameters: pool  changed by the event
    Returns:    nothing. What a flash paid goes to the liquidity active here; where there is none, it is lost
    Rounding:   the contract's
    Raises:     PoolRevert when it is impossible here
    Source:     v3-core UniswapV3Pool._modifyPosition, flash, setFeeProtocol; slipstream CLPool.stake
    """
    match event:
        case LiquidityEvent():
            pool.apply_liquidity(event.tick_lower, event.tick_upper, event.liquidity_delta)
        case FlashEvent():
            if pool.liquidity:
                pool.flash(0, 0, event.paid0, event.paid1)
        case FeeProtocolEvent() if not isinstance(pool, CLPool):
            pool.set_fee_protocol(event.fee_protocol0, event.fee_protocol1)
        case StakeEvent() if isinstance(pool, CLPool):
            pool.stake(event.liquidity_delta, event.tick_lower, event.tick_upper, False)  # noqa: FBT003 no position
        case StakingEvent() if isinstance(pool, CLPool):
            pool.set_fees(pool.fee_pips, event.unstaked_fee_pips)
        case _:
            raise PoolRevert  # another family's event


def apply_happening(pool: AnyPool, happening: Happening) -> None:
    """Let what another party did happen on a fork, by `apply_call` or `apply_other`."""
    if isinstance(happening, RecoveredCall):
        apply_call(pool, happening)
    else:
        apply_other(pool, happening)


def classify_divergence(pool_before: AnyPool, event: SwapEvent) -> DivergenceClass:
    """Return why `recover_call` found nothing: the class reported by the tripwire.

    Parameters: pool_before  the base pool just before the event, not changed
    Returns:    FEE_CHANGE: another fee on the same liquidity reproduces the event exactly.
                MISSED_LIQUIDITY: the event's liquidity is not ours although no initialised tick lies between our price
                and its price, or the difference, put on the whole path or beyond one tick of it, reproduces the event.
                MISSED_OR_FOREIGN_SWAP: anything else; the swap started from another price, or was not this pool's maths
    Rounding:   none of its own
    Raises:     nothing
    Source:     identities between net input and price movement at constant liquidity (v3-core SqrtPriceMath)
    """
    zero_for_one = _direction(pool_before.sqrt_price_x96, event)
    if zero_for_one is None:
        return DivergenceClass.MISSED_OR_FOREIGN_SWAP
    if infer_fee_pips(pool_before, event) is not None:
        return DivergenceClass.FEE_CHANGE
    liquidity_delta = event.liquidity - _liquidity_at_price(pool_before, event, zero_for_one=zero_for_one)
    if liquidity_delta == 0:
        return DivergenceClass.MISSED_OR_FOREIGN_SWAP
    if not _has_tick_between(pool_before, event.tick):
        return DivergenceClass.MISSED_LIQUIDITY
    for trial in _with_liquidity(pool_before, event.tick, liquidity_delta, zero_for_one=zero_for_one):
        if recover_call(trial, event) is not None:
            return DivergenceClass.MISSED_LIQUIDITY
    return DivergenceClass.MISSED_OR_FOREIGN_SWAP


def infer_fee_pips(pool: AnyPool, event: SwapEvent) -> int | None:
    """Return the lowest fee at which a call takes the pool exactly to the event, or None when there is none.

    Parameters: pool  just before the event, not changed
    Returns:    pips (1e-6), 0 <= fee < 1e6. A small swap fits many fees; the lowest is returned
    Rounding:   none: a higher fee makes an exact-in end no further and an exact-out cost no less, so both are searched
                by halving, and the fee found is accepted only if the event is reproduced exactly
    Raises:     nothing
    Source:     v3-core SwapMath.computeSwapStep
    """
    zero_for_one = _direction(pool.sqrt_price_x96, event)
    if zero_for_one is None:
        return None
    found = _first_with_fee(pool, event, near_pips=0, zero_for_one=zero_for_one)
    return None if found is None else found.fee_pips


def _first_with_fee(pool: AnyPool, event: SwapEvent, *, near_pips: int, zero_for_one: bool) -> RecoveredCall | None:
    """Return the first call that lands at some fee, at the one nearest to a given fee; those that fit are adjacent."""
    for call in _candidates(event, zero_for_one=zero_for_one):
        lowest = _first_fee(pool, event, call, excess=0)
        if not _lands_at(pool, event, call, lowest):
            continue
        nearest = min(near_pips, _first_fee(pool, event, call, excess=1) - 1) if near_pips > lowest else lowest
        return replace(call, fee_pips=nearest if _lands_at(pool, event, call, nearest) else lowest)
    return None


def _lands_at(pool: AnyPool, event: SwapEvent, call: RecoveredCall, fee_pips: int) -> bool:
    trial = pool.copy()
    trial.fee_pips = fee_pips
    quote = _quote(trial, call)
    return quote is not None and _lands(quote, event)


def _direction(sqrt_price_x96: int, event: SwapEvent) -> bool | None:
    """Return zero_for_one: which token was paid or, where none was, which way the price went. None: neither fits."""
    if event.amount0 > 0 and event.amount1 <= 0:
        return True
    if event.amount1 > 0 and event.amount0 <= 0:
        return False
    if event.amount0 == event.amount1 == 0 and event.sqrt_price_x96 != sqrt_price_x96:
        return event.sqrt_price_x96 < sqrt_price_x96
    return None


def _candidates(event: SwapEvent, *, zero_for_one: bool) -> Iterator[RecoveredCall]:
    paid, received = (event.amount0, -event.amount1) if zero_for_one else (event.amount1, -event.amount0)
    if paid > 0:
        yield RecoveredCall(zero_for_one, paid, None)
    if received > 0:
        yield RecoveredCall(zero_for_one, -received, None)
    if paid > 0:
        yield RecoveredCall(zero_for_one, paid, event.sqrt_price_x96)
    yield RecoveredCall(zero_for_one, paid + 1, event.sqrt_price_x96)


def _lands(quote: SwapQuote, event: SwapEvent) -> bool:
    return (
        quote.sqrt_price_x96 == event.sqrt_price_x96
        and quote.amount0 == event.amount0
        and quote.amount1 == event.amount1
        and quote.liquidity == event.liquidity
        and quote.tick == event.tick
    )


def _quote(pool: AnyPool, call: RecoveredCall) -> SwapQuote | None:
    """Return what a call would do, None where it would revert: an event may claim any price and any amount."""
    try:
        return pool.quote(call.zero_for_one, call.amount_specified, call.sqrt_price_limit_x96, partial=True)
    except PoolRevert:
        return None


def _first_fee(pool: AnyPool, event: SwapEvent, call: RecoveredCall, *, excess: int) -> int:
    """Return the lowest fee at which the call misses the event by at least `excess`, as `_excess` counts."""
    trial = pool.copy()
    low, high = 0, _PIPS - 1
    while low < high:
        middle = (low + high) // 2
        trial.fee_pips = middle
        if _excess(_quote(trial, call), event, call) >= excess:
            high = middle
        else:
            low = middle + 1
    return low


def _excess(quote: SwapQuote | None, event: SwapEvent, call: RecoveredCall) -> int:
    """Return how far a call stops short of the event (exact-in) or costs more (others): more, the higher the fee."""
    if quote is None:
        return 1
    if call.amount_specified > 0 and call.sqrt_price_limit_x96 is None:
        short = quote.sqrt_price_x96 - event.sqrt_price_x96
        return short if call.zero_for_one else -short
    return quote.amount0 - event.amount0 if call.zero_for_one else quote.amount1 - event.amount1


def _has_tick_between(pool: AnyPool, tick: int) -> bool:
    """Whether an initialised tick, which changes the active liquidity, lies between the pool's tick and another."""
    low, high = sorted((pool.tick, tick))
    return any(low < number <= high and state.liquidity_gross for number, state in pool.ticks.items())


def _liquidity_at_price(pool: AnyPool, event: SwapEvent, *, zero_for_one: bool) -> int:
    """Return our liquidity where the event ended; where it ended behind us, the liquidity we have."""
    reached = _quote(pool, RecoveredCall(zero_for_one, UNBOUNDED, event.sqrt_price_x96))
    return pool.liquidity if reached is None else reached.liquidity


def _with_liquidity(pool: AnyPool, end_tick: int, liquidity_delta: int, *, zero_for_one: bool) -> Iterator[AnyPool]:
    """Yield the pool with liquidity added or taken away: on the whole path of a swap, then only beyond a tick on it."""
    lowest, highest = min_usable_tick(pool.tick_spacing), max_usable_tick(pool.tick_spacing)
    if pool.liquidity + liquidity_delta >= 0:
        yield _with_active(pool, liquidity_delta)
    low, high = sorted((pool.tick, end_tick))
    first = (low // pool.tick_spacing + 1) * pool.tick_spacing
    for bound in range(first, high + 1, pool.tick_spacing)[:_MOST_BOUNDS]:
        beyond = (lowest, bound) if zero_for_one else (bound, highest)
        trial = pool.copy()
        try:
            if liquidity_delta < 0:  # what is taken away must be there at the far end, too
                trial.apply_liquidity(lowest, highest, -liquidity_delta)
            trial.apply_liquidity(*beyond, liquidity_delta)
        except PoolRevert:
            continue
        trial.liquidity += min(liquidity_delta, 0)
        yield trial


def _with_active(pool: AnyPool, liquidity_delta: int) -> AnyPool:
    """Return the pool with other active liquidity and the same ticks: a position whose bounds are out of reach."""
    trial = pool.copy()
    trial.liquidity += liquidity_delta
    return trial
