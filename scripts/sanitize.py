"""Run the native engine's tests with the compiler watching for undefined behaviour and bad memory accesses.

python scripts/sanitize.py [pytest arguments]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("protocol", "simulator", "tests", "pyproject.toml")
FLAGS = (
    "-std=c11",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
# What these compile is another library.
OTHERS = (
    "tests/native/test_planted_native_bugs.py",
    "tests/native/test_sanitize.py",
    "tests/native/test_portable.py",
    "tests/native/test_without_compiler.py",
)
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Werror")


def build(where: Path) -> None:
    """Compile the extension into a copy of the packages."""
    native = where / "simulator" / "native"
    for old in native.glob("_core.*.so"):
        old.unlink()
    target = native / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    sources = sorted(map(str, (native / "src").glob("*.c")))
    include = sysconfig.get_paths()["include"]
    compiler = os.environ.get("CC", "cc")
    command = [compiler, *FLAGS, *WARNINGS, "-fPIC", "-shared", f"-I{include}", *sources, "-lm", "-o", str(target)]
    subprocess.run(command, check=True)


def runtime() -> str:
    """Return the sanitizer's library, which must be loaded before the interpreter."""
    name = "libasan.so" if sys.platform == "linux" else "libclang_rt.asan_osx_dynamic.dylib"
    compiler = os.environ.get("CC", "cc")
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def copy_to(where: Path) -> None:
    """Copy the packages and their tests."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, where / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, where / name)


def environment() -> dict[str, str]:
    """Return what a program that loads the extension needs to be told."""
    return {
        "LD_PRELOAD" if sys.platform == "linux" else "DYLD_INSERT_LIBRARIES": runtime(),
        # The interpreter keeps memory until it ends; its own allocator would hide accesses beyond an object.
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }


def main(arguments: list[str]) -> int:
    """Build and test in a scratch folder; returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        where = Path(scratch)
        copy_to(where)
        build(where)
        left_out = [option for path in OTHERS for option in ("--deselect", path)]
        tests = [sys.executable, "-P", "-m", "pytest", "-p", "no:xdist", "tests/native", *left_out, *arguments]
        return subprocess.run(tests, cwd=where, env=os.environ | environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
