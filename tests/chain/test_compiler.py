from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from simulator.chain import compiler


def test_contracts_compiled_at_the_same_time_do_not_spoil_each_other() -> None:
    names = ("lens", "token", "trader")
    expected = [compiler.compiled(name) for name in names]
    for _ in range(2):
        compiler._compiled.cache_clear()
        with ThreadPoolExecutor(len(names)) as threads:
            assert list(threads.map(compiler.compiled, names)) == expected
