"""The fork that nobody's vault changes: it lands where the chain landed, event by event, or says where it did not."""

from __future__ import annotations

from protocol.errors import SimulationError
from simulator.engine import Engine, pool_from_snapshot
from simulator.events import Block, FlashEvent, LiquidityEvent, PoolEvent, StakingEvent, SwapEvent
from simulator.pool import PoolRevert
from simulator.recovery import Happening, RecoveredCall, apply_call, apply_other, classify_divergence, recover_call
from simulator.slipstream import CLPool
from simulator.snapshot import PoolSnapshot


class Divergence(SimulationError):
    """The base fork did not land where the chain did. `kind` names the class."""

    def __init__(self, kind: str, **where: object) -> None:
        super().__init__(f"the base fork diverged from the chain: {kind}", **where)
        self.kind = kind


class BaseFork:
    """The real pool as we reproduce it from its snapshot, and how much has happened to it since."""

    def __init__(self, snapshot: PoolSnapshot, *, engine: Engine = "python") -> None:
        self.pool = pool_from_snapshot(snapshot, engine=engine)
        self.swaps = 0
        self.liquidity_changes = 0
        self._pair_address = snapshot.pair_address
        self._max_fee_pips = snapshot.family.max_fee_pips

    def apply(self, block: Block, event: PoolEvent) -> Happening:
        """Let an event of a block happen.

        Parameters: event  the next one of the pool, in log order
        Returns:    what to repeat on every fork: for a swap the call that really lands where the chain landed, else
                    the event itself
        Rounding:   the contract's
        Raises:     Divergence when the event is impossible here, or no call lands where its log says
        Source:     design §4.3 (the tripwire)
        """
        self.pool.timestamp = block.timestamp
        where = {"pool": self._pair_address, "block": block.number, "log_index": event.log_index}
        if isinstance(event, SwapEvent):
            return self._swap(event, where)
        self.liquidity_changes += isinstance(event, LiquidityEvent)
        if isinstance(event, FlashEvent) and self.pool.liquidity == 0:  # the chain reverts there
            raise Divergence("missed_liquidity", **where)
        try:
            apply_other(self.pool, event)
        except PoolRevert as revert:
            raise Divergence("missed_liquidity", reason=revert.reason, **where) from revert
        if isinstance(event, StakingEvent):
            self._check_staking(event, where)
        return event

    def _check_staking(self, event: StakingEvent, where: dict[str, object]) -> None:
        """Stakes move no price, only who gets the fees: a missed one would never be seen in a swap."""
        if isinstance(self.pool, CLPool) and self.pool.staked_liquidity != event.staked_liquidity:
            found = {"staked": self.pool.staked_liquidity, "expected": event.staked_liquidity}
            raise Divergence("missed_stake", **found, **where)

    def _swap(self, event: SwapEvent, where: dict[str, object]) -> RecoveredCall:
        self.swaps += 1
        call = recover_call(self.pool, event, max_fee_pips=self._max_fee_pips)
        if call is None:
            raise Divergence(str(classify_divergence(self.pool, event)), **where)
        apply_call(self.pool, call)
        return call
