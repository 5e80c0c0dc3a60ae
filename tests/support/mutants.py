"""Planted bugs: one exact replacement in one file of a copy of the tree, against the tests that must notice it.

The copy is made once and its tests must pass there as they are. A bug is then written into it, the tests run in a
process of their own, and the file is put back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "simulator", "db", "validator", "executor", "miner", "tideline")
SUPPORT = ("pyproject.toml", "tests/conftest.py", "tests/support", "tests/data")
SERVER = Path(__file__).with_name("mutant_server.py")
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
    Tests are files, or single tests of a file that would take long.

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
    for name in (*PACKAGES, *SUPPORT, *(test.partition("::")[0] for test in tests)):
        source = ROOT / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
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


class Tree:
    """A copy of the core and its tests, and a process that runs them there."""

    def __init__(self, path: Path, tests: Iterable[str]) -> None:
        """Make the copy and show that its tests pass, on its own modules. Raises MutantError."""
        self.path = path
        files = tuple(dict.fromkeys(tests))
        copy_tree(path, files)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment["PYTHONPATH"] = os.pathsep.join((str(path), str(path / "tests")))
        environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(path / ".hypothesis")
        environment["PYTHONHASHSEED"] = "0"
        self._server = subprocess.Popen(
            [sys.executable, "-P", str(SERVER)],
            cwd=path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        (path / "tests" / "test_origin.py").write_text(
            f"import {', '.join(PACKAGES)}\n"
            "def test_origin():\n"
            f"    assert all(m.__file__.startswith({str(path)!r}) for m in ({', '.join(PACKAGES)}))\n"
        )
        code, output = self.run(("tests/test_origin.py", *files), keep_bytecode=True)
        if code != 0:
            self.close()
            raise MutantError(f"the unchanged copy does not pass:\n{output}")

    def close(self) -> None:
        """End the process."""
        self._server.communicate()

    def run(self, tests: Iterable[str], *, keep_bytecode: bool = False) -> tuple[int, str]:
        """Run test files in a new process, in a fixed order and on fixed examples; return exit code and output."""
        shutil.rmtree(self.path / ".hypothesis", ignore_errors=True)  # what one bug taught must not help the next
        output = self.path / "output.txt"
        plugins = [f"-pno:{name}" for name in ("cacheprovider", "randomly", "xdist")]
        arguments = ["-x", "--assert=plain", *plugins, *tests]
        order = {"output": str(output), "keep_bytecode": keep_bytecode, "arguments": arguments}
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline()
        if not code:
            raise MutantError("the process that runs the tests has ended")
        return int(code), output.read_text()

    def notices(self, mutant: Mutant) -> bool:
        """Return whether the tests fail with the bug in the tree. Raises MutantError when they could not be run."""
        with planted(self.path, mutant):
            code, output = self.run(mutant.tests)
        if code not in (0, _TESTS_FAILED):
            raise MutantError(f"{mutant.name}: pytest ended with {code}:\n{output}")
        return code == _TESTS_FAILED
