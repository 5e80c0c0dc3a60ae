"""What `tideline miner new` writes works as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import environment, tideline

from protocol.errors import ConfigError
from tideline import miner_new
from tideline.cli import run

ROOT = Path(__file__).parents[2]


def test_the_files_work_as_they_are(tmp_path: Path) -> None:
    """Its test passes, our linter is content, and the validator's rounds take its answers: in a folder of its own."""
    done = tideline(tmp_path, "miner", "new", "tidal_wave")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test_tidal_wave.py", "tidal_wave.py"]
    assert "class TidalWave:" in (tmp_path / "tidal_wave.py").read_text()
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "test_tidal_wave.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert tests.returncode == 0, tests.stdout
    linted = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    assert subprocess.run(linted, capture_output=True, check=False).returncode == 0


def test_its_test_notices_a_strategy_that_is_wrong(tmp_path: Path) -> None:
    strategy, test = miner_new.write("mine", tmp_path)
    text = strategy.read_text()
    strategy.write_text(text.replace("return Keep() if offer is None else Positions((offer,))", "return Keep()"))
    assert strategy.read_text() != text
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-k", "not recorded", str(test)]
    assert subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment()).returncode == 1


@pytest.mark.parametrize("name", ["class", "my-strategy", "../up", "3rd", "Mine", "", "_", "_9", "ünder", "a" * 300])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        miner_new.write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(ConfigError, match="is there already"):
        miner_new.write("mine", tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "precious")]


def test_a_folder_that_is_not_there_is_made_and_one_that_cannot_be_is_said(tmp_path: Path) -> None:
    assert len(miner_new.write("mine", tmp_path / "deep" / "er")) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another --dir"):
        miner_new.write("mine", tmp_path / "file" / "x")


def test_options_before_a_sub_command_are_not_passed_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["miner", "--port", "1", "new", "mine", "--dir", str(tmp_path)]) == 2
    assert "--port belongs behind new." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_back_test_is_not_gone_on_with_after_the_file_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy, _ = miner_new.write("mine", tmp_path)
    command = ["backtest", "--strategy", str(strategy), "--against", "", "--resume", str(tmp_path / "rounds.json")]
    assert run([*command, "--rounds", "1"]) == run([*command, "--rounds", "2"]) == 0
    strategy.write_text(strategy.read_text().replace("half_width: int = 30", "half_width: int = 31"))
    assert run([*command, "--rounds", "2"]) == 2
    assert "another back-test (other strategies)" in capsys.readouterr().err
