"""Print the leaderboard: the same as `tideline leaderboard`, without the rest of the command line."""

from __future__ import annotations

import sys

from tideline.cli import run

if __name__ == "__main__":
    sys.exit(run(["leaderboard", *sys.argv[1:]]))
