import time
from pathlib import Path

import pytest
from support.queries import Shape, make_query
from support.strategy_rounds import play_rounds

from db.job import Job
from miner.memory import Memory, observe
from miner.remembering import job_key, save
from miner.strategies import NAMES, build
from simulator.round import Noted, Outcome
from tideline.demo import demo_jobs

ROUNDS = 3


@pytest.mark.parametrize("name", NAMES)
def test_a_decision_takes_milliseconds_of_the_processor(name: str, tmp_path: Path) -> None:
    """A full memory of four days and a half, written to a file after each answer; the deadline is a minute."""
    path, memory = tmp_path / "memory.json", Memory()
    for step in range(420):
        query = make_query(Shape(tick=step % 40, timestamp=1_700_000_100 + 900 * step))
        memory = observe(memory, query, float(step % 40))
    save(path, {job_key(query): memory})
    strategy = build(name, {}, memory=path)
    begun = time.thread_time()
    for step in range(420, 430):
        strategy.decide(make_query(Shape(tick=step % 40, timestamp=1_700_000_100 + 900 * step)))
    assert (time.thread_time() - begun) / 10 < 0.25


@pytest.mark.parametrize("job", demo_jobs(), ids=lambda job: str(job.job_id))
async def test_every_strategy_plays_recorded_rounds_without_an_invalid_answer(job: Job) -> None:
    strategies = {name: build(name, {}) for name in NAMES}
    played = await play_rounds(job, strategies, ROUNDS)
    assert len(played) == ROUNDS
    for one in played:
        outcomes = {p.hotkey: p.outcome for p in one.result.participants}
        assert set(outcomes) == set(NAMES)
        assert set(outcomes.values()) <= {Outcome.ACCEPTED, Outcome.KEPT}
        assert outcomes["hold"] is Outcome.KEPT
        assert {note.noted for _, note in one.notes} <= {Noted.PLANNED, Noted.KEPT}
        assert not any(note.plan and note.plan.swap for _, note in one.notes)
        assert all(": kept, " not in said for said in one.said)  # nobody raised, was late or was corrected
        assert all(p.ledger is not None and p.ledger.residual_x192 == 0 for p in one.result.participants)
    planned = {name for one in played for name, note in one.notes if note.noted is Noted.PLANNED}
    assert planned >= set(NAMES) - {"hold"} - ({"wide"} if job.job_id == "wbtc-weth" else set())
