from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.rows import OPENING, PAIR, VAULT, open_round

from db.job import Job
from db.store import Store
from tideline.cli import run

ADD = ["--vault", VAULT, "--pair", PAIR, "--target", "max_value", "--quote-token", "token1"]
RECORDED_PAIR = "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"
ON_RECORD = ["--vault", VAULT, "--pair", RECORDED_PAIR, "--chain-id", "1", "--target", "pol", "--quote-token", "token0"]
ON_RECORD += ["--feed", "recorded", "--record", "usdc-weth-005"]
OPENED = [*ON_RECORD, "--opening", json.dumps(OPENING)]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"sqlite:///{tmp_path}/jobs.sqlite3"
    monkeypatch.setenv("TIDELINE_DB", address)
    return address


def stored(url: str) -> list[Job]:
    async def read() -> list[Job]:
        async with await Store.open(url, create=False) as store:
            return await store.list_jobs()

    return asyncio.run(read())


def play_a_round(url: str) -> None:
    async def play() -> None:
        async with await Store.open(url, create=False) as store:
            await open_round(store, 1)

    asyncio.run(play())


def test_a_job_from_adding_to_removing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "add", "weth-usdc", *ADD, "--weight", "2.50", "--paused"]) == 0
    assert capsys.readouterr().out == "added job weth-usdc, paused\n"
    (job,) = stored(url)
    assert (job.job_id, str(job.weight), job.is_active, job.pair_address) == ("weth-usdc", "2.5", False, PAIR)

    assert run(["jobs", "resume", "weth-usdc"]) == 0
    assert run(["jobs", "update", "weth-usdc", "--miner-deadline-seconds", "30"]) == 0
    assert run(["jobs", "pause", "weth-usdc"]) == 0
    (job,) = stored(url)
    assert (job.is_active, job.miner_deadline_seconds, job.revision) == (False, 30, 4)

    capsys.readouterr()
    assert run(["jobs", "list"]) == 0
    assert capsys.readouterr().out == (
        "JOB        STATE   FEED   TARGET     CHAIN  POOL                                        WEIGHT\n"
        f"weth-usdc  paused  chain  max_value  8453   {PAIR}  2.5\n"
    )
    assert run(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [job.to_mapping()]
    assert run(["jobs", "show", "weth-usdc", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**job.to_mapping(), "rounds": []}

    assert run(["jobs", "remove", "weth-usdc"]) == 0
    assert stored(url) == []
    capsys.readouterr()
    assert run(["jobs", "list"]) == 0
    assert capsys.readouterr().out == "no jobs; add one with: tideline jobs add\n"


def test_a_job_with_rounds_is_removed_only_by_force(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["jobs", "add", "weth-usdc", *ADD])
    play_a_round(url)
    assert run(["jobs", "show", "weth-usdc"]) == 0
    assert "weth-usdc_evaluation_1  active" in capsys.readouterr().out
    assert run(["jobs", "remove", "weth-usdc"]) == 2
    assert "remove it with --force" in capsys.readouterr().err
    assert len(stored(url)) == 1
    assert run(["jobs", "remove", "weth-usdc", "--force"]) == 0
    assert stored(url) == []


def test_a_recorded_job_takes_its_opening_inline_or_from_a_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "opening.json").write_text(json.dumps(OPENING))
    recorded = [*ON_RECORD, "--checkpoint-interval-blocks", "20"]
    assert run(["jobs", "add", "a", *recorded, "--opening", json.dumps(OPENING)]) == 0
    assert run(["jobs", "add", "b", *recorded, "--opening", f"@{tmp_path}/opening.json"]) == 0
    first, second = stored(url)
    assert first.opening == second.opening
    assert first.opening is not None


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["add", "x", *ADD, "--pair", PAIR.swapcase().replace("X", "x", 1)], "pair_address has a wrong checksum"),
        (["add", "x", *ADD, "--checkpoint-interval-blocks", "0"], "checkpoint_interval_blocks must be 1 to"),
        (["add", "x", *ADD, "--miner-deadline-seconds", "61"], "miner_deadline_seconds must be 1 to 60"),
        (["add", "x", *ADD, "--weight", "much"], "weight must be a number"),
        (["add", "x"], "a job needs sn_liquidity_manager_address"),
        (["add", "x", *ADD, "--feed", "recorded", "--record", "r"], "needs opening"),
        (["add", "x", *ADD, "--opening", "@/nowhere/x.json"], "cannot read the opening from /nowhere/x.json"),
        (["add", "x", *OPENED, "--record", "nowhere"], "nowhere"),
        (["add", "x", *OPENED, "--pair", PAIR], "correct the job's chain_id and pair_address"),
        (["add", "x", *OPENED, "--checkpoint-interval-blocks", "5"], "is shorter than the 6 blocks"),
        (["add", "x", *OPENED, "--round-duration-seconds", "604800"], "does not fit record usdc-weth-005; use at most"),
        (["add", "weth-usdc", *ADD], "job weth-usdc exists; choose another id"),
        (["show", "nowhere"], "there is no job nowhere; known: weth-usdc"),
        (["pause", "nowhere"], "there is no job nowhere"),
        (["resume", "nowhere"], "there is no job nowhere"),
        (["remove", "nowhere"], "there is no job nowhere"),
        (["update", "nowhere", "--weight", "2"], "there is no job nowhere"),
        (["update", "weth-usdc"], "nothing to change"),
        (["update", "weth-usdc", "--target", "max"], "target must be pol or max_value"),
    ],
)
def test_a_mistake_costs_one_line_and_changes_nothing(
    url: str, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    run(["jobs", "add", "weth-usdc", *ADD])
    before = stored(url)
    capsys.readouterr()
    assert run(["jobs", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert stored(url) == before


@pytest.mark.parametrize(
    "command", [["list"], ["show", "x"], ["pause", "x"], ["remove", "x"], ["update", "x", "--weight", "1"]]
)
def test_a_missing_database_is_not_made_by_looking(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(["jobs", *command]) == 2
    assert capsys.readouterr().err == (
        f"tideline: there is no database {tmp_path}/jobs.sqlite3; create it with: tideline jobs migrate\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert run(["jobs", "migrate"]) == 0
    assert stored(url) == []


def test_an_invalid_job_does_not_even_make_the_database(url: str, tmp_path: Path) -> None:
    assert run(["jobs", "add", "x", *ADD, "--weight", "-1"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_locked_database_costs_one_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["jobs", "migrate"])
    holder = sqlite3.connect(tmp_path / "jobs.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("tideline.commands.jobs.PATIENCE_MS", 20)
    capsys.readouterr()
    assert run(["jobs", "add", "x", *ADD]) == 2
    err = capsys.readouterr().err
    assert "locked by another process" in err
    assert err.count("\n") == 1
    holder.execute("ROLLBACK")
    holder.close()
    assert stored(url) == []


def script(name: str, *arguments: str, cwd: Path, **environment: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def test_the_script_does_the_same(tmp_path: Path) -> None:
    assert "Add a job" in script("register_job.py", "--help", cwd=tmp_path).stdout
    done = script("register_job.py", "weth-usdc", *ADD, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "added job weth-usdc, active\n", "")
    (job,) = stored(f"sqlite:///{tmp_path}/.tideline/jobs.sqlite3")  # the default place
    assert job.job_id == "weth-usdc"
    again = script("register_job.py", "weth-usdc", *ADD, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (2, "tideline: job weth-usdc exists; choose another id\n")
