"""Indexed events happen again: exactly from a snapshot on, before it on the liquidity that the events tell of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from db.pool_events.records import PoolRow
from simulator.base_fork import BaseFork, Divergence
from simulator.engine import AnyPool, default_engine, pool_to_snapshot
from simulator.events import Block, LiquidityEvent, PoolEvent, SwapEvent
from simulator.inferred_liquidity import InferredLiquidity
from simulator.recovery import apply_call, classify_divergence, recover_call
from simulator.snapshot import PoolSnapshot
from simulator.swap_bounds import can_reach

_TOLD_BY_EVENTS = ("sqrt_price_x96", "tick", "liquidity")  # what of a pool follows without knowing its fee growth


@dataclass(frozen=True, slots=True)
class Gap:
    """Where the index is wrong: what is wrong, the block, and the log at which it showed, if at one."""

    kind: str
    block: int
    log_index: int | None = None


@dataclass(slots=True)
class Verified:
    """How many swaps were checked, and how; how many mints and burns moved what they cost at the price there."""

    swaps_replayed: int = 0
    swaps_inferred: int = 0
    swaps_bounded: int = 0
    changes_priced: int = 0
    snapshots_met: int = 0


class RangeReplay:
    """A pool over an unbroken range of blocks. `start` at a snapshot; else first `learn` from the blocks, all of them
    or until that returns True. Then let them `happen`.
    """

    def __init__(self, pool: PoolRow, chain_id: int, snapshots: Mapping[int, PoolSnapshot], verified: Verified) -> None:
        self.snapshots = snapshots
        self._pool = pool
        self._chain_id = chain_id
        self._verified = verified
        self._known = InferredLiquidity(pool.tick_spacing)
        self._replay: _Replay | None = None
        self._contradiction: Gap | None = None

    def start(self, snapshot: PoolSnapshot) -> None:
        """Begin at a snapshot."""
        self._replay = _Replay(snapshot, self._verified)

    def learn(self, blocks: Sequence[Block]) -> bool:
        """Learn what the pool held before; True when there is no more to learn, or nothing to be believed."""
        for block in blocks:
            stray = next((event for event in block.events if not self._known.take(event)), None)
            snapshot = self.snapshots.get(block.number)
            if stray is not None:
                self._contradiction = Gap("contradictory_liquidity", block.number, stray.log_index)
            elif snapshot is not None and not self._known.take_snapshot(snapshot):
                self._contradiction = Gap("snapshot_differs_in_ticks", block.number)
            if self._contradiction is not None or snapshot is not None:
                return True
        return False

    def happen(self, blocks: Sequence[Block]) -> Gap | None:
        """Let blocks happen, and compare with every snapshot on the way; from there on the replay is exact."""
        for block in blocks:
            gap = self._happen(block)
            if gap is not None:
                return gap
            snapshot = self.snapshots.get(block.number)
            if snapshot is None:
                continue
            if snapshot.block_hash != block.block_hash:
                return Gap("snapshot_of_another_block", block.number)
            if self._replay is not None:
                differing = self._replay.differs(snapshot)
                if differing is not None:
                    return Gap(f"snapshot_differs_in_{differing}", block.number)
                self._verified.snapshots_met += 1
            if self._replay is None or not self._replay.is_exact:
                self.start(snapshot)
        return None

    def _happen(self, block: Block) -> Gap | None:
        if self._replay is None and self._known.first_swap is not None:
            where = (self._chain_id, block.number, block.block_hash, block.timestamp)
            opening = self._known.opening(self._pool.pool, where, fee_pips=self._pool.fee_pips)
            self._replay = _Replay(opening, self._verified, self._known)
        wrong = self._contradiction
        for event in block.events:
            if wrong is not None and (wrong.block, wrong.log_index) == (block.number, event.log_index):
                return wrong
            gap = None if self._replay is None else self._replay.apply(block, event)
            if gap is not None:
                return gap
        return wrong if wrong is not None and wrong.block == block.number else None


class _Replay:
    """A pool as it was at a snapshot, or (`known`) as its events tell that it must have been, and what then happens.

    An inferred pool begins where the first swap ended. Before that swap its price is not known.
    """

    def __init__(self, opening: PoolSnapshot, verified: Verified, known: InferredLiquidity | None = None) -> None:
        self.is_exact = known is None
        self._base = BaseFork(opening, engine=default_engine())
        self._known = known
        self._verified = verified
        self._has_price = known is None

    def apply(self, block: Block, event: PoolEvent) -> Gap | None:
        """Let an event happen; tell where it cannot."""
        if isinstance(event, SwapEvent) and self._known is not None:
            return self._inferred_swap(block, event, self._known)
        pool = self._base.pool
        before = pool.balance0, pool.balance1
        try:
            self._base.apply(block, event)
        except Divergence as divergence:
            return Gap(divergence.kind, block.number, event.log_index)
        self._verified.swaps_replayed += isinstance(event, SwapEvent)
        if isinstance(event, LiquidityEvent) and self._has_price and event.amount0 is not None:
            if (abs(pool.balance0 - before[0]), abs(pool.balance1 - before[1])) != (event.amount0, event.amount1):
                return Gap("amounts_of_another_price", block.number, event.log_index)
            self._verified.changes_priced += 1
        return None

    def differs(self, snapshot: PoolSnapshot) -> str | None:
        """Return the first field in which the pool is not as the chain had it, of those that can be known here."""
        got = pool_to_snapshot(self._base.pool, snapshot)
        names = [field.name for field in fields(PoolSnapshot)] if self.is_exact else _TOLD_BY_EVENTS
        return next((name for name in names if getattr(got, name) != getattr(snapshot, name)), None)

    def _inferred_swap(self, block: Block, event: SwapEvent, known: InferredLiquidity) -> Gap | None:
        pool = self._base.pool
        pool.timestamp = block.timestamp
        if not self._has_price:
            self._has_price = True
        elif (call := recover_call(pool, event)) is not None:
            apply_call(pool, call)
            self._verified.swaps_inferred += 1
        elif _meets_the_unknown(pool, event, known) and can_reach(pool, event, known.is_known):
            pool.sqrt_price_x96, pool.tick, pool.liquidity = event.sqrt_price_x96, event.tick, event.liquidity
            self._verified.swaps_bounded += 1
        else:
            return Gap(str(classify_divergence(pool, event)), block.number, event.log_index)
        return None


def _meets_the_unknown(pool: AnyPool, event: SwapEvent, known: InferredLiquidity) -> bool:
    """Whether, on its way, liquidity is unknown, or a tick without net liquidity may be initialised, unseen."""
    if known.is_complete:
        return False
    low, high = sorted((pool.tick // pool.tick_spacing, event.tick // pool.tick_spacing))
    bounds = [segment * pool.tick_spacing for segment in range(low + 1, high + 1)]
    return any(not known.is_known(bound) or not pool.ticks[bound].liquidity_gross for bound in bounds)
