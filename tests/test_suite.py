"""The suite itself: however it is started, it comes to the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.processes import environment

ROOT = Path(__file__).parents[1]
INTERRUPTED = "tests/tideline/test_cli.py::test_ctrl_c_in_a_long_command_costs_one_line"


def test_a_shell_that_starts_it_in_the_background_does_not_keep_ctrl_c_from_what_it_starts() -> None:
    """Such a shell has it ignore Ctrl-C, which processes inherit: one run waited for one of them for ever."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", INTERRUPTED]
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh", *pytest],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
