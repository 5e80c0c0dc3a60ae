"""Everything a pool remembers, by the names of its public face, for either engine."""

from __future__ import annotations

SCALARS = (
    "sqrt_price_x96",
    "tick",
    "observation_index",
    "observation_cardinality",
    "observation_cardinality_next",
    "fee_protocol",
    "fee_growth_global_0_x128",
    "fee_growth_global_1_x128",
    "protocol_fees_0",
    "protocol_fees_1",
    "liquidity",
    "balance0",
    "balance1",
)
CONSTANTS = ("fee_pips", "tick_spacing", "max_liquidity_per_tick")
MAPPINGS = ("ticks", "tick_bitmap", "positions")
FIELDS = (*SCALARS, *CONSTANTS, *MAPPINGS, "observations", "timestamp")
