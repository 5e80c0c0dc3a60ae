"""The guide's table of what is lost without each defence names tests that exist, and every attack of this folder."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
GUIDE = TESTS.parent / "docs" / "executor.md"


def test_the_table_of_losses_names_the_tests_there_are() -> None:
    section = GUIDE.read_text(encoding="utf-8").split("## What is lost without each defence")[1].split("\n## ")[0]
    named = set(re.findall(r"`(test_\w+)`", section))
    files = [path for folder in ("executor", "tideline", "vault") for path in (TESTS / folder).glob("test_*.py")]
    defined = {path: set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M)) for path in files}
    attacks = [names for path, names in defined.items() if path.name.startswith("test_attacks_")]
    assert named <= set().union(*defined.values())
    assert len(attacks) == 5 and set().union(*attacks) <= named
