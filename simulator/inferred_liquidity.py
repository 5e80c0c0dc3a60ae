"""What a pool's liquidity was before its events, found from the events alone: no snapshot, no node.

Every Swap log tells the liquidity where it ended. Less the mints and burns that came before it and reach there, that is
what the same segment (the ticks from one multiple of the spacing up to the next) held at the opening, and it must be
the same number whenever a swap ends there. The differences between segments are the ticks' net liquidity.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from protocol.units import MAX_TICK, MIN_TICK
from simulator.events import LiquidityEvent, PoolEvent, SwapEvent
from simulator.math.revert import PoolRevert
from simulator.math.tick_math import (
    get_sqrt_ratio_at_tick,
    get_tick_at_sqrt_ratio,
    max_usable_tick,
    min_usable_tick,
)
from simulator.snapshot import PoolSnapshot, TickState


@dataclass(slots=True)
class _TickSeen:
    """What mints and burns did to a tick, and the most gross liquidity that any of them needs it to begin with."""

    gross: int = 0
    net: int = 0
    least: int = 0
    least_plus_net: int = 0  # to be increased by the net liquidity at the opening, which is not known yet
    least_minus_net: int = 0

    def change(self, gross: int, net: int) -> None:
        self.gross += gross
        self.net += net
        self.least = max(self.least, -self.gross)
        self.least_plus_net = max(self.least_plus_net, self.net - self.gross)
        self.least_minus_net = max(self.least_minus_net, -self.net - self.gross)

    def opening_gross(self, net: int) -> int:
        return max(self.least, self.least_plus_net + net, self.least_minus_net - net)


@dataclass(slots=True)
class InferredLiquidity:
    """The liquidity at the opening of a stretch of events, as far as the events tell it. Give it each in turn."""

    tick_spacing: int
    segments: dict[int, int] = field(default_factory=dict)  # segment -> liquidity at the opening
    first_swap: SwapEvent | None = None
    _ticks: dict[int, _TickSeen] = field(default_factory=dict)
    _last: tuple[int, int] | None = None  # the segment of the last swap, and what mints and burns changed there so far
    _snapshot_ticks: dict[int, TickState] | None = None

    def take(self, event: PoolEvent) -> bool:
        """Learn from the next event.

        Parameters: event  any of the pool's, in chain order
        Returns:    False when it contradicts what was learned: liquidity came or went unseen, or the event is false
        Rounding:   none
        Raises:     nothing
        Source:     v3-core UniswapV3Pool: liquidity is the sum of net liquidity up to the tick, and nothing else
        """
        if isinstance(event, LiquidityEvent) and event.liquidity_delta:
            if not self._is_range(event.tick_lower, event.tick_upper):
                return False
            for tick, sign in ((event.tick_lower, 1), (event.tick_upper, -1)):
                seen = self._ticks.setdefault(tick, _TickSeen())
                seen.change(event.liquidity_delta, sign * event.liquidity_delta)
            self._last = None
        if not isinstance(event, SwapEvent):
            return True
        if not _is_tick_of(event.tick, event.sqrt_price_x96):
            return False
        self.first_swap = self.first_swap or event
        segment = event.tick // self.tick_spacing
        at_opening = event.liquidity - self._change_in(segment)
        if at_opening < 0 or (at_opening and not self._is_usable(segment)):
            return False
        return self.segments.setdefault(segment, at_opening) == at_opening

    def take_snapshot(self, snapshot: PoolSnapshot) -> bool:
        """Learn the rest from the pool's state after the events so far; nothing is unknown then.

        Parameters: snapshot  of a later block than every event taken, and before every other
        Returns:    False when it contradicts what was learned
        Rounding:   none
        Raises:     nothing
        Source:     a tick at the opening is the tick now, less what mints and burns did to it
        """
        now = dict(snapshot.ticks)
        opening: dict[int, TickState] = {}
        for tick in now.keys() | self._ticks.keys():
            state, seen = now.get(tick, TickState(0, 0, 0, 0)), self._ticks.get(tick, _TickSeen())
            gross, net = state.liquidity_gross - seen.gross, state.liquidity_net - seen.net
            if gross < abs(net):
                return False
            if gross:
                opening[tick] = TickState(gross, net, 0, 0)
        for segment, liquidity in self.segments.items():
            start = segment * self.tick_spacing
            if liquidity != sum(state.liquidity_net for bound, state in opening.items() if bound <= start):
                return False
        self._snapshot_ticks = opening
        return True

    def is_known(self, tick: int) -> bool:
        """Return whether the liquidity of a tick's segment is known.

        Parameters: tick  any   ·   Rounding: none   ·   Raises: nothing   ·   Source: as for `take`
        """
        return self.is_complete or tick // self.tick_spacing in self.segments

    @property
    def is_complete(self) -> bool:
        """Whether a snapshot told all that the events did not."""
        return self._snapshot_ticks is not None

    def opening(self, pair_address: str, block: tuple[int, int, str, int], *, fee_pips: int) -> PoolSnapshot:
        """Return the pool before the events, but at the price where the first swap ended.

        Parameters: block  (chain id, number, hash, timestamp) to put the snapshot under   ·   fee_pips  the pool's
        Returns:    a snapshot without fee growth. Between two known segments the liquidity of the lower one goes on up
                    to the higher, outside of all that of the outermost goes on to the end; ticks that no known segment
                    and no burn needs are not there
        Rounding:   none
        Raises:     ValueError before there was a swap
        Source:     as for `take`
        """
        swap = self.first_swap
        if swap is None:
            raise ValueError("no swap tells where the price was")
        chain_id, block_number, block_hash, timestamp = block
        ticks = self._inferred_ticks() if self._snapshot_ticks is None else self._snapshot_ticks
        return PoolSnapshot(
            chain_id=chain_id,
            pair_address=pair_address,
            block_number=block_number,
            block_hash=block_hash,
            timestamp=timestamp,
            fee_pips=fee_pips,
            tick_spacing=self.tick_spacing,
            sqrt_price_x96=swap.sqrt_price_x96,
            tick=swap.tick,
            liquidity=sum(state.liquidity_net for tick, state in ticks.items() if tick <= swap.tick),
            fee_growth_global_0_x128=0,
            fee_growth_global_1_x128=0,
            fee_protocol=0,
            ticks=tuple(sorted(ticks.items())),
        )

    def _inferred_ticks(self) -> dict[int, TickState]:
        known = sorted(self.segments.items())
        net: Counter[int] = Counter()
        net[min_usable_tick(self.tick_spacing)] += known[0][1]
        net[max_usable_tick(self.tick_spacing)] -= known[-1][1]
        for (_, below), (segment, above) in pairwise(known):
            net[segment * self.tick_spacing] += above - below
        found = {}
        for tick in net.keys() | self._ticks.keys():
            gross = self._ticks.get(tick, _TickSeen()).opening_gross(net[tick])
            if gross:
                found[tick] = TickState(gross, net[tick], 0, 0)
        return found

    def _change_in(self, segment: int) -> int:
        if self._last is None or self._last[0] != segment:
            start = segment * self.tick_spacing
            self._last = segment, sum(seen.net for bound, seen in self._ticks.items() if bound <= start)
        return self._last[1]

    def _is_range(self, tick_lower: int, tick_upper: int) -> bool:
        is_on_spacing = tick_lower % self.tick_spacing == 0 == tick_upper % self.tick_spacing
        return is_on_spacing and MIN_TICK <= tick_lower < tick_upper <= MAX_TICK

    def _is_usable(self, segment: int) -> bool:
        spacing = self.tick_spacing
        return min_usable_tick(spacing) <= segment * spacing < max_usable_tick(spacing)


def _is_tick_of(tick: int, sqrt_price_x96: int) -> bool:
    """Whether a pool can be at a tick and a price: a fall that ends exactly on a tick leaves it one tick below."""
    try:
        at_price = get_tick_at_sqrt_ratio(sqrt_price_x96)
    except PoolRevert:
        return False
    return tick == at_price or (tick == at_price - 1 and get_sqrt_ratio_at_tick(at_price) == sqrt_price_x96)
