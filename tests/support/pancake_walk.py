"""Random operations on a pool of PancakeSwap's tiers."""

from __future__ import annotations

from support.pool_walk import Operation, PoolWalk

from simulator.fee_policy import PANCAKE_V3, PANCAKE_V3_TIERS
from simulator.pool import Pool

# What the walk's settings of 1/n stand for here: the same share, or one as likely to be refused.
SETTINGS = {
    0: 0,
    4: 2500,
    5: 2000,
    6: 1667,
    7: 1428,
    8: 1250,
    9: 1111,
    10: 1000,
    1: 4000,
    3: 4001,
    11: 999,
    255: 65_535,
}


class PancakeWalk:
    """A walk over a pool of PancakeSwap's tiers, with its settings of the protocol's share."""

    def __init__(self, seed: int, index: int) -> None:
        self._walk = PoolWalk(seed, index)
        self.fee_policy = PANCAKE_V3
        self.fee_pips = sorted(PANCAKE_V3_TIERS)[index % len(PANCAKE_V3_TIERS)]
        self.spacing = PANCAKE_V3_TIERS[self.fee_pips]
        self._walk.fee_pips, self._walk.spacing = self.fee_pips, self.spacing

    def next(self, pool: Pool) -> Operation:
        """Return the next operation."""
        operation = self._walk.next(pool)
        if operation.verb != "set_fee_protocol":
            return operation
        settings = tuple(SETTINGS[setting] for setting in operation.arguments)
        return Operation(operation.timestamp, operation.verb, settings)
