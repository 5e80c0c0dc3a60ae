"""Between a pool's ticks and those of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from protocol.errors import SimulationError
from simulator.family import FEE_POLICIES, Family
from simulator.fee_policy import PANCAKE_V3, ProtocolFeePolicy
from simulator.math.revert import PoolRevert
from simulator.math.tick import TickInfo, check_ticks
from simulator.math.tick_math import get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio
from simulator.snapshot import PoolSnapshot, TickState

if TYPE_CHECKING:
    from simulator.engine import V3Pool


def check_snapshot(snapshot: PoolSnapshot) -> None:
    """Raise SimulationError unless the snapshot agrees with itself and with what a pool can hold."""
    snapshot.check()
    where = {"pool": snapshot.pair_address, "block": snapshot.block_number}
    # Another contract's settings would be read as nonsense here: 1/n is not n/10000.
    policy = FEE_POLICIES.get(snapshot.family)
    is_allowed = (
        all(policy.is_allowed(setting) for setting in policy.decode(snapshot.fee_protocol))
        if policy is not None
        else snapshot.fee_protocol == 0
    )
    if not is_allowed:
        raise SimulationError(f"snapshot's fee_protocol {snapshot.fee_protocol} is not of this contract", **where)
    try:
        at_price = get_tick_at_sqrt_ratio(snapshot.sqrt_price_x96)
        if snapshot.ticks:
            check_ticks(snapshot.ticks[0][0], snapshot.ticks[-1][0])
    except PoolRevert as revert:
        raise SimulationError(f"snapshot has a price or a tick out of range ({revert.reason})", **where) from revert
    # A fall that ends exactly on a tick leaves the pool one tick below the price's own.
    on_edge = get_sqrt_ratio_at_tick(at_price) == snapshot.sqrt_price_x96
    if snapshot.tick != at_price and not (on_edge and snapshot.tick == at_price - 1):
        raise SimulationError(f"snapshot's tick is {snapshot.tick}, its price is at {at_price}", **where)


def policy_of(snapshot: PoolSnapshot) -> ProtocolFeePolicy:
    """Return the fee policy of a snapshot's contract, having checked the snapshot. Raises SimulationError."""
    check_snapshot(snapshot)
    if snapshot.family not in FEE_POLICIES:
        raise SimulationError(f"no {snapshot.family} pool fits here", pool=snapshot.pair_address)
    return FEE_POLICIES[snapshot.family]


def family_of(fee_policy: ProtocolFeePolicy) -> Family:
    """Return whose fee policy it is, Uniswap's if nobody's."""
    return Family.PANCAKE_V3 if fee_policy == PANCAKE_V3 else Family.UNISWAP_V3


def snapshot_of(pool: V3Pool, block: tuple[int, str, int, str, int]) -> PoolSnapshot:
    """Return a pool frozen at (chain id, pool's address, block number, block hash, timestamp)."""
    chain_id, pair_address, block_number, block_hash, timestamp = block
    return PoolSnapshot(
        chain_id=chain_id,
        pair_address=pair_address,
        block_number=block_number,
        block_hash=block_hash,
        timestamp=timestamp,
        fee_pips=pool.fee_pips,
        tick_spacing=pool.tick_spacing,
        sqrt_price_x96=pool.sqrt_price_x96,
        tick=pool.tick,
        liquidity=pool.liquidity,
        fee_growth_global_0_x128=pool.fee_growth_global_0_x128,
        fee_growth_global_1_x128=pool.fee_growth_global_1_x128,
        fee_protocol=pool.fee_protocol,
        ticks=tick_states(pool.ticks),
        family=family_of(pool.fee_policy),
    )


def tick_info(state: TickState) -> TickInfo:
    """Return the pool's record of a snapshot's tick; the oracle's part of it starts at 0."""
    return TickInfo(
        state.liquidity_gross,
        state.liquidity_net,
        state.fee_growth_outside_0_x128,
        state.fee_growth_outside_1_x128,
        initialized=True,
    )


def tick_states(ticks: Mapping[int, TickInfo]) -> tuple[tuple[int, TickState], ...]:
    """Return a pool's initialised ticks as a snapshot holds them, ascending."""
    return tuple((tick, TickState(*info[:4])) for tick, info in sorted(ticks.items()))
