"""`tideline executor` that is killed at one use of its database, as by a power cut.

python deadly_executor.py POINT ARGUMENTS...: POINT as for executor_process.py.
"""

from __future__ import annotations

import sys

from support.executor_process import Deadly, DeadlyStore

from tideline.cli import run
from tideline.commands import executor

if __name__ == "__main__":
    DeadlyStore.deadly = Deadly(sys.argv[1])
    executor.Store = DeadlyStore
    sys.exit(run(["executor", *sys.argv[2:]]))
