"""The path of a price, taken apart into stretches that paid fees at one rate to one liquidity."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from protocol.errors import SimulationError
from protocol.units import Q96
from simulator.course import Course
from simulator.engine import Engine, V3Pool, pool_from_snapshot
from simulator.events import FlashEvent, LiquidityEvent, OtherEvent
from simulator.family import Family
from simulator.fee_policy import UNISWAP_V3
from simulator.flow import Flow
from simulator.math.swap_math import PIPS
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.opening import Schedule
from simulator.recovery import RecoveredCall, apply_call, apply_other
from simulator.slipstream import CLPool
from simulator.snapshot import PoolSnapshot
from simulator.stretch import Mark


class Piece(NamedTuple):
    """A stretch between two sqrt prices that a swap passed.

    `rate` is what the liquidity gets for each unit paid in; `mark` is the one at which that is settled.
    """

    low: float
    high: float
    rate: float
    liquidity: int
    mark: int


class Flash(NamedTuple):
    """What a flash paid to one unit of liquidity at a tick."""

    tick: int
    growth0: float
    growth1: float
    liquidity: int
    mark: int


@dataclass(slots=True)
class Path:
    """What a flow does to its own pool: falling pieces pay token0, rising ones token1.

    `marks` are sqrt prices Q64.96: at the snapshot, then when a round would mark, then at the end. `seconds` are those
    spent at each tick.
    """

    marks: list[int]
    falls: list[Piece] = field(default_factory=list)
    rises: list[Piece] = field(default_factory=list)
    flashes: list[Flash] = field(default_factory=list)
    seconds: Counter[int] = field(default_factory=Counter)


def walk(flow: Flow, schedule: Schedule | None, *, engine: Engine) -> Path:
    """Return the path of a flow on its own snapshot.

    Parameters: schedule  of marks and the end, as for a replay; None for the whole flow and the usual marks
    Returns:    pieces in order; a swap that moves nothing leaves none
    Rounding:   floats from exact prices
    Raises:     PoolRevert where the flow does not run, SimulationError where it ends before the schedule or its pool's
                fees are not those of Uniswap V3
    Source:     v3-core UniswapV3Pool.swap, flash
    """
    pool = pool_from_snapshot(flow.snapshot, engine=engine)
    if isinstance(pool, CLPool) or flow.snapshot.family is not Family.UNISWAP_V3:
        raise SimulationError("a sweep knows pools of Uniswap V3 only; replay takes any", family=flow.snapshot.family)
    depths = _Depths(flow.snapshot)
    path = Path([pool.sqrt_price_x96])
    for timestamp, what in Course.of(flow, schedule).steps:
        path.seconds[pool.tick] += timestamp - pool.timestamp
        pool.timestamp = timestamp
        if isinstance(what, RecoveredCall):
            _swap(path, depths, pool, what)
        elif isinstance(what, Mark):
            path.marks.append(pool.sqrt_price_x96)
        elif what is not None:
            _other(path, depths, pool, what)
    path.marks.append(pool.sqrt_price_x96)
    return path


def _swap(path: Path, depths: _Depths, pool: V3Pool, call: RecoveredCall) -> None:
    before_x96 = pool.sqrt_price_x96
    amounts = apply_call(pool, call)
    if amounts is None or pool.sqrt_price_x96 == before_x96:
        return
    falls, after_x96 = call.zero_for_one, pool.sqrt_price_x96
    stretches = depths.stretches(min(before_x96, after_x96), max(before_x96, after_x96))
    last = 0 if falls else -1
    specified = amounts[0 if falls == (call.amount_specified > 0) else 1]
    if stretches[last][2] == 0 and abs(call.amount_specified - specified) <= 1:
        # It ran through empty ticks to its limit; recovery gave it one unit to spend there, and it had perhaps none.
        del stretches[last]
    setting = UNISWAP_V3.decode(pool.fee_protocol)[0 if falls else 1]
    rate = pool.fee_pips / (PIPS - pool.fee_pips) * _part_of_liquidity(setting)
    pieces = path.falls if falls else path.rises
    pieces.extend(Piece(low / Q96, high / Q96, rate, depth, len(path.marks)) for low, high, depth in stretches)


def _other(path: Path, depths: _Depths, pool: V3Pool, event: OtherEvent) -> None:
    apply_other(pool, event)
    if isinstance(event, LiquidityEvent):
        depths.change(event.tick_lower, event.tick_upper, event.liquidity_delta)
    elif isinstance(event, FlashEvent) and pool.liquidity:
        part0, part1 = map(_part_of_liquidity, UNISWAP_V3.decode(pool.fee_protocol))
        growth0, growth1 = event.paid0 * part0 / pool.liquidity, event.paid1 * part1 / pool.liquidity
        path.flashes.append(Flash(pool.tick, growth0, growth1, pool.liquidity, len(path.marks)))


def _part_of_liquidity(setting: int) -> float:
    """Return what the protocol's setting leaves of a fee."""
    return 1 - 1 / setting if setting else 1.0


class _Depths:
    """The active liquidity at every price, as others hold it."""

    def __init__(self, snapshot: PoolSnapshot) -> None:
        self._net = defaultdict(int, ((tick, state.liquidity_net) for tick, state in snapshot.ticks))
        self._sum_up()

    def change(self, tick_lower: int, tick_upper: int, liquidity_delta: int) -> None:
        """Let somebody mint or burn."""
        self._net[tick_lower] += liquidity_delta
        self._net[tick_upper] -= liquidity_delta
        self._sum_up()

    def _sum_up(self) -> None:
        ticks = sorted(tick for tick, net in self._net.items() if net)
        self._bounds_x96 = [get_sqrt_ratio_at_tick(tick) for tick in ticks]
        self._between = list(accumulate((self._net[tick] for tick in ticks), initial=0))

    def stretches(self, low_x96: int, high_x96: int) -> list[tuple[int, int, int]]:
        """Return (low, high, liquidity) of the parts into which the bounds cut a way, lowest first."""
        first = bisect_right(self._bounds_x96, low_x96)
        last = bisect_left(self._bounds_x96, high_x96)
        edges = pairwise((low_x96, *self._bounds_x96[first:last], high_x96))
        return [(low, high, depth) for (low, high), depth in zip(edges, self._between[first:], strict=False)]
