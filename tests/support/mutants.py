"""Planted bugs: one exact replacement in one file of a copy of the tree, against the tests that must notice it.

The copy is made once and its tests must pass there as they are. A bug is then written into it, the tests run in a
process of their own, and the file is put back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "simulator", "db", "validator")
SUPPORT = ("pyproject.toml", "tests/support")
TIMEOUT_S = 120
_TESTS_FAILED = 1  # pytest's exit code; anything else means that the tests were not run


@dataclass(frozen=True, slots=True)
class Mutant:
    """A small bug: `right`, found exactly once in `path`, becomes `wrong`; one of `tests` must fail."""

    name: str
    path: str
    right: str
    wrong: str
    tests: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name with its module, as a test's id."""
        return f"{Path(self.path).stem}: {self.name}"


class MutantError(Exception):
    """The check itself is broken: it shows nothing about the tests."""


def read_catalogue(text: str, where: str) -> list[Mutant]:
    """Read a catalogue: the file and its tests, then one paragraph a bug: name, "- " right lines, "+ " wrong lines.

    Raises MutantError on a paragraph of another shape.
    """
    header, *paragraphs = [p.split("\n") for p in text.strip("\n").split("\n\n")]
    if len(header) != 2 or not header[0].startswith("file ") or not header[1].startswith("tests "):
        raise MutantError(f"{where}: starts with a file and its tests")
    path, tests = header[0].removeprefix("file "), tuple(header[1].split()[1:])
    mutants = []
    for name, *lines in paragraphs:
        right = [line[2:] for line in lines if line.startswith("- ")]
        wrong = [line[2:] for line in lines if line.startswith("+ ")]
        if not right or not wrong or lines != [f"- {r}" for r in right] + [f"+ {w}" for w in wrong]:
            raise MutantError(f"{where}: {name}: not a name, right lines and wrong lines")
        mutants.append(Mutant(name, path, "\n".join(right), "\n".join(wrong), tests))
    return mutants


def copy_tree(target: Path, tests: Iterable[str]) -> None:
    """Copy what the tests of the core need, and nothing that was compiled from it."""
    for name in (*PACKAGES, *SUPPORT, *tests):
        source = ROOT / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
        else:
            shutil.copy(source, target / name)


def mutate(source: str, mutant: Mutant) -> str:
    """Return the source with the bug in it. Raises MutantError unless it fits exactly once and still compiles."""
    found = source.count(mutant.right)
    if found != 1:
        raise MutantError(f"{mutant.name}: {mutant.path} holds the text to replace {found} times, expected once")
    if mutant.right == mutant.wrong:
        raise MutantError(f"{mutant.name}: changes nothing")
    changed = source.replace(mutant.right, mutant.wrong)
    try:
        compile(changed, mutant.path, "exec")
    except SyntaxError as error:
        raise MutantError(f"{mutant.name}: {mutant.path} no longer compiles: {error}") from error
    return changed


@contextmanager
def planted(tree: Path, mutant: Mutant) -> Iterator[None]:
    """Write a bug into the copy, and put the file back afterwards."""
    path = tree / mutant.path
    right = path.read_text()
    path.write_text(mutate(right, mutant))
    _forget_bytecode(path)
    try:
        yield
    finally:
        path.write_text(right)
        _forget_bytecode(path)


def _forget_bytecode(path: Path) -> None:
    """A compiled file is taken for current when size and second of change are: two versions can agree in both."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def run_tests(tree: Path, tests: Iterable[str], *, keep_bytecode: bool = False) -> subprocess.CompletedProcess[str]:
    """Run test files of the copy in a new process, in a fixed order and from a fixed seed."""
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "PYTHONPATH": os.pathsep.join((str(tree), str(tree / "tests"))),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / ".hypothesis"),
        **({} if keep_bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
    }
    shutil.rmtree(tree / ".hypothesis", ignore_errors=True)  # what one bug taught must not help to find the next
    return subprocess.run(
        [*command, "-p", "no:xdist", "--hypothesis-seed=0", *tests],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def prepare(tree: Path, tests: Iterable[str]) -> None:
    """Make the copy and show that its tests pass, on its own modules. Raises MutantError."""
    files = tuple(dict.fromkeys(tests))
    copy_tree(tree, files)
    probe = tree / "tests" / "test_origin.py"
    probe.write_text(
        "import protocol, simulator, db, validator\n"
        "def test_origin():\n"
        f"    assert all(m.__file__.startswith({str(tree)!r}) for m in (protocol, simulator, db, validator))\n"
    )
    outcome = run_tests(tree, (str(probe), *files), keep_bytecode=True)
    if outcome.returncode != 0:
        raise MutantError(f"the unchanged copy does not pass:\n{outcome.stdout}\n{outcome.stderr}")


def is_noticed(tree: Path, mutant: Mutant) -> bool:
    """Return whether the tests fail with the bug in the tree. Raises MutantError when they could not be run."""
    with planted(tree, mutant):
        outcome = run_tests(tree, mutant.tests)
    if outcome.returncode not in (0, _TESTS_FAILED):
        raise MutantError(f"{mutant.name}: pytest ended with {outcome.returncode}:\n{outcome.stdout}\n{outcome.stderr}")
    return outcome.returncode == _TESTS_FAILED
