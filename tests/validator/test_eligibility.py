"""Who may play live, from what is stored: the last winner, fit, registered, and as surely better as the job wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.rows import CHAIN_TIME, DAY, make_finish, make_job, make_score, make_start

from db.store import Store
from protocol.units import Hotkey
from validator.eligibility import live_candidate
from validator.reputation import advance

ALICE = Hotkey("alice")
TODAY = datetime.fromtimestamp(CHAIN_TIME, UTC).date()
# The mean is 3.99 times its standard error: positive with 99.74 %, by Student's t with 7 degrees of freedom.
SCORES = (3, 1, 4, 1, 5, 9, 2, 6)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        await opened.add_job(make_job())
        for number, score in enumerate(SCORES, 1):
            start = make_start(number, start_timestamp=CHAIN_TIME - (len(SCORES) + 1 - number) * DAY)
            await opened.start_round(start)
            await opened.finish_round(make_finish(start, make_score(ALICE, score), winner_hotkey=ALICE), advance)
        yield opened


async def test_the_last_winner_may_play_if_fit_and_registered(store: Store) -> None:
    job = make_job()
    assert await live_candidate(store, job, {ALICE: 1}, TODAY) == ALICE
    assert await live_candidate(store, job, {ALICE: 0}, TODAY) is None
    assert await live_candidate(store, job, {Hotkey("bob"): 1}, TODAY) is None
    assert await live_candidate(store, job, {ALICE: 1}, TODAY + timedelta(days=1)) == ALICE
    assert await live_candidate(store, job, {ALICE: 1}, TODAY + timedelta(days=2)) is None
    assert await live_candidate(store, make_job("another"), {ALICE: 1}, TODAY) is None


@pytest.mark.parametrize(("wanted_ppm", "may"), [(997_000, True), (998_000, False)])
async def test_a_job_may_want_to_be_sure_first(store: Store, wanted_ppm: int, *, may: bool) -> None:
    found = await live_candidate(store, make_job(live_confidence_ppm=wanted_ppm), {ALICE: 1}, TODAY)
    assert found == (ALICE if may else None)


async def test_what_an_earlier_registration_has_shown_makes_nobody_sure(store: Store) -> None:
    start = make_start(9, start_timestamp=CHAIN_TIME)
    await store.start_round(start)
    anew = make_score(ALICE, 10, registered_at_block=200)
    await store.finish_round(make_finish(start, anew, winner_hotkey=ALICE), advance)
    rows = await store.participation("weth-usdc", since_day=TODAY - timedelta(days=8))
    assert [row.day for row in rows] == [TODAY], "its days are gone, too"
    assert await live_candidate(store, make_job(live_confidence_ppm=1), {ALICE: 1}, TODAY) is None
