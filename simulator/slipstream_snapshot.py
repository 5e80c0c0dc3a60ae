"""Between a Slipstream pool and its snapshot."""

from __future__ import annotations

from dataclasses import replace

from protocol.errors import SimulationError
from simulator.family import Family
from simulator.pool import Pool
from simulator.pool_snapshot import check_snapshot
from simulator.slipstream import CLPool
from simulator.slipstream_tick import EMPTY_STAKE
from simulator.snapshot import PoolSnapshot
from simulator.staking import Staking


def cl_pool_from_snapshot(snapshot: PoolSnapshot) -> CLPool:
    """Return the pool of a snapshot, at the fee it had there.

    Parameters: snapshot  of a Slipstream pool
    Returns:    a pool without positions, owed fees and balances, whose oracle starts there. Its fee follows nothing:
                whoever replays it sets `fee_pips` to what each swap is found to have cost, discounts included
    Rounding:   none
    Raises:     SimulationError when the snapshot contradicts itself or is another family's
    Source:     slipstream CLPool's storage
    """
    check_snapshot(snapshot)
    staking = snapshot.staking
    if staking is None:
        raise SimulationError(f"{snapshot.family} is not Slipstream", pool=snapshot.pair_address)
    core = Pool.from_snapshot(replace(snapshot, family=Family.UNISWAP_V3, staking=None))
    pool = CLPool(snapshot.tick_spacing, snapshot.fee_pips, unstaked_fee_pips=staking.unstaked_fee_pips)
    pool._core, pool._rewards, pool.staked_liquidity = core, staking.rewards, staking.staked_liquidity
    pool._stakes.update(staking.ticks)
    return pool


def cl_pool_to_snapshot(pool: CLPool, place: PoolSnapshot) -> PoolSnapshot:
    """Return the pool frozen at the block of another snapshot.

    Parameters: place  whose chain, address, block and time to take
    Returns:    a snapshot; positions, owed fees, oracle and balances are not part of it
    Rounding:   none
    Raises:     nothing
    Source:     slipstream CLPool's storage
    """
    core = pool._core.to_snapshot(
        chain_id=place.chain_id,
        pair_address=place.pair_address,
        block_number=place.block_number,
        block_hash=place.block_hash,
        timestamp=place.timestamp,
    )
    ticks = tuple(sorted((tick, stake) for tick, stake in pool._stakes.items() if stake != EMPTY_STAKE))
    staking = Staking(pool.staked_liquidity, pool.unstaked_fee_pips, pool._rewards, ticks)
    return replace(core, fee_pips=pool.fee_pips, family=Family.SLIPSTREAM, staking=staking)
