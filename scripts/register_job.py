"""Register a job: the same as `tideline jobs add`, without the rest of the command line."""

from __future__ import annotations

import sys

from tideline.cli import run

if __name__ == "__main__":
    sys.exit(run(["jobs", "add", *sys.argv[1:]]))
