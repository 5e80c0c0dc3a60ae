from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from types import TracebackType

import pytest
import vyper.compiler

from simulator.chain import compiler


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_contracts_compiled_at_the_same_time_do_not_spoil_each_other() -> None:
    names = ("lens", "lens", "trader", "token", "lens")
    expected = [compiler.compiled(name) for name in names]
    compiler._compiled.cache_clear()
    with ThreadPoolExecutor(len(names)) as threads:
        assert list(threads.map(compiler.compiled, names)) == expected


PATIENCE_S = 20.0


class Watched:
    """The compiler's lock, which tells when somebody has to wait for it."""

    def __init__(self, inner: Lock, met: Event) -> None:
        self._inner = inner
        self._met = met

    def __enter__(self) -> None:
        if not self._inner.acquire(blocking=False):
            self._met.set()
            self._inner.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.release()


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    compiler._compiled.cache_clear()
    yield
    compiler._compiled.cache_clear()


@pytest.mark.usefixtures("nothing_compiled")
def test_who_compiles_while_another_does_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each compilation lasts until somebody else has met it: at the lock, or (without one) inside the compiler."""
    met, inside, together = Event(), list[str](), list[int]()

    def lasting(source: str, **_: object) -> dict[str, str]:
        inside.append(source)
        together.append(len(inside))
        if len(inside) > 1:
            met.set()
        assert met.wait(PATIENCE_S), "nobody came"
        inside.remove(source)
        return {"bytecode": "0x00", "bytecode_runtime": "0x00"}

    monkeypatch.setattr(compiler, "_ONE_AT_A_TIME", Watched(compiler._ONE_AT_A_TIME, met))
    monkeypatch.setattr(vyper.compiler, "compile_code", lasting)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(compiler.compiled, ("lens", "token")))
    assert together == [1, 1]
