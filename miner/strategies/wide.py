"""One wide range, placed once."""

from __future__ import annotations

from dataclasses import dataclass

from miner.placement import clamp, floor_tick
from miner.strategy import Decision, Keep, Positions, owned
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery
from protocol.units import MAX_UINT128
from simulator.plan import Desired


@dataclass(frozen=True, slots=True)
class Wide:
    """Put everything into one range of about a factor 1.5 to either side, then keep it.

    Idea:    A wide range rarely leaves the price: few fees, little loss to those who know the price better, no upkeep.
    Formula: [tick - half_width_ticks, tick + half_width_ticks], widened to the spacing. Both tokens are offered in
             full; the scarcer one decides and the rest stays idle, so no swap is needed. If one token is missing
             altogether, the range starts beside the price on the side where the other one is enough.
    Units:   half_width_ticks in ticks; 4055 ticks are a price ratio of 1.5.
    """

    half_width_ticks: int = 4055

    def __post_init__(self) -> None:
        if self.half_width_ticks < 1:
            raise ConfigError("half_width_ticks must be at least 1")

    @property
    def name(self) -> str:
        return "wide"

    def decide(self, query: RebalanceQuery) -> Decision:
        if query.current_positions:
            return Keep()
        pool, (amount0, amount1) = query.context, owned(query)
        if not amount0 and not amount1:
            return Keep()
        spacing = pool.tick_spacing
        half = max(self.half_width_ticks, -(-pool.limits.min_width // 2))
        if not amount0:
            upper = floor_tick(pool.tick, spacing)
            lower = floor_tick(upper - 2 * half, spacing)
        elif not amount1:
            lower = floor_tick(pool.tick, spacing) + spacing
            upper = -floor_tick(-(lower + 2 * half), spacing)
        else:
            lower, upper = floor_tick(pool.tick - half, spacing), -floor_tick(-(pool.tick + half), spacing)
        wide_range = clamp(lower, upper, spacing, pool.limits.min_width)
        if wide_range is None:
            return Keep()
        return Positions((Desired(wide_range, min(amount0, MAX_UINT128), min(amount1, MAX_UINT128)),))
