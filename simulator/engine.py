"""Which engine computes a pool: plain Python, the readable truth, or C, the same numbers sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from protocol.errors import ConfigError
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


def check_engine(engine: Engine) -> Engine:
    """Return an engine that is here. Raises ConfigError if it was not compiled."""
    if engine == "native" and not is_built():
        raise ConfigError("the native engine is not built; install a C compiler and reinstall, or use engine python")
    return engine


def make_pool(fee_pips: int, tick_spacing: int, *, engine: Engine = "python") -> AnyPool:
    """Return an uninitialised pool of an engine. Raises ConfigError if that engine was not compiled."""
    return _pool_type(engine)(fee_pips, tick_spacing)


def pool_from_snapshot(snapshot: PoolSnapshot, *, engine: Engine = "python") -> AnyPool:
    """Return the pool of a snapshot in an engine. Raises ConfigError if that engine was not compiled."""
    return _pool_type(engine).from_snapshot(snapshot)


def _pool_type(engine: Engine) -> type[Pool] | type[NativePool]:
    if check_engine(engine) == "python":
        return Pool
    from simulator.native.pool import NativePool  # only where there is an extension to import

    return NativePool
