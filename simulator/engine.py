"""Which engine computes a pool: plain Python, the readable truth, or C, the same numbers sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from protocol.errors import ConfigError
from simulator.fee_policy import UNISWAP_V3, ProtocolFeePolicy
from simulator.native import is_built
from simulator.pool import Pool
from simulator.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from simulator.native.pool import NativePool

Engine: TypeAlias = Literal["python", "native"]
AnyPool: TypeAlias = "Pool | NativePool"


def default_engine() -> Engine:
    """Return "native" where it was compiled, else "python"."""
    return "native" if is_built() else "python"


def make_pool(
    fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy = UNISWAP_V3, *, engine: Engine = "python"
) -> AnyPool:
    """Return an uninitialised pool of an engine. Raises ConfigError if that engine was not compiled."""
    return _pool_type(engine)(fee_pips, tick_spacing, fee_policy)


def pool_from_snapshot(
    snapshot: PoolSnapshot, fee_policy: ProtocolFeePolicy = UNISWAP_V3, *, engine: Engine = "python"
) -> AnyPool:
    """Return the pool of a snapshot in an engine. Raises ConfigError if that engine was not compiled."""
    return _pool_type(engine).from_snapshot(snapshot, fee_policy)


def pool_from_json(value: dict[str, Any], *, engine: Engine = "python") -> AnyPool:
    """Return the pool that `to_json` of either engine wrote. Raises SimulationError, ConfigError as above."""
    return _pool_type(engine).from_json(value)


def _pool_type(engine: Engine) -> type[Pool] | type[NativePool]:
    if engine == "python":
        return Pool
    if not is_built():
        raise ConfigError("the native engine is not built; install a C compiler and reinstall, or use engine python")
    from simulator.native.pool import NativePool  # only where there is an extension to import

    return NativePool
