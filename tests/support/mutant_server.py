"""Runs pytest again and again, each time in a fork of a process that has imported everything but the code under test.

Started by `support.mutants`. One JSON line in: where to write the output, and pytest's arguments. One line out: its
exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any

import pytest

# What the tests of the core import from elsewhere; importing it costs more than most of them.
PRELOADED = (
    "hypothesis.strategies",
    "pydantic",
    "bittensor.http_auth",
    "bittensor.sp_core",
    "aiohttp",
    "aiohttp.web",
    "aiosqlite",
    "numpy",
    "scipy.stats",
    "tortoise",
    "web3",
)
TIMEOUT_S = 120


def main() -> None:
    """Serve until the input ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> None:
    """Run pytest in this fork and end it. A run that hangs is ended by the alarm."""
    signal.alarm(TIMEOUT_S)
    output = os.open(order["output"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.dont_write_bytecode = not order["keep_bytecode"]
    code = int(pytest.main(order["arguments"]))
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
