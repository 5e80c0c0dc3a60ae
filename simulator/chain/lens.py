"""Our lens, compiled when it is first wanted: the repository holds its source and never its code."""

from __future__ import annotations

from functools import cache
from importlib import resources

from protocol.errors import ConfigError


@cache
def lens_code() -> str:
    """Return the runtime code of lens.vy as hex, compiled by Vyper (half a second, once per process).

    Raises ConfigError when the compiler is missing or not the pinned one; snapshots then take the plain way.
    """
    try:
        from vyper.compiler import compile_code  # type: ignore[import-untyped] # it ships no types
        from vyper.exceptions import VyperException  # type: ignore[import-untyped] # as above
    except ImportError as error:
        raise ConfigError("vyper is not installed; install it, or read snapshots without the lens") from error
    source = resources.files("simulator.chain").joinpath("lens.vy").read_text()
    try:
        code: str = compile_code(source, output_formats=["bytecode_runtime"])["bytecode_runtime"]
    except VyperException as error:
        raise ConfigError(f"the lens does not compile: {error}") from error
    return code
