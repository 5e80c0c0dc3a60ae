import pytest
from support.strategy_rounds import play_rounds

from miner.strategies import NAMES, build
from simulator.round import Noted, Outcome
from tideline.demo import demo_jobs

ROUNDS = 3


@pytest.mark.parametrize("job", demo_jobs(), ids=lambda job: str(job.job_id))
async def test_every_strategy_plays_recorded_rounds_without_an_invalid_answer(job) -> None:  # type: ignore[no-untyped-def]
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
