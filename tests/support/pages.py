"""The examples of a page: Python blocks that are followed by what they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

_DOCS = Path(__file__).parents[2] / "docs"


def printed_and_shown(name: str) -> tuple[list[str], list[str]]:
    """Run the examples of a page of docs/; return what they print and what the page says that they print.

    Every Python block of the page must be such an example.
    """
    text = (_DOCS / name).read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", text, flags=re.DOTALL)
    assert len(examples) == text.count("```python") > 0
    printed = []
    for code, _ in examples:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, name, "exec"), {})
        printed.append(output.getvalue())
    return printed, [shown for _, shown in examples]
