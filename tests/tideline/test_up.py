"""The main job as a user runs it: real processes, real output, kill -9 in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.processes import children_of, ends_of_children, have_ended

from db.store import Store
from tideline.demo import DEMO_MINERS
from validator.reputation import Reputation, advance
from validator.verification import check, load

TIDELINE = (sys.executable, "-P", "-m", "tideline")


def tideline(folder: Path, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TIDELINE, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.CompletedProcess[str]]]:
    folder = tmp_path_factory.mktemp("up")
    yield folder, tideline(folder, "up", "--rounds", "3", "--speed", "max", "--json")


def test_up_ends_by_itself_with_a_leaderboard_and_one_json_line(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = played
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    summary: dict[str, Any] = json.loads(lines[-1])
    seconds = summary.pop("seconds")
    weights_set = summary.pop("weights_set")
    assert summary == {
        "rounds": 6,
        "live_rounds": 0,
        "inconclusive": 0,
        "jobs": 2,
        "scores": 6 * len(DEMO_MINERS),
        "intents": 0,
        "live_executions": 0,
    }
    assert seconds > 0 and weights_set >= 1
    table = "\n".join(lines[:-1])
    assert "usdc-weth" in table and "wbtc-weth" in table and "narrow-band" in table


def test_up_shows_round_block_price_standing_and_winner(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = played
    assert "opens at block 18937381" in done.stderr
    assert "USDC/WETH" in done.stderr and "WETH/WBTC" in done.stderr
    assert "winner" in done.stderr and " bp" in done.stderr
    assert "set and read back" in done.stderr


def test_every_round_of_it_is_verified_in_a_fresh_process_and_on_a_copied_file(
    played: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = played
    for number in (1, 2, 3):
        verified = tideline(folder, "evidence", "verify", f"usdc-weth-evaluation-{number}")
        assert verified.returncode == 0 and "bit for bit" in verified.stdout, verified.stderr
    exported = tideline(folder, "evidence", "export", "wbtc-weth-evaluation-2", "--out", str(tmp_path / "round.json"))
    assert exported.returncode == 0, exported.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copied = elsewhere / "copy.json"
    copied.write_bytes((tmp_path / "round.json").read_bytes())
    verified = tideline(elsewhere, "evidence", "verify", "copy.json")
    assert verified.returncode == 0
    assert tideline(elsewhere, "evidence", "verify", "copy.json", "--engine", "python").stdout == verified.stdout
    data = bytearray(copied.read_bytes())
    data[len(data) // 3] ^= 4
    copied.write_bytes(data)
    flipped = tideline(elsewhere, "evidence", "verify", "copy.json")
    assert flipped.returncode == 1 and len(flipped.stderr.strip().splitlines()) == 1


def test_a_second_run_continues_where_the_first_ended(tmp_path: Path) -> None:
    first = tideline(tmp_path, "up", "--rounds", "1", "--speed", "max", "--json")
    second = tideline(tmp_path, "up", "--rounds", "1", "--speed", "max", "--json")
    assert first.returncode == second.returncode == 0
    with sqlite3.connect(tmp_path / ".tideline" / "jobs.sqlite3") as raw:
        rows = raw.execute("select job_id, round_number, start_block, end_block from rounds order by 1, 2").fetchall()
    raw.close()
    assert [(job, number) for job, number, _, _ in rows] == [
        ("usdc-weth", 1),
        ("usdc-weth", 2),
        ("wbtc-weth", 1),
        ("wbtc-weth", 2),
    ]
    assert rows[1][2] == rows[0][3] and rows[3][2] == rows[2][3]


def test_a_job_that_was_removed_stays_removed(tmp_path: Path) -> None:
    play = ("up", "--market", "recorded", "--rounds", "1", "--speed", "max", "--quiet", "--json")
    assert json.loads(tideline(tmp_path, *play).stdout.splitlines()[-1])["jobs"] == 2
    assert tideline(tmp_path, "jobs", "remove", "usdc-weth", "--force").returncode == 0
    again = tideline(tmp_path, *play)
    assert (again.returncode, json.loads(again.stdout.splitlines()[-1])["jobs"]) == (0, 1)
    assert tideline(tmp_path, "jobs", "remove", "wbtc-weth", "--force").returncode == 0
    ended = tideline(tmp_path, *play)
    assert (ended.returncode, ended.stdout) == (2, "") and "paused or removed" in ended.stderr


def read_until(process: subprocess.Popen[str], text: str, times: int) -> None:
    """Read its standard error until so many lines have contained a text."""
    assert process.stderr is not None
    for line in process.stderr:
        times -= text in line
        if times == 0:
            return
    raise AssertionError(f"it ended before it said {text!r} often enough")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_its_devnets(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*TIDELINE, "up", "--speed", "200x"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None and "wbtc-weth-live the past first" in process.stderr.readline()
    read_until(process, "opens at block", 2)
    devnets = ends_of_children(process.pid)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert len(devnets) == 2 and have_ended(devnets)
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 0 and "evaluation rounds" in out
        asyncio.run(_is_left_in_order(tmp_path))


def test_a_devnet_killed_under_it_costs_the_round_and_nobody_anything(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*TIDELINE, "up", "--speed", "max", "--rounds", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    read_until(process, "wbtc-weth      evaluation round 1 opens", 1)
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    out, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert "wbtc-weth-evaluation-1 is inconclusive, nobody is scored: anvil ended by itself (exit_code=-9)" in told
    assert "4 evaluation rounds" in out
    asyncio.run(_check_invariants(tmp_path))


def test_without_anvil_it_says_so_in_one_line_and_plays_the_records(tmp_path: Path) -> None:
    nowhere = {
        "PATH": os.devnull,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "npm_config_registry": "http://127.0.0.1:1",
    }
    environment = {**os.environ, **nowhere}
    done = subprocess.run(
        [*TIDELINE, "up", "--rounds", "1", "--speed", "max", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    first, *others = done.stderr.splitlines()
    assert done.returncode == 0 and first.startswith(
        "devnet         playing the recorded markets instead: npm cannot fetch"
    )
    assert "2 evaluation rounds" in done.stdout and not any("devnet" in line for line in others)
    refused = subprocess.run(
        [*TIDELINE, "up", "--rounds", "1", "--market", "devnet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1


def test_records_and_devnets_tell_the_same_story(tmp_path: Path) -> None:
    """One job, moved between them: it goes on where it was, and no score tells which of them a round was played on."""
    mixed, plain = tmp_path / "mixed", tmp_path / "plain"
    for folder, runs in ((mixed, (("recorded", "1"), ("devnet", "1"))), (plain, (("recorded", "2"),))):
        folder.mkdir()
        for market, rounds in runs:
            done = tideline(folder, "up", "--rounds", rounds, "--speed", "max", "--market", market)
            assert done.returncode == 0, done.stderr
    assert scores_of(mixed) == scores_of(plain)
    assert len(scores_of(plain)) == 2 * 2 * len(DEMO_MINERS)


def scores_of(folder: Path) -> list[tuple[Any, ...]]:
    """Every round and score in a folder's database."""
    columns = "r.round_id, r.start_block, r.end_block, r.start_timestamp, s.hotkey, s.score_e18"
    with contextlib.closing(sqlite3.connect(folder / ".tideline" / "jobs.sqlite3")) as raw:
        joined = "rounds r join round_scores s on r.round_id = s.round_id"
        return raw.execute(f"select {columns} from {joined} order by 1, 5").fetchall()


def test_kill_9_at_ten_random_moments_scores_nobody_twice_and_punishes_nobody(tmp_path: Path) -> None:
    """The seed decides when to kill; whatever moment that is, the invariants hold."""
    rng = random.Random(20261121)
    for _ in range(10):
        process = subprocess.Popen(
            [*TIDELINE, "up", "--speed", "max", "--market", "recorded"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stderr is not None
        for _ in range(rng.randrange(1, 60)):  # so many lines of progress, then the axe
            process.stderr.readline()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    final = tideline(tmp_path, "up", "--rounds", "2", "--speed", "max", "--json", "--market", "recorded")
    assert final.returncode == 0, final.stderr
    asyncio.run(_check_invariants(tmp_path))
    board = tideline(tmp_path, "leaderboard", "--json")
    assert board.returncode == 0 and {b["job_id"] for b in json.loads(board.stdout)} == {"usdc-weth", "wbtc-weth"}


async def _is_left_in_order(folder: Path) -> None:
    async with await Store.open(f"sqlite:///{folder}/.tideline/jobs.sqlite3", create=False) as store:
        assert await store.open_rounds() == []
        assert [job.job_id for job in await store.list_jobs(active_only=True)] == ["usdc-weth", "wbtc-weth"]


async def _check_invariants(folder: Path) -> None:
    """Every round is conclusive or void; reputations and participation are exactly what the stored scores add up to."""
    async with await Store.open(f"sqlite:///{folder}/.tideline/jobs.sqlite3", create=False) as store:
        assert await store.open_rounds() == []
        for job in await store.list_jobs():
            history = await store.round_history(job.job_id, limit=10_000)
            assert {row.status for row in history} <= {"completed", "inconclusive"}
            completed = [row.round_id for row in history if row.status == "completed"]
            assert len(completed) >= 2
            for round_id in completed:
                check(await load(store, round_id))
            expected: dict[str, Reputation] = {}
            rounds: dict[str, int] = {}
            for entry in sorted(
                await store.round_score_history(job.job_id, "evaluation"), key=lambda entry: entry.round_number
            ):
                if entry.scored:
                    old = expected.get(entry.hotkey, Reputation())
                    expected[entry.hotkey] = advance(old, entry.score_e18, "evaluation")
                    rounds[entry.hotkey] = rounds.get(entry.hotkey, 0) + 1
            for miner in await store.reputations(job.job_id):
                assert miner.evaluation_e18 == expected[miner.hotkey].evaluation_e18
                assert miner.evaluation_rounds == rounds[miner.hotkey]
            days = await store.participation(job.job_id, since_day=date(2020, 1, 1))
            assert sum(Fraction(d.conclusive_rounds) for d in days) == len(completed) * len(DEMO_MINERS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("up", "--rounds", "0"), "Invalid value for '--rounds'"),
        (("up", "--market", "moon"), "Invalid value for '--market'"),
        (("up", "--speed", "fast"), "use for example 1x, 500x or max"),
        (("up", "--speed", "0x"), "not a speed"),
        (("up", "--db", "mysql://x"), "unknown database scheme"),
        (("evidence", "verify", "nothing"), "database"),
        (("leaderboard",), "database"),
        (("replay", "no-such-file"), "no-such-file"),
        (("miner", "--strategy", "genius", "--dev-key", "//A", "--allow-validator", "x"), "genius"),
        (("validator",), "--netuid"),
        (("validator", "--dev-key", "//A", "--miner", "nonsense"), "HOTKEY@IP:PORT"),
    ],
)
def test_bad_input_costs_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = tideline(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".tideline").exists(), "nothing half-written"


def test_help_shows_every_command_with_examples(tmp_path: Path) -> None:
    shown = tideline(tmp_path, "--help").stdout
    for command in ("up", "validator", "miner", "jobs", "leaderboard", "replay", "evidence"):
        assert command in shown
        assert "tideline " + command in tideline(tmp_path, command, "--help").stdout
