"""Which engine computes a pool: plain Python, the readable truth, or C, the same numbers sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from protocol.errors import ConfigError
from simulator.family import Family
from simulator.fee_policy import UNISWAP_V3, ProtocolFeePolicy
from simulator.native import is_built
from simulator.pool import Pool
from simulator.slipstream import CLPool
from simulator.slipstream_snapshot import cl_pool_from_snapshot, cl_pool_to_snapshot
from simulator.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from simulator.native.pool import NativePool

Engine: TypeAlias = Literal["python", "native"]
V3Pool: TypeAlias = "Pool | NativePool"
AnyPool: TypeAlias = "V3Pool | CLPool"


def default_engine() -> Engine:
    """Return "native" where it was compiled, else "python"."""
    return "native" if is_built() else "python"


def check_engine(engine: Engine) -> Engine:
    """Return an engine that is here. Raises ConfigError if it was not compiled, or is none."""
    if engine not in get_args(Engine):
        raise ConfigError(f"there is no engine {engine!r}; use one of {', '.join(get_args(Engine))}")
    if engine == "native" and not is_built():
        raise ConfigError("the native engine is not built; install a C compiler and reinstall, or use engine python")
    return engine


def make_pool(
    fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy = UNISWAP_V3, *, engine: Engine = "python"
) -> V3Pool:
    """Return an uninitialised pool of an engine. Raises ConfigError if that engine was not compiled."""
    return _pool_type(engine)(fee_pips, tick_spacing, fee_policy)


def pool_from_snapshot(snapshot: PoolSnapshot, *, engine: Engine = "python") -> AnyPool:
    """Return the pool of a snapshot in the engine that `engine_for` gives. Raises ConfigError if that is not here."""
    if snapshot.family is Family.SLIPSTREAM:
        return cl_pool_from_snapshot(snapshot)
    return _pool_type(engine_for(snapshot, engine)).from_snapshot(snapshot)


def pool_to_snapshot(pool: AnyPool, place: PoolSnapshot) -> PoolSnapshot:
    """Return a pool of any engine frozen at the block of another snapshot.

    Parameters: place  whose chain, address, block and time to take
    Returns:    a snapshot; positions, protocol fees, oracle and balances are not part of it
    Rounding:   none
    Raises:     nothing
    Source:     design §4.1
    """
    if isinstance(pool, CLPool):
        return cl_pool_to_snapshot(pool, place)
    return pool.to_snapshot(
        chain_id=place.chain_id,
        pair_address=place.pair_address,
        block_number=place.block_number,
        block_hash=place.block_hash,
        timestamp=place.timestamp,
    )


def engine_for(snapshot: PoolSnapshot, engine: Engine) -> Engine:
    """Return the engine that computes a snapshot's pool: the native one knows no Slipstream."""
    return "python" if snapshot.family is Family.SLIPSTREAM else engine


def pool_from_json(value: dict[str, Any], *, engine: Engine = "python") -> V3Pool:
    """Return the pool that `to_json` of either engine wrote. Raises SimulationError, ConfigError as above."""
    return _pool_type(engine).from_json(value)


def _pool_type(engine: Engine) -> type[Pool] | type[NativePool]:
    if check_engine(engine) == "python":
        return Pool
    from simulator.native.pool import NativePool  # only where there is an extension to import

    return NativePool
