"""The README's commands are run, and what it shows is what they print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
TIDELINE = (sys.executable, "-P", "-m", "tideline")


def blocks() -> list[tuple[str, list[str]]]:
    """Return (command, shown output) of each command in a console block, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text(), re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_the_commands_print_what_the_readme_shows(tmp_path: Path) -> None:
    ran = 0
    for command, shown in blocks():
        if not command.startswith("tideline "):
            continue
        done = subprocess.run(
            [*TIDELINE, *command.split()[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout.splitlines()
        assert printed[: len(shown)] == shown
        ran += 1
    assert ran == 2


def test_the_two_commands_exist() -> None:
    makefile = (README.parent / "Makefile").read_text()
    assert [command for command, _ in blocks() if command.startswith("make ")] == ["make up", "make test"]
    assert "\nup:" in makefile and "\ntest:" in makefile


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
