from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

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
