"""The page on replays shows what its examples print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says() -> None:
    examples = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", PAGE, flags=re.DOTALL)
    printed = []
    for code, _ in examples:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, "docs/replay.md", "exec"), {})
        printed.append(output.getvalue())
    assert printed == [shown for _, shown in examples]
    assert len(examples) == PAGE.count("```python") == 2
