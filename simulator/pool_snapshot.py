"""Between a pool's ticks and those of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.errors import SimulationError
from simulator.family import FEE_POLICIES
from simulator.math.revert import PoolRevert
from simulator.math.tick import TickInfo, check_ticks
from simulator.math.tick_math import get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio
from simulator.snapshot import PoolSnapshot, TickState


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
