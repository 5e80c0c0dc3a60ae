"""Planting a bug: replacing a piece of one function's source wherever that function is used."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest


def plant(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], right: str, wrong: str) -> None:
    """Change `right` (found exactly once) to `wrong` in a function or method of the simulator, until the test ends."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, f"{function.__qualname__} has {source.count(right)} times {right!r}"
    namespace = dict(vars(sys.modules[function.__module__]))
    exec(compile(source.replace(right, wrong), function.__qualname__, "exec"), namespace)
    mutant = namespace[function.__name__]
    if "." in function.__qualname__:
        owner = vars(sys.modules[function.__module__])[function.__qualname__.split(".")[0]]
        monkeypatch.setattr(owner, function.__name__, mutant)
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("simulator."):
            # Under whatever name: some modules import a library's `update` as something clearer.
            for alias in [alias for alias, value in vars(module).items() if value is function]:
                monkeypatch.setattr(module, alias, mutant)
