"""Which engine computes a pool: plain Python, the readable truth, or C, the same numbers sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from protocol.errors import ConfigError
from simulator.family import Family
from simulator.native import is_built
from simulator.pool import Pool
from simulator.slipstream import CLPool
from simulator.slipstream_snapshot import cl_pool_from_snapshot
from simulator.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from simulator.native.pool import NativePool

Engine: TypeAlias = Literal["python", "native"]
V3Pool: TypeAlias = "Pool | NativePool"
AnyPool: TypeAlias = "V3Pool | CLPool"


def default_engine() -> Engine:
    """Return "native" where it was compiled, else "python"."""
    return "native" if is_built() else "python"


def make_pool(fee_pips: int, tick_spacing: int, *, engine: Engine = "python") -> V3Pool:
    """Return an uninitialised pool of an engine. Raises ConfigError if that engine was not compiled."""
    return _pool_type(engine)(fee_pips, tick_spacing)


def pool_from_snapshot(snapshot: PoolSnapshot, *, engine: Engine = "python") -> AnyPool:
    """Return the pool of a snapshot in an engine. Raises ConfigError if that engine was not compiled.

    The native engine knows Uniswap's pools; the other families are computed in Python whatever is asked for.
    """
    if snapshot.family is Family.SLIPSTREAM:
        return cl_pool_from_snapshot(snapshot)
    if snapshot.family is not Family.UNISWAP_V3:
        return Pool.from_snapshot(snapshot)
    return _pool_type(engine).from_snapshot(snapshot)


def _pool_type(engine: Engine) -> type[Pool] | type[NativePool]:
    if engine == "python":
        return Pool
    if not is_built():
        raise ConfigError("the native engine is not built; install a C compiler and reinstall, or use engine python")
    from simulator.native.pool import NativePool  # only where there is an extension to import

    return NativePool
