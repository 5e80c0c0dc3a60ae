"""The arithmetic below the engine, in C against C, and a bug planted where only hand-made numbers come."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

COMPILER = shutil.which("cc") or ""
if not COMPILER:
    pytest.skip("there is no compiler", allow_module_level=True)

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "simulator" / "native" / "src"
CHECK = Path(__file__).parent / "check_wide.c"


def check(where: Path, right: str = "", wrong: str = "") -> int:
    """Compile the check against the sources, one piece replaced, with undefined behaviour trapped. Returns its code."""
    shutil.copytree(SOURCE, where / "src")
    header = where / "src" / "wide.h"
    assert header.read_text().count(right) == 1 or not right
    header.write_text(header.read_text().replace(right, wrong) if right else header.read_text())
    sources = [str(where / "src" / name) for name in ("wide.c", "step.c", "tick_math.c")]
    flags = ["-std=c11", "-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", f"-I{where / 'src'}"]
    program = where / "check"
    subprocess.run([COMPILER, *flags, str(CHECK), *sources, "-lm", "-o", str(program)], check=True)
    return subprocess.run([program], capture_output=True, check=False).returncode


def test_the_fast_divisions_are_the_plain_one(tmp_path: Path) -> None:
    assert check(tmp_path) == 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("while (UNLIKELY(borrow > carry))", "while (0)"),
        ("    if (UNLIKELY(r >= d)) {", "    if (0) {"),
        ("while (UNLIKELY(owed != 0))", "while (0)"),
        ("lo64(high) < hi64(d_high)", "lo64(high) <= hi64(d_high)"),
        ("+ (u64)(whole < borrow);", ";"),
        ("carry = rem < d_high;", "carry = 0;"),
        ("make128(third, fourth) >= d_low", "0"),
        ("x[0] + lo64(a) < lo64(a)", "false"),
        ("left >= d->value", "false"),
        ("hi64(a) != 0 || d->divisor.shift == 0", "hi64(a) != 0"),
        ("lo64(low) | hi64(second)", "lo64(low)"),
        ("by.shift >= 64 ? div_3by2(&left, 0,", "by.shift > 64 ? div_3by2(&left, 0,"),
    ],
)
def test_the_check_finds_a_planted_bug(right: str, wrong: str, tmp_path: Path) -> None:
    assert check(tmp_path, right, wrong) != 0
