"""A band around the price that follows it reluctantly."""

from __future__ import annotations

from dataclasses import dataclass

from miner.placement import base_and_limit, clamp, nearest_tick
from miner.strategy import Decision, Keep, Positions, owned, shown_ranges
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery
from simulator.plan import Desired


@dataclass(frozen=True, slots=True)
class Band:
    """Hold one narrow band around the price and re-centre it only when the price is about to leave.

    Idea:    A narrow band earns a multiple of a wide one's fees while the price stays in it. Every move costs gas and
             makes the loss so far final, so the band waits until the price is near its edge.
    Formula: base = [c - n, c + n] with c the aligned tick nearest to the price and n = half_width · spacing, filled up
             to the scarcer token. What is left of the other token becomes a limit position of width n beside the price:
             above it if token0 is left, below it if token1 is. Nothing needs a swap: a price that moves on buys what
             the base was short of.
             Keep while some position no wider than the band (an inherited wide one is no home) holds the price at
             least edge · spacing inside its bounds; or, while only one
             token is owned and no base can be built, while a position lies within n of the price.
    Units:   half_width, edge, gap in tick spacings; edge < half_width / 2, so that a limit position can be a home, too.
    """

    half_width: int = 20
    edge: int = 4
    gap: int = 1

    def __post_init__(self) -> None:
        if self.half_width < 1:
            raise ConfigError("half_width must be at least 1")
        if not 0 <= 2 * self.edge < self.half_width:
            raise ConfigError("edge must be at least 0 and below half of half_width")
        if self.gap < 0:
            raise ConfigError("gap must be at least 0")

    @property
    def name(self) -> str:
        return "band"

    def decide(self, query: RebalanceQuery) -> Decision:
        base, limit = self._place(query)
        wanted = tuple(d for d in (base, limit) if d is not None)[: query.context.limits.max_positions]
        if not wanted or {d.range for d in wanted} == shown_ranges(query):
            return Keep()
        if self._is_at_home(query) or (base is None and self._is_near(query)):
            return Keep()
        return Positions(wanted)

    def _place(self, query: RebalanceQuery) -> tuple[Desired | None, Desired | None]:
        """Return the base and the limit position for what is owned now; either may be missing."""
        pool, (amount0, amount1) = query.context, owned(query)
        spacing, half = pool.tick_spacing, self._half(query)
        centre = nearest_tick(pool.tick, spacing)
        return base_and_limit(
            clamp(centre - half, centre + half, spacing, pool.limits.min_width),
            sqrt_price_x96=pool.sqrt_price_x96,
            tick=pool.tick,
            tick_spacing=spacing,
            min_width=pool.limits.min_width,
            limit_width=half,
            gap=self.gap,
            amount0=amount0,
            amount1=amount1,
        )

    def _half(self, query: RebalanceQuery) -> int:
        """Return n in ticks, widened until a limit position is as wide as the job demands."""
        spacing = query.context.tick_spacing
        return max(self.half_width, -(-query.context.limits.min_width // spacing)) * spacing

    def _is_at_home(self, query: RebalanceQuery) -> bool:
        tick, margin, widest = query.context.tick, self.edge * query.context.tick_spacing, 2 * self._half(query)
        return any(
            p.tick_lower + margin <= tick < p.tick_upper - margin and p.tick_upper - p.tick_lower <= widest
            for p in query.current_positions
        )

    def _is_near(self, query: RebalanceQuery) -> bool:
        tick, half = query.context.tick, self._half(query)
        return any(p.tick_lower - half <= tick < p.tick_upper + half for p in query.current_positions)
