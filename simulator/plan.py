"""From what a miner desires to what happens: one function to plan and one to execute, for evaluation, back-test and
executor alike.

A plan closes positions, makes at most one swap, and opens positions. It is judged on the portfolio that was shown; it
is executed later,
at the effective block, on what is then owned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import SimulationError
from protocol.units import MAX_TICK, MAX_UINT128, MIN_TICK
from simulator.fork import Closed, Fork, Opened
from simulator.pool import PoolRevert
from simulator.portfolio import Holding, Range

MAX_POSITIONS = 50


@dataclass(frozen=True, slots=True)
class Desired:
    """One position a miner wants: a range and the tokens offered to it (raw units)."""

    range: Range
    amount0: int
    amount1: int


@dataclass(frozen=True, slots=True)
class NetSwap:
    """The one swap of a plan: buy at most `amount_out` of the short token with the other."""

    zero_for_one: bool
    amount_out: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done at the effective block. Ranges are sorted, except `open`, which keeps the miner's order."""

    keep: tuple[Range, ...]
    close: tuple[Range, ...]
    collect: tuple[Range, ...]  # kept positions whose fees the opens need
    swap: NetSwap | None
    open: tuple[Desired, ...]

    @property
    def is_keep(self) -> bool:
        """Whether nothing at all is to be done."""
        return not (self.close or self.open)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; amounts are decimal strings."""
        return {
            "keep": [[r.tick_lower, r.tick_upper] for r in self.keep],
            "close": [[r.tick_lower, r.tick_upper] for r in self.close],
            "collect": [[r.tick_lower, r.tick_upper] for r in self.collect],
            "swap": None
            if self.swap is None
            else {"zero_for_one": self.swap.zero_for_one, "amount_out": str(self.swap.amount_out)},
            "open": [[d.range.tick_lower, d.range.tick_upper, str(d.amount0), str(d.amount1)] for d in self.open],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """Read what `to_json` wrote. Raises SimulationError on a malformed value."""
        try:
            keep, close, collect = (
                tuple(Range(int(lower), int(upper)) for lower, upper in value[name])
                for name in ("keep", "close", "collect")
            )
            swap = value["swap"]
            return cls(
                keep=keep,
                close=close,
                collect=collect,
                swap=None if swap is None else NetSwap(bool(swap["zero_for_one"]), int(swap["amount_out"])),
                open=tuple(
                    Desired(Range(int(lower), int(upper)), int(amount0), int(amount1))
                    for lower, upper, amount0, amount1 in value["open"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SimulationError(f"plan is malformed: {error!r}") from error


@dataclass(frozen=True, slots=True)
class InvalidPlan:
    """Why an answer cannot be carried out: its sender's fault."""

    reason: str


@dataclass(frozen=True, slots=True)
class Swapped:
    """The swap as it was executed; amounts signed as the pool signs them (positive = paid by the vault)."""

    amount0: int
    amount1: int


@dataclass(frozen=True, slots=True)
class Execution:
    """What a plan really did on a fork."""

    closed: tuple[Closed, ...]
    collected: tuple[tuple[Range, int, int], ...]
    swapped: Swapped | None
    opened: tuple[Opened, ...]
    not_opened: tuple[Range, ...]


def check_desired(desired: Sequence[Desired], tick_spacing: int) -> str | None:
    """Return why a list of desired positions is malformed, or None.

    Parameters: desired  any integers at all   ·   tick_spacing  > 0
    Returns:    one line naming the position and the rule it breaks
    Source:     design §4.6; v3-core UniswapV3Pool.checkTicks, TickBitmap.flipTick
    """
    if len(desired) > MAX_POSITIONS:
        return f"{len(desired)} positions, at most {MAX_POSITIONS} are allowed"
    if len({d.range for d in desired}) != len(desired):
        return "two positions share one range"
    for index, d in enumerate(desired):
        lower, upper = d.range.tick_lower, d.range.tick_upper
        if not MIN_TICK <= lower < upper <= MAX_TICK:
            return f"position {index}: ticks {lower}..{upper} are not ascending within ±{MAX_TICK}"
        if lower % tick_spacing or upper % tick_spacing:
            return f"position {index}: ticks {lower}..{upper} are off the spacing {tick_spacing}"
        if not (0 <= d.amount0 <= MAX_UINT128 and 0 <= d.amount1 <= MAX_UINT128):
            return f"position {index}: an allocation is outside 0..2**128-1"
    return None


def make_plan(fork: Fork, desired: Sequence[Desired]) -> Plan | InvalidPlan:
    """Turn desired positions into a plan, judged on the fork exactly as it stands now (the portfolio shown).

    Parameters: fork  at the checkpoint, not changed   ·   desired  the miner's whole wish; what it does not repeat is
    closed
    Returns:    a Plan, or InvalidPlan with one line. A position equal in ticks and both allocations to one shown is
                kept. The opens
                must be covered on each side by idle + closed principal and fees; the fees of kept positions are drawn
                on only when
                that is not enough; a shortfall of one token may be bought with what the opens leave of the other.
    Rounding:   shown amounts are floored; the swap's cost is the pool's own (rounded up)
    Source:     design §4.6
    """
    problem = check_desired(desired, fork.pool.tick_spacing)
    if problem is not None:
        return InvalidPlan(problem)
    shown = {h.range: h for h in fork.portfolio().holdings}
    kept = {d.range for d in desired if _is_kept(d, shown.get(d.range))}
    opens = tuple(d for d in desired if d.range not in kept)
    empty = next((d.range for d in opens if d.amount0 == 0 and d.amount1 == 0), None)
    if empty is not None:
        return InvalidPlan(f"position {empty.tick_lower}..{empty.tick_upper} is offered no tokens")
    closing = [h for r, h in shown.items() if r not in kept]
    need0, need1 = sum(d.amount0 for d in opens), sum(d.amount1 for d in opens)
    have0 = fork.idle0 + sum(h.amount0 + h.fees0 for h in closing)
    have1 = fork.idle1 + sum(h.amount1 + h.fees1 for h in closing)
    collect: tuple[Range, ...] = ()
    if need0 > have0 or need1 > have1:
        collect = tuple(r for r in sorted(kept) if shown[r].fees0 or shown[r].fees1)
        have0 += sum(shown[r].fees0 for r in collect)
        have1 += sum(shown[r].fees1 for r in collect)
    swap = _net_swap(fork, [h.range for h in closing], (need0, need1), (have0, have1))
    if isinstance(swap, InvalidPlan):
        return swap
    return Plan(tuple(sorted(kept)), tuple(sorted(h.range for h in closing)), collect, swap, opens)


def _is_kept(desired: Desired, holding: Holding | None) -> bool:
    return holding is not None and (desired.amount0, desired.amount1) == (holding.amount0, holding.amount1)


def _net_swap(
    fork: Fork, closing: Sequence[Range], need: tuple[int, int], have: tuple[int, int]
) -> NetSwap | InvalidPlan | None:
    """Return the swap that buys the shortfall, None if there is none, or why it cannot be bought."""
    short0, short1 = need[0] - have[0], need[1] - have[1]
    if short0 <= 0 and short1 <= 0:
        return None
    if short0 > 0 and short1 > 0:
        return InvalidPlan(f"offers {short0} token0 and {short1} token1 more than is owned")
    zero_for_one = short1 > 0
    shortfall, spare = (short1, -short0) if zero_for_one else (short0, -short1)
    scratch = fork.copy()
    for position_range in closing:
        scratch.close(position_range)
    cost = _cost_of(scratch, zero_for_one=zero_for_one, amount_out=shortfall)
    token = "token1" if zero_for_one else "token0"
    if cost is None:
        return InvalidPlan(f"the pool cannot sell the {shortfall} {token} that the offer lacks")
    if cost > spare:
        return InvalidPlan(f"lacks {shortfall} {token}; buying it costs {cost} of the other token, {spare} is left")
    return NetSwap(zero_for_one, shortfall)


def _cost_of(fork: Fork, *, zero_for_one: bool, amount_out: int) -> int | None:
    """Return what buying exactly `amount_out` costs on the fork now, or None if the pool cannot sell so much."""
    try:
        quote = fork.pool.quote(zero_for_one, -amount_out, partial=True)
    except PoolRevert:
        return None
    paid, received = (quote.amount0, -quote.amount1) if zero_for_one else (quote.amount1, -quote.amount0)
    return paid if received == amount_out else None


def execute_plan(fork: Fork, plan: Plan) -> Execution:
    """Carry out a plan on a fork as it stands at the effective block.

    Parameters: fork  changed in place   ·   plan  made on the same fork at the checkpoint, no other plan in between
    Returns:    what happened. Closes first; then the swap, of the shortfall that was shown or the present one if that
                is smaller,
                never spending more than is owned; then each side's allocations scaled down (floor) to what is then
                owned; liquidity
                by the position manager's rule; leftovers stay idle. An open that buys no liquidity is skipped.
    Raises:     SimulationError when the fork contradicts the plan (ours, never the miner's fault)
    Source:     design §4.6
    """
    closed = tuple(fork.close(position_range) for position_range in plan.close)
    collected = tuple((r, *fork.collect_fees(r)) for r in plan.collect)
    swapped = None if plan.swap is None else _execute_swap(fork, plan.swap, plan.open)
    opened: list[Opened] = []
    not_opened: list[Range] = []
    for d in scale_to_owned(plan.open, fork.idle0, fork.idle1):
        position = fork.open(d.range, d.amount0, d.amount1)
        if position is None:
            not_opened.append(d.range)
        else:
            opened.append(position)
    return Execution(closed, collected, swapped, tuple(opened), tuple(not_opened))


def _execute_swap(fork: Fork, swap: NetSwap, opens: Sequence[Desired]) -> Swapped | None:
    short = (
        sum(d.amount1 for d in opens) - fork.idle1 if swap.zero_for_one else sum(d.amount0 for d in opens) - fork.idle0
    )
    amount_out = min(short, swap.amount_out)
    owned = fork.idle0 if swap.zero_for_one else fork.idle1
    if amount_out <= 0 or owned == 0:
        return None
    cost = _cost_of(fork, zero_for_one=swap.zero_for_one, amount_out=amount_out)
    affordable = cost is not None and cost <= owned
    amount_specified = -amount_out if affordable else owned
    try:
        amount0, amount1 = fork.swap(zero_for_one=swap.zero_for_one, amount_specified=amount_specified)
    except PoolRevert:
        return None  # meanwhile the fork's price has run to its limit: there is nothing left to buy
    return Swapped(amount0, amount1)


def scale_to_owned(opens: Sequence[Desired], owned0: int, owned1: int) -> tuple[Desired, ...]:
    """Scale each side's allocations down so that their sum is at most what is owned.

    Parameters: opens  raw units   ·   owned0, owned1  raw units
    Returns:    the same ranges; a side that is covered is unchanged, the other side is multiplied by owned / offered
    Rounding:   floor, so that the sum never exceeds what is owned
    """
    need0, need1 = sum(d.amount0 for d in opens), sum(d.amount1 for d in opens)
    return tuple(
        Desired(
            d.range,
            d.amount0 if need0 <= owned0 else d.amount0 * owned0 // need0,
            d.amount1 if need1 <= owned1 else d.amount1 * owned1 // need1,
        )
        for d in opens
    )
