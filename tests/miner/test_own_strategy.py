"""Strategies of one's own are found by file, by file and class, by module and class; mistakes are one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from miner import own_strategy
from miner.remembering import Remembering
from miner.sample import sample_query
from miner.strategies import NAMES, build
from miner.strategies.wide import Wide
from miner.strategy import Keep
from protocol.errors import ConfigError

QUIET = """
from __future__ import annotations
from dataclasses import dataclass
from miner.strategies.wide import Wide
from miner.strategy import Keep

@dataclass(frozen=True, slots=True)
class Quiet:
    ticks: int = 3
    share: float = 0.5
    label: str = "quiet"

    @property
    def name(self):
        return f"{self.label} {self.ticks} {self.share}"

    def decide(self, query):
        return Keep()

class _Hidden:
    def decide(self, query): ...

class Helper:
    pass
"""
TWO = QUIET + "\nclass Loud(Quiet):\n    pass\n"
RULE = "class Rule:\n    name = 'rule'\n    def wish(self, view):\n        return None\n"


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_only_strategy_of_a_file_is_found_and_takes_settings(tmp_path: Path) -> None:
    file = write(tmp_path, QUIET)
    strategy = build(file, {"ticks": "7", "share": "0.25", "label": "mine"})
    assert (strategy.name, strategy.decide(sample_query())) == ("mine 7 0.25", Keep())
    assert build(f"{file}:Quiet", {}).name == build(file, {}).name == "quiet 3 0.5"


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    assert build(write(tmp_path, QUIET), {}).name == "quiet 3 0.5"
    assert build(write(tmp_path, QUIET.replace("ticks: int = 3", "ticks: int = 44")), {}).name == "quiet 44 0.5"


def test_a_file_may_bear_the_name_of_any_module(tmp_path: Path) -> None:
    json = sys.modules["json"]
    assert build(write(tmp_path, QUIET, "json.py"), {}).name == "quiet 3 0.5"
    assert sys.modules["json"] is json


def test_a_rule_in_a_file_is_given_a_memory(tmp_path: Path) -> None:
    rule = build(write(tmp_path, RULE), {}, memory=tmp_path / "memory.json")
    assert isinstance(rule, Remembering) and rule.decide(sample_query()) == Keep()
    assert (tmp_path / "memory.json").exists()


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        (TWO, "mine.py", "holds Quiet, Loud; say which: "),
        ("x = 1\n", "mine.py", "holds no class with decide(query) or wish(view)"),
        ("from miner.strategies.wide import Wide\n", "mine.py", "holds no class with decide(query)"),
        ("x = 1\n", "mine.py:Nothing", "it has no class Nothing"),
        ("x = 1\n", "mine.py:x", "it has no class x"),
        ("x = 1\ny = 1 +\n", "mine.py", "line 2: SyntaxError: invalid syntax"),
        ("import no_such_module\n", "mine.py", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("\n\nx = [][3]\n", "mine.py", "line 3: IndexError: list index out of range"),
        ("y = 1 / 0\n", "mine.py", "line 1: ZeroDivisionError"),
        (QUIET, "other.py", "write one with: tideline miner new other"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_its_place(tmp_path: Path, text: str, name: str, says: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        build(str(tmp_path / name), {})
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_where_a_strategy_comes_from(tmp_path: Path) -> None:
    assert own_strategy.source("band") is None
    assert own_strategy.source(f"{tmp_path}/a.py:B") == own_strategy.source(f"{tmp_path}/a.py") == tmp_path / "a.py"
    assert own_strategy.source("miner.strategies.wide:Wide") == Path(sys.modules[Wide.__module__].__file__ or "")
    assert own_strategy.source("no_such_module:X") is None
    assert [name for name in NAMES if own_strategy.is_own(name)] == []
