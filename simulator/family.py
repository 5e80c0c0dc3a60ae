"""The contracts that share Uniswap V3's mathematics, and what a replay must know of each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from simulator.fee_policy import PANCAKE_V3, UNISWAP_V3, ProtocolFeePolicy
from simulator.slipstream_fee import MAX_SWAP_FEE_PIPS


class Family(StrEnum):
    """A pool's contract, found from the chain and never set by hand. The values are those of the protocol's `dex`."""

    UNISWAP_V3 = "uniswap-v3"
    PANCAKE_V3 = "pancake-v3"
    SLIPSTREAM = "slipstream"

    @property
    def max_fee_pips(self) -> int | None:
        """The most that a swap can cost where that may change from swap to swap; None: a pool's fee is fixed.

        Source: slipstream CLFactory.getSwapFee, which disregards anything higher.
        """
        return MAX_SWAP_FEE_PIPS if self is Family.SLIPSTREAM else None


# Slipstream is not here: its gauge takes what a protocol's share would be.
FEE_POLICIES: Mapping[Family, ProtocolFeePolicy] = MappingProxyType(
    {Family.UNISWAP_V3: UNISWAP_V3, Family.PANCAKE_V3: PANCAKE_V3}
)
