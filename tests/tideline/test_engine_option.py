"""`--engine`: C where it was compiled, and plain Python everywhere."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from simulator import engine as engines
from simulator.engine import Engine
from tideline.cli import run
from tideline.wiring import engine_option


@click.command()
@engine_option
def show(*, engine: Engine) -> None:
    click.echo(engine)


@pytest.mark.parametrize(("built", "expected"), [(True, "native"), (False, "python")])
def test_the_fastest_engine_that_is_here_is_the_default(
    monkeypatch: pytest.MonkeyPatch, *, built: bool, expected: str
) -> None:
    monkeypatch.setattr(engines, "is_built", lambda: built)
    assert CliRunner().invoke(show, []).output == f"{expected}\n"
    assert CliRunner().invoke(show, ["--engine", "python"]).output == "python\n"


@pytest.mark.parametrize("command", [("evidence", "verify", "any-evaluation-1"), ("validator", "--netuid", "1")])
def test_an_engine_that_was_not_compiled_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(engines, "is_built", lambda: False)
    assert run([*command, "--engine", "native"]) == 2
    assert capsys.readouterr().err == (
        "tideline: the native engine is not built; install a C compiler and reinstall, or use engine python\n"
    )
