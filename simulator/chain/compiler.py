"""Our own contracts, written in Vyper beside their users and compiled when they are first used; never committed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from protocol.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler makes of a contract: the code that a deployment runs, and the code that is then there."""

    creation_code: bytes
    runtime_code: bytes


_ONE_AT_A_TIME = Lock()  # the compiler keeps what it is working on in globals; jobs open their markets in threads


def compiled(name: str, directory: Path = Path(__file__).parent, *libraries: Path) -> Compiled:
    """Return the contract of the file `name`.vy, which may import others of its directory or of the libraries. Takes a
    second or more the first time in a process.

    Raises ConfigError when the compiler is missing or not the pinned one.
    """
    with _ONE_AT_A_TIME:
        return _compiled(name, directory, *libraries)


@cache
def _compiled(name: str, directory: Path, *libraries: Path) -> Compiled:
    try:
        # Half a second to import, for the few that need it.
        from vyper.compiler import compile_code  # type: ignore[import-untyped] # it ships no types
        from vyper.compiler.input_bundle import FilesystemInputBundle  # type: ignore[import-untyped] # as above
        from vyper.exceptions import VyperException  # type: ignore[import-untyped] # as above
    except ImportError as error:
        raise ConfigError("vyper is not installed; install it with: pip install vyper==0.4.3") from error
    source = (directory / f"{name}.vy").read_text(encoding="utf-8")
    formats, bundle = ["bytecode", "bytecode_runtime"], FilesystemInputBundle([*libraries, directory])
    try:
        output = compile_code(source, output_formats=formats, input_bundle=bundle)
    except VyperException as error:
        raise ConfigError(f"{name}.vy does not compile: {error}") from error
    return Compiled(*(bytes.fromhex(output[key].removeprefix("0x")) for key in ("bytecode", "bytecode_runtime")))
