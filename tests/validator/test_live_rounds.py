"""Live rounds on chain, from the winner's answer to its score: the vault is real, the executor ours, the node anvil."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.live_world import JOB, OTHER, WINNER, LiveWorld, intents, live_world, reputation, seed_days, validating

from validator.progress import PlanExecuted, RoundClosed, RoundVoided, Trouble, VaultScored
from validator.verification import check, load


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LiveWorld]:
    async with live_world(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


async def test_seven_days_then_a_live_round_on_chain(world: LiveWorld) -> None:
    world.days_left = 9
    async with validating(world, rounds=11) as watch:
        pass
    print([e for e in watch.events if isinstance(e, (RoundVoided, Trouble, RoundClosed, PlanExecuted, VaultScored))])
    print(await intents(world))
    print(await reputation(world))
    assert 0
