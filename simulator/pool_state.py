"""The pool's storage, as the pure computations read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from protocol.errors import SimulationError
from simulator.fee_policy import ProtocolFeePolicy
from simulator.math import oracle
from simulator.math.integers import MASK_32, MASK_160, MASK_256, check_ints, wrap_int56
from simulator.math.oracle import Observation, OracleState, observe_single
from simulator.math.revert import PoolRevert
from simulator.math.tick import Accumulators, TickInfo, check_ticks

K = TypeVar("K")
V = TypeVar("V")


class Storage(dict[K, V]):
    """A contract's mapping: a key that was never written reads as the empty record, and reading writes nothing."""

    __slots__ = ("_empty",)

    def __init__(self, empty: V, items: Iterable[tuple[K, V]] = ()) -> None:
        super().__init__(items)
        self._empty = empty

    def __missing__(self, key: K) -> V:
        return self._empty

    def copy(self) -> Storage[K, V]:
        """Return an independent mapping that shares the (immutable) records."""
        return Storage(self._empty, self.items())


class PoolState(Protocol):
    """The fields of a pool that its computations depend on. `knows_balances`: TF can occur."""

    fee_pips: int
    fee_policy: ProtocolFeePolicy
    tick_spacing: int
    max_liquidity_per_tick: int
    timestamp: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_growth_global_0_x128: int
    fee_growth_global_1_x128: int
    fee_protocol: int
    observation_index: int
    observation_cardinality: int
    observation_cardinality_next: int
    observations: list[Observation]
    ticks: Storage[int, TickInfo]
    tick_bitmap: Storage[int, int]
    balance0: int
    balance1: int
    knows_balances: bool


def check_unsigned(value: int, maximum: int) -> None:
    """Raise SimulationError for what cannot even be encoded as an argument: no contract sees it, the caller errs.
    TypeError for what is no int.
    """
    check_ints(value)
    if not 0 <= value <= maximum:
        raise SimulationError("argument does not fit its Solidity type", value=value, maximum=maximum)


def oracle_state(pool: PoolState) -> OracleState:
    """Return where the pool's oracle stands."""
    return OracleState(pool.tick, pool.observation_index, pool.liquidity, pool.observation_cardinality)


def write_observation(pool: PoolState) -> None:
    """Record, in place, what has held until now; must happen before tick or liquidity change."""
    pool.observation_index, pool.observation_cardinality = oracle.write(
        pool.observations, oracle_state(pool), pool.timestamp & MASK_32, pool.observation_cardinality_next
    )


def balances_after(pool: PoolState, change0: int, change1: int) -> tuple[int, int]:
    """Return both balances after a change. Reverts as with a plain ERC-20: "TF" below 0, "" above uint256."""
    balance0, balance1 = pool.balance0 + change0, pool.balance1 + change1
    if pool.knows_balances:
        if balance0 < 0 or balance1 < 0:
            raise PoolRevert("TF")
        if balance0 > MASK_256 or balance1 > MASK_256:
            raise PoolRevert
    return balance0, balance1


def accumulators(pool: PoolState) -> Accumulators:
    """Return what a tick would compare itself with at the pool's present time."""
    time = pool.timestamp & MASK_32
    tick_cumulative, seconds_per_liquidity = observe_single(pool.observations, time, 0, oracle_state(pool))
    return Accumulators(
        pool.fee_growth_global_0_x128, pool.fee_growth_global_1_x128, seconds_per_liquidity, tick_cumulative, time
    )


def cumulatives_inside(pool: PoolState, tick_lower: int, tick_upper: int) -> tuple[int, int, int]:
    """Return what has accrued while the price was inside a range.

    Parameters: ticks  both initialised
    Returns:    (tick_cumulative int56, seconds_per_liquidity Q128 uint160, seconds uint32), each modulo its width
    Raises:     PoolRevert: "TLU" "TLM" "TUM", "" if a tick is not initialised
    Source:     v3-core UniswapV3Pool.snapshotCumulativesInside
    """
    check_ticks(tick_lower, tick_upper)
    lower, upper = pool.ticks[tick_lower], pool.ticks[tick_upper]
    if not (lower.initialized and upper.initialized):
        raise PoolRevert
    below, above = lower[4:7], upper[4:7]
    if pool.tick < tick_lower:
        inside = (below[0] - above[0], below[1] - above[1], below[2] - above[2])
    elif pool.tick < tick_upper:
        now = accumulators(pool)
        inside = (
            now.tick_cumulative - below[0] - above[0],
            now.seconds_per_liquidity_cumulative_x128 - below[1] - above[1],
            now.time - below[2] - above[2],
        )
    else:
        inside = (above[0] - below[0], above[1] - below[1], above[2] - below[2])
    return wrap_int56(inside[0]), inside[1] & MASK_160, inside[2] & MASK_32
