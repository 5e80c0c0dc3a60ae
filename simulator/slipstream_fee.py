"""What a swap in a Slipstream pool costs: the spacing's fee, one set by hand, or one that follows the price.

The dynamic fee grows with the distance between the present tick and its average over the last minutes, which it reads
from the pool's own oracle. Whoever simulates it must therefore carry the whole ring of observations and block times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from simulator.math import oracle
from simulator.math.full_math import mul_div_rounding_up
from simulator.math.integers import MASK_32, wrap_int56
from simulator.math.revert import PoolRevert, require
from simulator.math.swap_math import PIPS
from simulator.pool_state import PoolState, oracle_state

# tick_spacing -> fee_pips as the factory starts with them.
DEFAULT_FEE_PIPS: Mapping[int, int] = MappingProxyType({1: 100, 50: 500, 100: 500, 200: 3000, 2000: 10_000})
DEFAULT_UNSTAKED_FEE_PIPS = 100_000
MAX_SWAP_FEE_PIPS = 100_000
MAX_TICK_SPACING = 16_383

ZERO_FEE_INDICATOR = 420  # a base fee of 0 means "the spacing's", so no fee at all needs a number of its own
MIN_SECONDS_AGO = 2
MAX_SECONDS_AGO = 65_535 * MIN_SECONDS_AGO
SCALING_PRECISION = 10**6


@dataclass(frozen=True, slots=True)
class DynamicFee:
    """The settings of the dynamic fee module for one pool. Fees and discount in pips, `scaling_factor` in 1e-6 pips.

    `base_fee` 0 is the spacing's fee, 420 none at all. A `scaling_factor` of 0 takes both defaults, the cap's included.
    `discount` is the one of the account that sends the transaction. Settings that the module refuses raise PoolRevert
    with its reason: "MBF" "MFC" "ISF" "ISA" "MDC".
    """

    default_scaling_factor: int
    default_fee_cap: int
    base_fee: int = 0
    fee_cap: int = 0
    scaling_factor: int = 0
    seconds_ago: int = 600
    discount: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.base_fee <= 30_000, "MBF")
        require(0 <= self.default_fee_cap <= 50_000 and 0 <= self.fee_cap <= 50_000, "MFC")
        require(0 <= self.default_scaling_factor <= 10**18 and 0 <= self.scaling_factor <= 10**18, "ISF")
        require(MIN_SECONDS_AGO <= self.seconds_ago < MAX_SECONDS_AGO, "ISA")
        require(0 <= self.discount <= 500_000, "MDC")

    def with_settings(
        self, base_fee: int, seconds_ago: int, fee_cap: int, scaling_factor: int, discount: int
    ) -> DynamicFee:
        """Return other settings under the same defaults; a `fee_cap` of 0 keeps cap and scaling factor."""
        if not fee_cap:
            fee_cap, scaling_factor = self.fee_cap, self.scaling_factor
        return replace(
            self,
            base_fee=base_fee,
            seconds_ago=seconds_ago,
            fee_cap=fee_cap,
            scaling_factor=scaling_factor,
            discount=discount,
        )

    def fee_pips(self, default_fee_pips: int, pool: PoolState) -> int:
        """Return the fee of a swap at the pool's present time and tick.

        Parameters: default_fee_pips  the spacing's fee
        Returns:    1e-6; the dynamic part floor, the cap on the sum, the discount ceil
        Raises:     nothing
        Source:     slipstream DynamicSwapFeeModule.getFee
        """
        if self.base_fee == ZERO_FEE_INDICATOR:
            return 0
        scaling_factor, fee_cap = self.scaling_factor, self.fee_cap
        if scaling_factor == 0:
            scaling_factor, fee_cap = self.default_scaling_factor, self.default_fee_cap
        away = _ticks_from_average(pool, self.seconds_ago)
        total = min((self.base_fee or default_fee_pips) + away * scaling_factor // SCALING_PRECISION, fee_cap)
        return total - mul_div_rounding_up(total, self.discount, PIPS)


def _ticks_from_average(pool: PoolState, seconds_ago: int) -> int:
    """Return |tick - average tick|; 0 if the ring is too short for a block every two seconds, or does not reach back.

    The average is truncated toward zero, as Solidity divides (OracleLibrary would floor it).
    """
    if pool.observation_cardinality < seconds_ago // MIN_SECONDS_AGO:
        return 0
    try:
        cumulatives, _ = oracle.observe(
            pool.observations, pool.timestamp & MASK_32, (seconds_ago, 0), oracle_state(pool)
        )
    except PoolRevert:
        return 0
    change = wrap_int56(cumulatives[1] - cumulatives[0])
    average = change // seconds_ago if change >= 0 else -(-change // seconds_ago)
    return abs(pool.tick - average)
