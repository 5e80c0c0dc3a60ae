"""`tideline up` as a user runs it: beside the two markets a live round happens on chain, and whatever becomes of it
costs them nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Background, children_of, ends_of_children, have_ended, start, tideline

from db.records import Execution
from db.store import Store
from tideline.demo import LIVE_JOB_ID
from validator.verification import check, load

PAST_IS_TOLD = "the past first"
CALLS = "-0: calls 0x"


def up(folder: Path, *options: str, until: str) -> Background:
    """Start the main job and return when it has said something."""
    running = start(folder, "up", "--speed", "200x", *options, stdout=subprocess.PIPE)
    try:
        running.until(until)
    except BaseException:
        running.__exit__(None, None, None)
        raise
    return running


def end(running: Background, number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit code and what it wrote. None of its processes outlives it."""
    ends = ends_of_children(running.pid)
    running.signal(number)
    code = running.end()
    assert have_ended(ends) and running.process.stdout is not None
    return code, running.process.stdout.read()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str], str]]:
    """Run it until the live round was shown and the markets have gone on; yield folder, what it told, what it wrote."""
    folder = tmp_path_factory.mktemp("shown")
    with up(folder, "--json", until="recomputes the score") as running:
        running.until("usdc-weth      evaluation round")
        code, out = end(running, signal.SIGINT)
    assert code == 0, running.lines
    yield folder, running.lines, out


@pytest.fixture
def again(shown: tuple[Path, list[str], str], tmp_path: Path) -> Path:
    """The same once more: a folder in which the seven days are played already."""
    shutil.copytree(shown[0], tmp_path / "again")
    return tmp_path / "again"


async def executions(store: Store) -> list[Execution]:
    return [e for e in await store.executions(LIVE_JOB_ID) if e.mode == "chain"]


async def is_in_order(folder: Path, *, live_rounds: int) -> str:
    """Assert that nothing is open, the job paused and every live round recomputable; return the last transaction."""
    async with await Store.open(f"sqlite:///{folder}/.tideline/jobs.sqlite3", create=False) as store:
        assert await store.open_rounds() == []
        assert [job.job_id for job in await store.list_jobs(active_only=True)] == ["usdc-weth", "wbtc-weth"]
        done = [e for e in await executions(store) if e.status == "reconciled"]
        assert len(done) == live_rounds and all(e.gas_used for e in done)
        for execution in done:
            assert check(await load(store, execution.round_id)).participants[0].is_scored
        assert done[0].tx_hash is not None
        return done[0].tx_hash


def test_a_live_round_on_chain_is_shown_beside_the_markets(shown: tuple[Path, list[str], str]) -> None:
    """The transaction, what the vault then holds, what it cost and what it earned; and nothing is left behind."""
    folder, told, out = shown
    said = "".join(told)
    assert PAST_IS_TOLD in said
    [(tx_hash, _)] = re.findall(
        r"wbtc-weth-live ON CHAIN: (0x\w{64}) in block \d+, gas (\d+) for 0\.\d{8} native, loss in NAV", said
    )
    assert re.search(r"the vault now holds -?\d+\.\.-?\d+ \(\d+\)", said)
    assert re.search(r"live score of narrow-band .* bp of the vault's NAV: fees earned \+.* gas -.* NAV against", said)
    assert f", {tx_hash}" in next(line for line in told if line.startswith("executor ") and "reconciled" in line)
    assert "played by another validator" not in said and "not shown" not in said
    assert len(re.findall(r"wbtc-weth-live evaluation round \d+ of ", said)) == 1, "the service left the job alone"
    summary = json.loads(out.splitlines()[-1])
    assert (summary["live_rounds"], summary["live_executions"], summary["inconclusive"]) == (1, 1, 0)
    assert summary["rounds"] > 1 and summary["jobs"] == 3 and summary["weights_set"] > 0
    assert f"{LIVE_JOB_ID}  (pol, weight 0, paused; " in out
    assert "evaluation round 1 of" in said and "evaluation round 2 opens" in said, "the markets played on"
    assert asyncio.run(is_in_order(folder, live_rounds=1)) == tx_hash
    assert [path.name for path in (folder / ".tideline").iterdir() if path.is_dir()] == []


def test_killed_in_the_middle_it_begins_anew_without_the_past(again: Path) -> None:
    with up(again, until=CALLS) as running:
        assert not any(PAST_IS_TOLD in line for line in running.lines)
        assert len(children_of(running.pid)) == 4, "three devnets and the executor"
        assert end(running, signal.SIGKILL)[0] == -signal.SIGKILL
    bounded = tideline(again, "up", "--rounds", "1", "--market", "recorded", "--speed", "max", "--quiet")
    assert bounded.returncode == 0 and "tideline up --live shows" in bounded.stderr
    assert not any(line.startswith(LIVE_JOB_ID) for line in bounded.stderr.splitlines())
    asyncio.run(is_in_order(again, live_rounds=1))
    alone = tideline(again, "up", "--live", "--quiet", "--json")
    assert alone.returncode == 0 and PAST_IS_TOLD not in alone.stderr, alone.stderr
    summary = json.loads(alone.stdout.splitlines()[-1])
    assert (summary["rounds"], summary["live_rounds"], summary["live_executions"]) == (1, 1, 1)
    assert f"ON CHAIN: {asyncio.run(is_in_order(again, live_rounds=2))}" in alone.stderr


def test_an_executor_that_dies_is_told_in_a_line_and_the_markets_play_on(again: Path) -> None:
    with up(again, until=CALLS) as running:
        [executor] = [
            pid for pid in children_of(running.pid) if b"executor" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(executor, signal.SIGKILL)
        told = running.until("the live round on chain is not shown")
        assert told.startswith(LIVE_JOB_ID) and "the executor ended by itself (exit_code=-9)" in told
        running.until("usdc-weth      evaluation round")
        running.until("usdc-weth      evaluation round")
        assert len(children_of(running.pid)) == 2, "the markets' devnets"
        assert end(running, signal.SIGTERM)[0] == 0
    asyncio.run(is_in_order(again, live_rounds=1))
