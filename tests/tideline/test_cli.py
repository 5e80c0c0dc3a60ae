"""The command line as a whole: help, exit codes, closed pipes, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from support.processes import TIDELINE, environment, start, tideline
from support.services import recorded_job

from db.store import Store
from protocol.errors import ChainError, ConfigError, RemoteError, SimulationError, StoreError
from tideline import commands
from tideline.cli import COMMANDS, group, run

DB = ("--db", "sqlite:///jobs.sqlite3")


def test_every_module_of_commands_is_a_command() -> None:
    assert {module.name for module in pkgutil.iter_modules(commands.__path__)} == set(COMMANDS)


def test_help_loads_no_command_and_nothing_heavy() -> None:
    """What makes a command line slow is what it imports: counted here, never timed."""
    code = (
        "import json, sys\n"
        "from tideline.cli import run\n"
        "before = run(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    ours = {name for name in loaded if name.split(".")[0] in ("db", "simulator", "validator", "miner", "executor")}
    heavy = {"aiohttp", "asyncio", "asyncpg", "bittensor", "numpy", "pydantic", "scipy", "tortoise", "web3"}
    assert (ours, heavy & set(loaded)) == (set(), set())
    assert [name for name in loaded if name.startswith("tideline.")] == ["tideline.cli"]


def test_help_lists_every_command_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, text in COMMANDS.items():
        assert f"tideline {name}" in shown.split("Options:")[0], "an example"
        assert name in shown.split("Commands:")[1] and text.split()[0] in shown


def every_command(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path of a command and of all below it."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, (*path, name))


def test_the_help_of_every_command_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for path in every_command(group, ()):
        assert run([*path, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Example" in shown and f"tideline {' '.join(path)}".strip() in shown, path


def test_without_arguments_the_help_is_shown_and_the_code_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    captured = capsys.readouterr()
    assert "Commands:" in captured.out + captured.err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ConfigError("set it to 3"), 2, "tideline: set it to 3\n"),
        (ConfigError("first\n  second\tline", job_id="a"), 2, "tideline: first second line (job_id=a)\n"),
        (StoreError("it is locked"), 2, "tideline: it is locked\n"),
        (ChainError("nobody answers", retryable=True), 1, "tideline: nobody answers\n"),
        (SimulationError("scores differ", round_id="r"), 1, "tideline: scores differ (round_id=r)\n"),
        (RemoteError("odd"), 1, "tideline: odd\n"),
        (KeyboardInterrupt(), 130, "tideline: stopped\n"),
        (click.Abort(), 130, "tideline: stopped\n"),
        (click.UsageError("bad\nthing"), 2, "tideline: bad thing See: tideline boom --help\n"),
    ],
)
def test_an_error_of_a_command_becomes_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, says: str
) -> None:
    install(monkeypatch, error)
    assert run(["boom"]) == code
    assert capsys.readouterr() == ("", says)


def test_a_bug_of_ours_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run(["boom"])
    install(monkeypatch, PermissionError(13, "Permission denied"))
    with pytest.raises(PermissionError):
        run(["boom"])


def test_what_a_command_returns_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None, returns=7)
    assert run(["boom"]) == 7
    install(monkeypatch, None, returns=None)
    assert run(["boom"]) == 0


def install(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, returns: int | None = None) -> None:
    """Add a command `boom` that raises or returns."""

    @click.command()
    def boom() -> int | None:
        if error is not None:
            raise error
        return returns

    module = ModuleType("tideline.commands.boom")
    module.boom = boom  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tideline.commands.boom", module)
    monkeypatch.setitem(COMMANDS, "boom", "fail")


# Real processes


@pytest.fixture(scope="module")
def many_jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database whose list of jobs fills more than a pipe's buffer holds of it at once."""
    folder = tmp_path_factory.mktemp("many-jobs")

    async def make() -> None:
        async with await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=True) as store:
            for number in range(40):
                await store.add_job(recorded_job(f"job-{number}"))

    asyncio.run(make())
    return folder


@pytest.mark.parametrize("command", [("leaderboard",), ("jobs", "list"), ("jobs", "list", "--json"), ("--help",)])
def test_a_reader_that_has_gone_costs_no_traceback(many_jobs: Path, command: tuple[str, ...]) -> None:
    """As in `tideline leaderboard | head -1`, but certain: nobody reads from the first byte on."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    options = DB if command != ("--help",) else ()
    done = subprocess.run(
        [*TIDELINE, *command, *options],
        cwd=many_jobs,
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_first_line_of_a_pipeline_arrives(many_jobs: Path) -> None:
    line = f"'{sys.executable}' -P -m tideline leaderboard --db sqlite:///jobs.sqlite3 | head -1"
    done = subprocess.run(
        line, shell=True, cwd=many_jobs, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.stdout.startswith("job-0 ") and done.stdout.count("\n") == 1 and done.stderr == ""


def test_a_validator_whose_log_nobody_reads_any_more_ends_in_order(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [*TIDELINE, "up", "--speed", "max"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=write_end,
        env=environment(),
    )
    os.close(write_end)
    assert os.read(read_end, 1)
    os.close(read_end)
    assert process.wait(60) == 141

    async def left_open() -> int:
        async with await Store.open(f"sqlite:///{tmp_path}/.tideline/jobs.sqlite3", create=False) as store:
            return len(await store.open_rounds())

    assert asyncio.run(left_open()) == 0


def test_a_full_disk_is_named(many_jobs: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*TIDELINE, "jobs", "list", *DB],
            cwd=many_jobs,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert (done.returncode, done.stderr) == (2, "tideline: no space is left to write to; free some\n")


def test_closed_outputs_are_no_error(many_jobs: Path) -> None:
    closed = f"'{sys.executable}' -P -m tideline jobs list --db sqlite:///jobs.sqlite3 >&- 2>&-"
    done = subprocess.run(closed, shell=True, cwd=many_jobs, check=False, env=environment())
    assert done.returncode == 0


def test_ctrl_c_in_a_long_command_costs_one_line(tmp_path: Path) -> None:
    """The file is a pipe that never ends, so the command is certainly at work when it is interrupted."""
    os.mkfifo(tmp_path / "endless.jsonl")
    with (
        start(tmp_path, "replay", "endless.jsonl") as process,
        (tmp_path / "endless.jsonl").open("w"),  # returns once it is being read
    ):
        process.signal(signal.SIGINT)
        code = process.end()
    assert (code, process.lines) == (130, ["tideline: stopped\n"])


def test_a_second_ctrl_c_ends_a_validator_at_once(tmp_path: Path) -> None:
    with start(tmp_path, "up", "--speed", "20x") as process:
        process.until("block ")
        process.signal(signal.SIGINT)
        process.signal(signal.SIGINT)
        assert process.end() in (0, 130)
    assert not [line for line in process.lines if "Traceback" in line]


def test_the_version_is_that_of_the_installed_package(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert tideline(tmp_path, "--version").stdout == f"tideline, version {version('tideline')}\n"
