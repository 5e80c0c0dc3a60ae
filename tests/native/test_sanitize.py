"""The sanitizers' run fails when there is something to find."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
if not shutil.which("cc") or sys.platform != "linux":
    pytest.skip("no compiler whose sanitizers are known here", allow_module_level=True)

# A pool with two ticks, and a swap inside a tick: it reads a record and shifts numbers.
PROGRAM = """
from protocol.units import Q96
from simulator.native.pool import NativePool
pool = NativePool(3000, 60)
pool.initialize(Q96)
pool.mint("ann", -600, 600, 10**18)
assert pool.swap(True, 10**15, None)[0] == 10**15
"""


def sanitize() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sanitize", ROOT / "scripts" / "sanitize.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_with(where: Path, file: str, right: str, wrong: str) -> subprocess.CompletedProcess[str]:
    """Build the extension with a bug as the script builds it, and run a small program on it as the script would."""
    script = sanitize()
    script.copy_to(where)
    source = where / "simulator" / "native" / "src" / file
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    script.build(where)
    command = [sys.executable, "-P", "-c", "import sys; sys.path.insert(0, '.')\n" + PROGRAM]
    environment = os.environ | script.environment()
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "says"),
    [
        ("table.c", "order->ticks[place] = tick;", "order->ticks[2 * order->room + 9] = tick;", "heap-buffer-overflow"),
        ("table.c", "release_order(t->order);", "free(t->order);\n    release_order(t->order);", "heap-use-after-free"),
        (
            "boundary.h",
            "word = 256 * p->tick_spacing;",
            "word = INT32_MAX + p->tick_spacing;",
            "signed integer overflow",
        ),
    ],
)
def test_a_planted_fault_ends_the_run(file: str, right: str, wrong: str, says: str, tmp_path: Path) -> None:
    done = run_with(tmp_path, file, right, wrong)
    assert done.returncode != 0 and says in done.stderr


def test_the_engine_as_it_is_passes(tmp_path: Path) -> None:
    done = run_with(tmp_path, "table.c", "order->ticks[place] = tick;", "order->ticks[place] = tick;")
    assert (done.returncode, done.stderr) == (0, "")
