"""What a pool's chain tells us, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class SwapEvent:
    """A pool's Swap log. Amounts are the pool's balance changes (raw units, positive = paid to the pool)."""

    log_index: int
    amount0: int
    amount1: int
    sqrt_price_x96: int
    liquidity: int
    tick: int


@dataclass(frozen=True, slots=True)
class LiquidityEvent:
    """A pool's Mint (delta > 0) or Burn (delta <= 0) log. Amounts are unsigned raw units, None where not recorded."""

    log_index: int
    tick_lower: int
    tick_upper: int
    liquidity_delta: int
    amount0: int | None
    amount1: int | None


@dataclass(frozen=True, slots=True)
class FlashEvent:
    """A pool's Flash log: what was paid above what was lent, in raw units. It goes to the active liquidity."""

    log_index: int
    paid0: int
    paid1: int


@dataclass(frozen=True, slots=True)
class FeeProtocolEvent:
    """A pool's SetFeeProtocol log: from here on the protocol takes 1/n of each token's fees, 0 for none."""

    log_index: int
    fee_protocol0: int
    fee_protocol1: int


@dataclass(frozen=True, slots=True)
class StakeEvent:
    """A Slipstream gauge's Deposit (delta > 0) or Withdraw (delta <= 0) log: liquidity staked, or no longer."""

    log_index: int
    tick_lower: int
    tick_upper: int
    liquidity_delta: int


END_OF_BLOCK = 2**32  # the log index of what was read of a block's end, and not logged in it


@dataclass(frozen=True, slots=True)
class StakingEvent:
    """What a Slipstream pool says of itself at the end of a block: what is staked at the price, and the levy (1e-6)."""

    log_index: int
    staked_liquidity: int
    unstaked_fee_pips: int


OtherEvent: TypeAlias = LiquidityEvent | FlashEvent | FeeProtocolEvent | StakeEvent | StakingEvent
PoolEvent: TypeAlias = SwapEvent | OtherEvent


@dataclass(frozen=True, slots=True)
class Block:
    """One block as one pool sees it: its place in the chain and the pool's events in log order (often none).

    `own` are the log indices of what the round's own vault did: it happened to the real pool, not on anybody's fork.
    """

    number: int
    block_hash: str
    parent_hash: str
    timestamp: int
    events: tuple[PoolEvent, ...]
    own: tuple[int, ...] = ()

    def is_own(self, event: PoolEvent) -> bool:
        """Whether one of the events is the vault's own."""
        return event.log_index in self.own
