"""kill -9 at every point of a transaction, on a real node: after a restart one execution, and no nonce left open."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.counter_chain import CounterChain, counter_chain

from db.store import Store

SCRIPT = Path(__file__).parent.parent / "support" / "executor_process.py"
WRITES = ("planned", "simulated", "signed", "sent", "mined", "confirmed", "reconciled")
POINTS = [f"{when} {name}" for name in (*WRITES, "send") for when in ("before", "after")]


@asynccontextmanager
async def mining(chain: CounterChain) -> AsyncIterator[None]:
    """Mine a block now and then."""

    async def mine() -> None:
        while True:
            await chain.mine()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(mine())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run(chain: CounterChain, database: str, deadline: int, *arguments: str) -> tuple[int, str]:
    root = SCRIPT.parent.parent.parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), chain.anvil.url, database, str(deadline), *arguments),
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def killed_and_run_again(tmp_path: Path, point: str, *arguments: str) -> tuple[int, int, str | None]:
    """Return how often the call was carried out, how many nonces were used, and the phase at the end of the last step;
    nothing where its intent has another name.
    """
    database = f"sqlite:///{tmp_path}/jobs.sqlite3"
    async with counter_chain() as chain, mining(chain):
        deadline = await chain.time() + 3600
        code, said = await run(chain, database, deadline, point, *arguments)
        assert code == -signal.SIGKILL, f"it was not killed {point}: {said}"
        await chain.mine()
        code, said = await run(chain, database, deadline, *arguments)
        assert code == 0, said
        async with await Store.open(database, create=False) as store:
            last = await store.get_transaction("e1#2") or await store.get_transaction("e1")
        return await chain.count(), await chain.nonce(), None if last is None else last.phase


@pytest.mark.parametrize("point", POINTS)
async def test_killed_anywhere_it_executes_once(tmp_path: Path, point: str) -> None:
    assert await killed_and_run_again(tmp_path, point) == (1, 1, "reconciled")


# Between the steps of an intent, and within a later one.
LATER = (
    "after reconciled",
    "before simulated@2",
    "after signed@2",
    "after send@2",
    "before mined@2",
    "before reconciled@3",
)


@pytest.mark.parametrize("point", LATER)
async def test_killed_between_steps_it_executes_each_once(tmp_path: Path, point: str) -> None:
    assert await killed_and_run_again(tmp_path, point, "--steps=3") == (3, 3, "reconciled")


async def test_without_remembering_its_steps_a_kill_executes_some_twice(tmp_path: Path) -> None:
    """The loss that writing all steps down before the first prevents."""
    done = await killed_and_run_again(tmp_path, "after reconciled@2", "--steps=3", "--afresh")
    assert done == (6, 6, None), "what was begun was brought to its end, and all of it was done once more"


async def test_without_storing_first_a_kill_executes_twice(tmp_path: Path) -> None:
    """The loss that the order of writing and sending prevents."""
    assert await killed_and_run_again(tmp_path, "after send", "--send-first") == (2, 2, "reconciled")
