"""Who else is paid out of a pool's fees: the protocol's share, as the contracts of the V3 family define it.

Every contract of the family keeps two settings in one slot, token0's in the low half, and takes a share of each fee
before the rest goes to the liquidity. They differ in what a setting means, and in what a new pool starts with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from simulator.math.integers import MASK_256
from simulator.math.revert import PoolRevert


@dataclass(frozen=True, slots=True)
class ProtocolFeePolicy:
    """What a setting means. 0 takes nothing; n takes n / `denominator` of a fee, or 1 / n of it without a denominator.

    `lowest` and `highest` bound the other settings that the contract accepts; `half_bits` is the width of one setting
    in the slot; `initial` is what a new pool starts with, for both tokens, where `initial_by_fee_pips` is silent.
    """

    half_bits: int
    lowest: int
    highest: int
    denominator: int = 0
    initial: int = 0
    initial_by_fee_pips: tuple[tuple[int, int], ...] = ()

    def is_allowed(self, setting: int) -> bool:
        """Return whether the contract's owner may choose this setting."""
        return setting == 0 or self.lowest <= setting <= self.highest

    def encode(self, setting0: int, setting1: int) -> int:
        """Return the slot's `fee_protocol` for two settings."""
        return setting0 + (setting1 << self.half_bits)

    def decode(self, fee_protocol: int) -> tuple[int, int]:
        """Return (token0's setting, token1's setting)."""
        return fee_protocol & ((1 << self.half_bits) - 1), fee_protocol >> self.half_bits

    def initial_fee_protocol(self, fee_pips: int) -> int:
        """Return the `fee_protocol` that a pool of this tier is created with."""
        setting = dict(self.initial_by_fee_pips).get(fee_pips, self.initial)
        return self.encode(setting, setting)

    def share_of_swap_fee(self, fee_amount: int, setting: int) -> int:
        """Return the protocol's share of one swap step's fee.

        Parameters: fee_amount  uint256 raw   ·   setting  > 0
        Returns:    raw, floor
        Raises:     PoolRevert("") if the product with a denominator exceeds uint256
        Source:     v3-core UniswapV3Pool.swap; PancakeV3Pool.swap (LowGasSafeMath.mul)
        """
        if not self.denominator:
            return fee_amount // setting
        product = fee_amount * setting
        if product > MASK_256:
            raise PoolRevert
        return product // self.denominator

    def share_of_flash_fee(self, paid: int, setting: int) -> int:
        """Return the protocol's share of what a flash paid above its principal.

        Parameters: paid  uint256 raw   ·   setting  >= 0
        Returns:    raw, floor; the product with a denominator is not checked by the contract and wraps at 2**256
        Raises:     nothing
        Source:     v3-core UniswapV3Pool.flash; PancakeV3Pool.flash
        """
        if not setting:
            return 0
        return (paid * setting & MASK_256) // self.denominator if self.denominator else paid // setting


UNISWAP_V3 = ProtocolFeePolicy(half_bits=4, lowest=4, highest=10)
PANCAKE_V3 = ProtocolFeePolicy(
    half_bits=16,
    lowest=1000,
    highest=4000,
    denominator=10_000,
    initial=3200,
    initial_by_fee_pips=((100, 3300), (500, 3400)),
)
# fee_pips -> tick_spacing of the tiers that PancakeSwap's factory starts with.
PANCAKE_V3_TIERS: Mapping[int, int] = MappingProxyType({100: 1, 500: 10, 2500: 50, 10_000: 200})
