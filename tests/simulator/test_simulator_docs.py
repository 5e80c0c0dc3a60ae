"""The page on the simulator shows what its examples print, on either engine."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", PAGE, flags=re.DOTALL)


def printed(code: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "docs/simulator.md", "exec"), {})
    return output.getvalue()


def test_the_examples_print_what_the_page_says() -> None:
    assert [printed(code) for code, _ in EXAMPLES] == [shown for _, shown in EXAMPLES]
    assert len(EXAMPLES) == PAGE.count("```python") == 6
