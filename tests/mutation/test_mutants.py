"""The tests of the core notice small bugs: each catalogue beside this file plants some, one at a time.

A bug that survives is a gap in the tests named in its catalogue. `make mutants` runs this alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mutants import Mutant, MutantError, Tree, mutate, planted, read_catalogue

MUTANTS = [
    m for path in sorted(Path(__file__).parent.glob("*.txt")) for m in read_catalogue(path.read_text(), path.name)
]
TESTS = tuple(dict.fromkeys(test for mutant in MUTANTS for test in mutant.tests))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A copy of the core and its tests, which pass there as they are."""
    made = Tree(tmp_path_factory.mktemp("mutants"), TESTS)
    yield made
    made.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title)
def test_the_bug_is_noticed(tree: Tree, mutant: Mutant) -> None:
    assert tree.notices(mutant), f"{' '.join(mutant.tests)} pass with this bug in {mutant.path}"


def test_the_catalogue_names_every_bug_once_and_is_not_thin() -> None:
    assert [title for title, count in Counter(m.title for m in MUTANTS).items() if count > 1] == []
    assert len(MUTANTS) >= 400
    core = (
        "answers base_fork course evidence expectation fork guard guards job_runner ledger live_guards live_round "
        "marks opening participant past plan query reconcile recovery replay reputation rewind round scenarios "
        "scoring sharing stretch sweep sweep_path timetable valuation"
    )
    assert {Path(m.path).stem for m in MUTANTS} == set(core.split())


SAMPLE = Mutant("a sample", "simulator/scoring.py", "if excess >= 0", "if excess > 0", ())


@pytest.mark.parametrize(
    ("source", "wrong", "says"),
    [
        ("x", "y", "0 times"),
        ("if excess >= 0: 1\nif excess >= 0: 2", "y", "2 times"),
        ("if excess >= 0: pass", "if excess >= 0", "changes nothing"),
        ("if excess >= 0: pass", "if excess >", "no longer compiles"),
    ],
)
def test_a_bug_that_does_not_fit_fails_loudly(source: str, wrong: str, says: str) -> None:
    with pytest.raises(MutantError, match=says):
        mutate(source, Mutant("a sample", SAMPLE.path, SAMPLE.right, wrong, ()))


@pytest.mark.parametrize(
    "text", ["file a.py\n\nname\n- x\n+ y\n", "file a\ntests t\n\nname\n- x\n", "file a\ntests t\n\nname\n+ y\n- x\n"]
)
def test_a_catalogue_of_another_shape_fails_loudly(text: str) -> None:
    with pytest.raises(MutantError, match=r"here\.txt: "):
        read_catalogue(text, "here.txt")


def test_the_check_tells_a_bug_from_a_change_of_no_consequence(tree: Tree) -> None:
    """A survivor is seen as one, the file is put back, and a test file that cannot be collected is no success."""
    path, tests = tree.path / SAMPLE.path, ("tests/simulator/test_scoring.py",)
    before = path.read_text()
    harmless = Mutant("harmless", SAMPLE.path, "quotient = abs(excess)", "quotient = +abs(excess)", tests)
    assert not tree.notices(harmless)
    broken = Mutant("broken", SAMPLE.path, "SCORE_UNIT = 10**18", "SCORE_UNIT = 1 // 0", tests)
    with pytest.raises(MutantError, match="pytest ended with"):
        tree.notices(broken)
    with planted(tree.path, Mutant("renamed", SAMPLE.path, "def score_round(", "def score_a_round(", tests)):
        assert tree.run(tests)[0] == 2
    assert path.read_text() == before
