"""`tideline executor` as a process: what it refuses to start with, its dry run, and kill -9 in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import support.deadly_executor
from support.executor_desk import KEEPER_KEY, NARROW, VALIDATOR, WIDE, Office, office
from support.processes import Background, environment, start, tideline
from support.signed_rounds import MINER_KEYS
from support.vault_anvil import UNIT

from db.records import Execution
from db.store import Store
from executor.standing import standing_of
from simulator.plan import Desired
from tideline.cli import run

WISH = (Desired(WIDE, 5 * UNIT, 5 * UNIT), Desired(NARROW, UNIT, UNIT))
DB = "sqlite:///jobs.sqlite3"
NODE = "http://127.0.0.1:1"
VAULT = "0x" + "ab" * 20
MINER, OTHER_MINER = MINER_KEYS


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no --rpc is given"),
        (("--rpc", "ftp://x"), "is not an http:// or https:// URL"),
        (("--rpc", NODE), "name the keeper's key"),
        (("--rpc", NODE, "--key", "env:K"), "name every vault"),
        (("--rpc", NODE, "--key", "env:K", "--allow", "0x12"), "is no address"),
        (("--rpc", NODE, "--key", KEEPER_KEY, "--allow", VAULT), "a key itself is never taken"),
        (("--rpc", NODE, "--key", "env:NO_SUCH", "--allow", VAULT), "is not set"),
        (("--rpc", NODE, "--key", "env:K", "--allow", VAULT, "--live"), "by its hotkey: --validator SS58"),
    ],
)
def test_what_it_does_not_start_with(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str) -> None:
    assert run(["executor", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and KEEPER_KEY[2:] not in said


def test_the_kill_switch_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = ("--db", f"sqlite:///{tmp_path}/jobs.sqlite3")
    assert run(["jobs", "migrate", *database]) == 0
    told = []
    for command in (("status",), ("halt", "--reason", "odd"), ("status",), ("resume",), ("status",)):
        capsys.readouterr()
        assert run(["executor", *command, *database]) == 0
        told.append(capsys.readouterr().out.strip())
    nothing = {"halted": False, "reason": "", "executions": []}
    assert [json.loads(told[n]) for n in (0, 2, 4)] == [nothing, {**nothing, "halted": True, "reason": "odd"}, nothing]
    assert (told[1], told[3]) == ("halted", "resumed")


def command(here: Office) -> tuple[str, ...]:
    chain = here.made.chain
    trusted = ("--allow", here.made.vault, "--factory", chain.factory, "--validator", VALIDATOR)
    return ("executor", "--rpc", chain.anvil.url, "--db", DB, "--key", "env:K", *trusted)


async def test_a_dry_run_needs_no_lease_and_changes_nothing(here: Office, tmp_path: Path) -> None:
    intent = await here.want(*WISH)
    await here.transactor("somebody else")
    done = await asyncio.to_thread(tideline, tmp_path, *command(here), "--once", env={"K": KEEPER_KEY})
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    assert first.endswith("dry run, nothing is signed") and second.startswith(f"e1: would call {here.made.vault} with ")
    assert (await here.ended(intent), await here.rebalances()) == (intent, 0)


async def test_a_dry_run_holds_intents_against_a_signature_where_a_validator_is_named(
    here: Office, tmp_path: Path
) -> None:
    """On the command line or in the environment; without one that is said, once."""
    intent = await here.want(*WISH)
    nobody = [word for word in command(here) if word not in ("--validator", VALIDATOR)]
    done = await asyncio.to_thread(tideline, tmp_path, *nobody, "--once", env={"K": KEEPER_KEY})
    _, second, third = done.stderr.splitlines()
    assert (second, third[:15]) == ("without --validator no plan is held against a signature", "e1: would call ")
    env = {"K": KEEPER_KEY, "TIDELINE_VALIDATOR": f"{MINER} {OTHER_MINER}"}
    done = await asyncio.to_thread(tideline, tmp_path, *nobody, "--once", env=env)
    [_, refused] = done.stderr.splitlines()
    assert refused == f"e1: refused: the intent is of {VALIDATOR}, which --validator does not name"
    assert (await here.ended(intent), await here.rebalances()) == (intent, 0)


async def test_where_no_factory_is_known_one_is_named(here: Office, tmp_path: Path) -> None:
    words = [word for word in command(here) if word not in ("--factory", here.made.chain.factory)]
    done = await asyncio.to_thread(tideline, tmp_path, *words, "--once", env={"K": KEEPER_KEY})
    assert done.returncode == 2 and "no factory is known on chain 31337" in done.stderr


async def test_a_second_executor_with_the_key_is_refused(here: Office, tmp_path: Path) -> None:
    await here.want(*WISH)
    async with await Store.open(here.url, create=False) as store:  # on the machine's clock, as the process is
        await store.take_key(31337, here.keeper, "somebody else", seconds=3600)
    done = await asyncio.to_thread(tideline, tmp_path, *command(here), "--once", "--live", env={"K": KEEPER_KEY})
    assert done.returncode == 2 and "another executor signs with" in done.stderr


async def waiting(here: Office) -> bool:
    """Whether the node has a transaction that is in no block."""
    return int((await here.made.chain.ask("txpool_status"))["pending"], 16) > 0


async def mined_until_it_ends(here: Office, process: Background) -> int:
    """Mine once something has been sent, so that no deadline passes before; return the exit code."""
    ending = asyncio.create_task(asyncio.to_thread(process.end))
    while not ending.done():
        if await waiting(here) or await here.rebalances():
            await here.made.chain.mine()
        await asyncio.wait({ending}, timeout=0.2)
    return await ending


async def killed(here: Office, folder: Path, stage: str) -> None:
    """Start an executor and kill it at a stage of its transaction."""
    with start(folder, *command(here), "--live", env={"K": KEEPER_KEY}) as process:
        await asyncio.to_thread(process.until, "e1: calls ")
        while stage != "called" and not await waiting(here):
            assert process.process.poll() is None, "it ended by itself"
        if stage == "mined":
            await here.made.chain.mine()
        process.signal(signal.SIGKILL)
        assert await asyncio.to_thread(process.end) == -signal.SIGKILL


def deadly(here: Office, folder: Path, point: str) -> Background:
    """Start an executor that dies at one use of its database."""
    script = Path(support.deadly_executor.__file__)
    paths = {"PYTHONPATH": f"{script.parents[1]}{os.pathsep}{script.parents[2]}", "K": KEEPER_KEY}
    arguments = [sys.executable, str(script), point, *command(here)[1:], "--live", "--once"]
    env = environment(**paths)
    return Background(subprocess.Popen(arguments, cwd=folder, env=env, stderr=subprocess.PIPE, text=True))


async def ended(here: Office, intent: Execution) -> dict[str, object]:
    done = await here.ended(intent)
    amounts = json.loads(done.amounts or "{}")
    assert amounts["realised"] == standing_of(await here.fork()).to_json()
    return {"status": done.status, "is_exact": amounts["is_exact"], "rebalances": await here.rebalances()}


@pytest.mark.parametrize("stage", ["called", "sent", "mined"])
async def test_killed_in_the_middle_it_rebalances_once(here: Office, tmp_path: Path, stage: str) -> None:
    intent = await here.want(*WISH)
    await killed(here, tmp_path, stage)
    for _ in range(2):
        with start(tmp_path, *command(here), "--live", "--once", env={"K": KEEPER_KEY}) as process:
            assert await mined_until_it_ends(here, process) == 0, process.lines
    assert await ended(here, intent) == {"status": "reconciled", "is_exact": True, "rebalances": 1}


@pytest.mark.parametrize("write", ["planned", "reconciled"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_a_write_it_rebalances_once(here: Office, tmp_path: Path, when: str, write: str) -> None:
    """The writes that are this process's own; those of a transaction on its way stand in test_executor_crash."""
    intent = await here.want(*WISH)
    with deadly(here, tmp_path, f"{when} {write}") as dying:
        assert await mined_until_it_ends(here, dying) == -signal.SIGKILL, dying.lines
    with start(tmp_path, *command(here), "--live", "--once", env={"K": KEEPER_KEY}) as process:
        assert await mined_until_it_ends(here, process) == 0, process.lines
    assert await ended(here, intent) == {"status": "reconciled", "is_exact": True, "rebalances": 1}
