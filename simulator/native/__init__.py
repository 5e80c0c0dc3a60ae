"""The pool in C: the same numbers as `simulator.pool`, two orders of magnitude sooner, where a compiler built it.

`simulator.engine` chooses between the two. Nothing here is needed to run Tideline; `is_built` says whether it is there.
"""

from __future__ import annotations

from importlib.util import find_spec


def is_built() -> bool:
    """Return whether the extension was compiled when the package was installed."""
    return find_spec("simulator.native._core") is not None
