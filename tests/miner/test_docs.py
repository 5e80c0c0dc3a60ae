import dataclasses
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from support.queries import Shape, make_query, shapes

from miner.strategies import NAMES, available, build
from miner.strategy import Positions, Strategy, check_decision, owned
from protocol.errors import ConfigError
from tideline.commands.miner import miner

GUIDE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")
PAGE = (Path(__file__).parents[2] / "docs" / "miner-strategy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Strategy:
    """The documented strategy, saved and loaded as the page says."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_strategies.py").write_text(blocks("python")[0], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        strategy = build("my_strategies:Quiet", {"half_width": "40"})
        del sys.modules["my_strategies"]
    return strategy


def test_the_documented_strategy_is_valid_whatever_it_is_asked(quiet: Strategy) -> None:
    @settings(max_examples=60)
    @given(shapes())
    def check(shape: Shape) -> None:
        query = make_query(shape)
        decision = quiet.decide(query)
        assert check_decision(query, decision) is None
        have0, have1 = owned(query)
        desired = getattr(decision, "desired", ())
        assert sum(d.amount0 for d in desired) <= have0
        assert sum(d.amount1 for d in desired) <= have1

    check()


def test_the_documented_commands_are_understood() -> None:
    for command in blocks("sh"):
        words = shlex.split(command.replace("\\\n", " ").replace("<your public address>", "8.8.8.8"))
        arguments = words[words.index("miner") + 1 :]
        result = CliRunner().invoke(miner, arguments)
        assert isinstance(result.exception, ConfigError)  # every option is known; only the file is not there
        assert result.exception.message.startswith("cannot load strategy 'my_strategies:Quiet'")


def test_the_documented_rule_is_served_with_a_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rules.py").write_text(blocks("python")[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    rule = build("my_rules:Daily", {"deviations": "3"}, memory=tmp_path / "memory.json")
    query = make_query()
    decision = rule.decide(query)
    assert isinstance(decision, Positions) and check_decision(query, decision) is None
    assert (tmp_path / "memory.json").exists()
    del sys.modules["my_rules"]


def test_every_strategy_is_on_both_pages() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)) == set(NAMES)
    assert set(re.findall(r"^\| `(\w+)` \|", GUIDE, flags=re.MULTILINE)) == set(NAMES)


def test_every_setting_is_on_the_page_with_its_default() -> None:
    for name, settings_cell in re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, flags=re.MULTILINE):
        shown = {key: float(value) for key, value in re.findall(r"`(\w+)` \(([\d.]+)\)", settings_cell)}
        assert shown == {field.name: field.default for field in dataclasses.fields(available()[name])}
