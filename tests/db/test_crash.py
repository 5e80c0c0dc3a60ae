from __future__ import annotations

import asyncio
import os
import sys
from datetime import date
from pathlib import Path

import support.crashing
from support.rows import add_up, make_finish, make_score, make_start, open_round

from db.store import Store

ROUNDS = 14


async def test_a_process_killed_at_any_statement_leaves_everything_or_nothing(store: Store, database_url: str) -> None:
    for number in range(1, ROUNDS + 1):
        await open_round(store, number)
    script = Path(support.crashing.__file__)
    root = script.parent.parent
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        database_url,
        str(ROUNDS),
        env={**os.environ, "PYTHONPATH": f"{root}:{root.parent}"},
    )
    assert await process.wait() == 0

    statuses = []
    for number in range(1, ROUNDS + 1):
        stored = await store.get_round(make_start(number).round_id)
        assert stored is not None
        scores = await store.scores_of_round(stored.round_id)
        evidence = await store.evidence_of_round(stored.round_id)
        assert (len(scores), evidence is not None) == ((2, True) if stored.status == "completed" else (0, False))
        statuses.append(stored.status)
    finished = sum(10**number for number, status in enumerate(statuses, start=1) if status == "completed")
    assert statuses == sorted(statuses)  # killed early: nothing; killed late or not at all: everything
    assert set(statuses) == {"active", "completed"}
    assert {miner.hotkey: miner.evaluation_e18 for miner in await store.reputations("weth-usdc")} == {
        "alice": finished,
        "bob": statuses.count("completed"),
    }

    for number, status in enumerate(statuses, start=1):
        if status == "active":
            result = make_finish(make_start(number), make_score("alice", 10**number), make_score("bob", 1))
            assert await store.finish_round(result, add_up) is True
    alice, bob = await store.reputations("weth-usdc")
    assert (alice.evaluation_e18, bob.evaluation_e18) == (sum(10**n for n in range(1, ROUNDS + 1)), ROUNDS)
    assert {row.conclusive_rounds for row in await store.participation("weth-usdc", date(2000, 1, 1))} == {ROUNDS}
