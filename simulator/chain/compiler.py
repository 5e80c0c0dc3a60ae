"""Our own contracts, written in Vyper beside this file and compiled when they are first used; never committed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler makes of a contract: the code that a deployment runs, and the code that is then there."""

    creation_code: bytes
    runtime_code: bytes


@cache
def compiled(name: str) -> Compiled:
    """Return the contract of the file `name`.vy. Takes about a second the first time in a process."""
    from vyper.compiler import compile_code  # half a second to import, for the few that need it

    source = (resources.files(__package__) / f"{name}.vy").read_text(encoding="utf-8")
    output = compile_code(source, contract_path=f"{name}.vy", output_formats=["bytecode", "bytecode_runtime"])
    return Compiled(*(bytes.fromhex(output[key].removeprefix("0x")) for key in ("bytecode", "bytecode_runtime")))
