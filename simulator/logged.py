"""A flow told as a chain would tell it: blocks with hashes and logs, so that rounds can be played on what never was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from simulator.engine import AnyPool, Engine, default_engine, pool_from_snapshot
from simulator.events import Block, PoolEvent, SwapEvent
from simulator.flow import Flow, FlowBlock
from simulator.recovery import RecoveredCall, apply_call, apply_other


def log_blocks(flow: Flow, *, engine: Engine | None = None) -> Iterator[Block]:
    """Yield the blocks of a flow with the logs that its pool would write.

    Parameters: flow  possible on its own snapshot   ·   engine  None: the fastest there is
    Returns:    one block for each of the flow's, the first following the snapshot; a hash depends on all that happened
                up to its block. A call whose limit is passed already logs nothing
    Rounding:   the contract's
    Raises:     PoolRevert where the flow does not run
    Source:     v3-core UniswapV3Pool (what Swap logs); design §4.3
    """
    pool = pool_from_snapshot(flow.snapshot, engine=engine or default_engine())
    parent_hash = flow.snapshot.block_hash
    for block in flow.blocks:
        pool.timestamp = block.timestamp
        block_hash = _hash(parent_hash, block)
        yield Block(block.number, block_hash, parent_hash, block.timestamp, tuple(_logs(pool, block)))
        parent_hash = block_hash


def _logs(pool: AnyPool, block: FlowBlock) -> Iterator[PoolEvent]:
    for index, happening in enumerate(block.happenings):
        if not isinstance(happening, RecoveredCall):
            apply_other(pool, happening)
            yield happening
            continue
        amounts = apply_call(pool, happening)
        if amounts is not None:
            yield SwapEvent(index, *amounts, pool.sqrt_price_x96, pool.liquidity, pool.tick)


def _hash(parent_hash: str, block: FlowBlock) -> str:
    told = f"{parent_hash}:{block.number}:{block.timestamp}:{block.happenings}"
    return "0x" + hashlib.sha256(told.encode()).hexdigest()
