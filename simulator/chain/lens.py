"""Our lens, compiled when it is first wanted: the repository holds its source and never its code."""

from __future__ import annotations

from simulator.chain.compiler import compiled


def lens_code() -> str:
    """Return the runtime code of lens.vy as hex.

    Raises ConfigError when the compiler is missing or not the pinned one; snapshots then take the plain way.
    """
    return "0x" + compiled("lens").runtime_code.hex()
