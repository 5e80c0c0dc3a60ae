"""Run as a script: becomes another program that the kernel kills when the process that asked for it dies.

Nothing but this survives a `kill -9` of the parent: no handler of the parent's runs then. Linux only; elsewhere the
program is started all the same, and only a parent that is killed outright leaves it behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(parent: int, command: list[str]) -> None:
    """Replace this process by the command, which dies with the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before the kernel had been told
    os.execv(command[0], command)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
