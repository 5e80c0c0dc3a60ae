"""Many marks at once: what an account must know of them, without a reading of each."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.fork import Reading
from simulator.valuation import Prices


@dataclass(slots=True)
class MarkSums:
    """What one fork showed at the marks of a stretch.

    `principal_x192` and `fees_x192` add up, over the marks reached, what was inside times what each token's price
    changes by until the stretch's next mark (by nothing after its last). `most_own` of `most_pool` is the largest share
    of the liquidity in range that was seen.
    """

    count: int = 0
    last: Reading | None = None
    principal_x192: int = 0
    fees_x192: int = 0
    most_own: int = 0
    most_pool: int = 0

    def add(self, reading: Reading, change: Prices) -> None:
        """Count one more mark, after which prices change by this."""
        principal_x192 = change.value(reading.principal0, reading.principal1)
        fees_x192 = change.value(reading.fees0, reading.fees1)
        self.join(MarkSums(1, reading, principal_x192, fees_x192, reading.own_liquidity, reading.pool_liquidity))

    def join(self, later: MarkSums) -> None:
        """Go on with the marks of the stretch that follows."""
        if later.count == 0:
            return
        self.count += later.count
        self.last = later.last
        self.principal_x192 += later.principal_x192
        self.fees_x192 += later.fees_x192
        if later.most_own and later.most_own * self.most_pool >= self.most_own * later.most_pool:
            self.most_own, self.most_pool = later.most_own, later.most_pool
