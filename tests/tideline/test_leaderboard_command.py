from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.rows import CHAIN_TIME, DAY, make_finish, make_job, make_score, open_round

from db.store import Store
from protocol.units import Hotkey, Uid
from tideline.cli import run
from validator.reputation import advance

ROOT = Path(__file__).parents[2]
BP = 10**14
ALICE = Hotkey("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY")
BOB = Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty")


async def play(url: str) -> None:
    """Two jobs, the first with four rounds of two miners, the second with one round of one."""
    async with await Store.open(url, create=True) as store:
        for number, (alice, bob) in enumerate([(4, 1), (2, -1), (5, 2), (3, -2)], start=1):
            start = await open_round(store, number, start_timestamp=CHAIN_TIME + (number - 2) * DAY)
            scores = (make_score(ALICE, alice * BP), make_score(BOB, bob * BP, uid=Uid(8)))
            await store.finish_round(make_finish(start, *scores, winner_hotkey=ALICE), advance)
        await store.add_job(make_job("second", weight="3", target="pol"))
        start = await open_round(store, 1, "second")
        await store.finish_round(make_finish(start, make_score(BOB, 10 * BP, uid=Uid(8))), advance)
        await store.add_job(make_job("third", is_active=False))


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"sqlite:///{tmp_path}/jobs.sqlite3"
    monkeypatch.setenv("TIDELINE_DB", address)
    asyncio.run(play(address))
    return address


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["leaderboard", "--json", *arguments]) == 0
    boards: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return boards


def test_every_job_has_its_table(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    # Combined scores: 0.6·(1 bp) and 0.6·(1.2036 bp). Weights: 3·0.6 and 1·0.72216 of their sum; each took part always.
    assert lines == [
        "second (pol, weight 3; 1 rounds)",
        "# miner uid combined evaluation live rounds wins days mean ± se ahead needs weight",
        "1 5FHneW46…94ty 8 +0.6000 +1.0000 +0.0000 1 0 0/8 +10.0000 - - 71.37%",
        "",
        "third (max_value, weight 1, paused; 0 rounds)",
        "nobody has been scored yet",
        "",
        "weth-usdc (max_value, weight 1; 4 rounds)",
        "# miner uid combined evaluation live rounds wins days mean ± se ahead needs weight",
        "1 5GrwvaEF…utQY 7 +0.7222 +1.2036 +0.0000 4 4 3/8 +3.5000 ± 0.6455 99.7% 2 28.63%",
        "2 5FHneW46…94ty 8 -0.0169 -0.0281 +0.0000 4 0 3/8 +0.0000 ± 0.9129 - - 71.37%",
    ]


def test_json_is_raw_and_whole(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert [board["job_id"] for board in run_json(capsys)] == ["second", "third", "weth-usdc"]
    (board,) = run_json(capsys, "--job", "weth-usdc")
    alice, bob = board["miners"]
    assert (alice["hotkey"], alice["combined_e18"], alice["evaluation_e18"]) == (
        ALICE,
        "72216000000000",
        "120360000000000",
    )
    assert (bob["hotkey"], bob["combined_e18"], bob["wins"], bob["lead"]) == (BOB, "-1686000000000", 0, None)
    assert alice["weight"] + bob["weight"] == pytest.approx(1)
    assert (alice["lead"]["rounds"], alice["lead"]["mean_e18"]) == (4, 3.5e14)


def test_only_the_newest_rounds_on_request(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (board,) = run_json(capsys, "--job", "weth-usdc", "--rounds", "2")
    assert board["rounds"] == 2
    assert [miner["excess"]["mean_e18"] for miner in board["miners"]] == [4e14, 0.0]
    assert board["miners"][0]["evaluation_rounds"] == 4


def test_mistakes_cost_one_line(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard", "--job", "nowhere"]) == 2
    assert capsys.readouterr().err == "tideline: there is no job nowhere; known: second, third, weth-usdc\n"
    assert run(["leaderboard", "--db", f"sqlite:///{tmp_path}/none"]) == 2
    assert "there is no database" in capsys.readouterr().err


def test_no_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"sqlite:///{tmp_path}/empty.sqlite3"
    assert run(["jobs", "migrate", "--db", address]) == 0
    capsys.readouterr()
    assert run(["leaderboard", "--db", address]) == 0
    assert capsys.readouterr().out == "no jobs; add one with: tideline jobs add\n"


def test_the_script_does_the_same(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, ROOT / "scripts" / "leaderboard.py", "--db", url]
    assert run(["leaderboard"]) == 0
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == capsys.readouterr().out
