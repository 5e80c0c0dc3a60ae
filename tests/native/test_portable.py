"""The engine's sources compile without a warning by whatever compilers are here, and for arm64."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "simulator" / "native" / "src"
CHECK = Path(__file__).parent / "check_wide.c"
WARNINGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
COMPILERS = [name for name in ("gcc", "clang", "aarch64-linux-gnu-gcc") if shutil.which(name)]
ARITHMETIC = ["wide.c", "step.c", "tick_math.c"]  # what needs no Python
OF_POOL = [*ARITHMETIC, "boundary.h", "liquidity.c", "oracle.c", "pool.c", "swap.c", "table.c"]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_compiler_warns(compiler: str, tmp_path: Path) -> None:
    # Headers of this Python are another processor's to a cross compiler: it gets what needs none.
    is_cross = compiler.startswith("aarch64")
    files = [SOURCE / name for name in OF_POOL if name.endswith(".c")] if is_cross else sorted(SOURCE.glob("*.c"))
    include = [] if is_cross else [f"-I{sysconfig.get_paths()['include']}"]
    for file in files:
        command = [compiler, *WARNINGS, *include, "-c", str(file), "-o", str(tmp_path / f"{file.stem}.o")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("flags", [[], ["-DTIDELINE_PORTABLE"]], ids=["", "portable"])
def test_the_arithmetic_is_right_by_every_compiler(compiler: str, flags: list[str], tmp_path: Path) -> None:
    """On arm64 it runs in an emulator, where there is one: divisions and conversions are other instructions there."""
    program = tmp_path / "check"
    sources = [str(CHECK), *(str(SOURCE / name) for name in ARITHMETIC)]
    static = ["-static"] if compiler.startswith("aarch64") else []
    command = [compiler, "-std=c11", "-O2", *flags, *static, f"-I{SOURCE}", *sources, "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    emulator = [name for name in ("qemu-aarch64-static", "qemu-aarch64") if static and shutil.which(name)]
    if not static or emulator:
        assert subprocess.run([*emulator[:1], str(program)], check=False).returncode == 0
