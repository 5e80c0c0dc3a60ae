from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.rows import CHAIN_TIME, RECORDED, add_up, make_finish, make_job, make_score, make_start, open_round

from db.job import validate_job
from db.store import Store
from protocol.errors import ConfigError, StoreError
from protocol.units import MAX_UINT256


class Clock:
    def __init__(self) -> None:
        self.now = CHAIN_TIME

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
async def ticking(database_url: str) -> AsyncIterator[Store]:
    async with await Store.open(database_url, create=True, clock=Clock()) as opened:
        yield opened


async def test_a_job_is_stored_exactly(ticking: Store) -> None:
    given_job = validate_job(
        {
            **RECORDED,
            "weight": "0.000001",
            "gas_price_wei": MAX_UINT256,
            "native_rate_num": MAX_UINT256 - 1,
            "native_rate_den": 1,
            "is_active": False,
        }
    )
    expected = replace(given_job, revision=1, created_at=CHAIN_TIME + 1, updated_at=CHAIN_TIME + 1)
    assert await ticking.add_job(given_job) == expected
    assert await ticking.get_job("weth-usdc") == expected
    assert await ticking.list_jobs() == [expected]
    assert await ticking.list_jobs(active_only=True) == []


async def test_the_same_id_twice_is_refused(ticking: Store) -> None:
    first = await ticking.add_job(make_job())
    with pytest.raises(ConfigError, match="job weth-usdc exists; choose another id"):
        await ticking.add_job(make_job(weight="2"))
    assert await ticking.list_jobs() == [first]


async def test_fifty_at_once_add_one(store: Store) -> None:
    results = await asyncio.gather(*(store.add_job(make_job()) for _ in range(50)), return_exceptions=True)
    assert sum(not isinstance(result, ConfigError | StoreError) for result in results) == 1
    assert len(await store.list_jobs()) == 1


async def test_a_change_bumps_the_revision(ticking: Store) -> None:
    first = await ticking.add_job(make_job())
    changed = await ticking.update_job("weth-usdc", {"weight": "2.50", "chain_id": 1})
    assert changed == replace(first, weight=Decimal("2.5"), chain_id=1, revision=2, updated_at=first.updated_at + 1)
    assert await ticking.get_job("weth-usdc") == changed


async def test_no_change_keeps_the_revision(ticking: Store) -> None:
    first = await ticking.add_job(make_job())
    assert await ticking.update_job("weth-usdc", {"weight": "1.0", "is_active": True}) == first
    assert await ticking.get_job("weth-usdc") == first


async def test_concurrent_changes_are_all_kept(store: Store) -> None:
    await store.add_job(make_job())
    changes = [{"weight": "3"}, {"chain_id": 10}, {"max_pool_share": 5}, {"round_duration_seconds": 60}]
    await asyncio.gather(*(store.update_job("weth-usdc", change) for change in changes))
    job = await store.get_job("weth-usdc")
    assert job is not None
    assert (job.weight, job.chain_id, job.max_pool_share, job.round_duration_seconds, job.revision) == (3, 10, 5, 60, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint_interval_blocks": 0}, "checkpoint_interval_blocks must be"),
        ({"job_id": "other"}, "keeps its job_id"),
        ({"feed": "recorded"}, "needs record"),
        ({"colour": "red"}, "unknown job setting"),
    ],
)
async def test_an_invalid_change_changes_nothing(store: Store, changes: dict[str, object], message: str) -> None:
    first = await store.add_job(make_job())
    with pytest.raises(ConfigError, match=message):
        await store.update_job("weth-usdc", changes)
    assert await store.get_job("weth-usdc") == first


async def test_pause_and_resume(ticking: Store) -> None:
    first = await ticking.add_job(make_job())
    paused = await ticking.set_job_active("weth-usdc", active=False)
    assert (paused.is_active, paused.revision) == (False, 2)
    assert await ticking.list_jobs(active_only=True) == []
    resumed = await ticking.set_job_active("weth-usdc", active=True)
    assert resumed == replace(first, revision=3, updated_at=first.updated_at + 2)


async def test_a_job_without_rounds_is_deleted(store: Store) -> None:
    await store.add_job(make_job())
    await store.remove_job("weth-usdc")
    assert await store.get_job("weth-usdc") is None
    await store.add_job(make_job())


async def test_a_job_with_rounds_is_hidden_and_its_history_kept(store: Store) -> None:
    start = await open_round(store, 1)
    with pytest.raises(ConfigError, match="has 1 rounds"):
        await store.remove_job("weth-usdc")
    await store.remove_job("weth-usdc", force=True)

    assert await store.get_job("weth-usdc") is None
    assert await store.list_jobs() == []
    with pytest.raises(ConfigError, match="was removed and its history is kept; choose another id"):
        await store.add_job(make_job())
    with pytest.raises(StoreError, match="was removed"):
        await store.start_round(make_start(2))
    # A round that was under way may still end.
    assert await store.finish_round(make_finish(start, make_score("alice", 1)), add_up) is True
    assert len(await store.reputations("weth-usdc")) == 1


async def test_an_unknown_job(store: Store) -> None:
    assert await store.get_job("nowhere") is None
    for call in (
        store.update_job("nowhere", {"weight": "2"}),
        store.set_job_active("nowhere", active=False),
        store.remove_job("nowhere"),
    ):
        with pytest.raises(ConfigError, match="there is no job nowhere"):
            await call
    with pytest.raises(StoreError, match="no such job"):
        await store.start_round(make_start(1, "nowhere"))


async def test_a_row_spoilt_by_hand_is_left_out(tmp_path: object, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite3"
    async with await Store.open(url, create=True) as store:
        good = await store.add_job(make_job("good"))
        await store.add_job(make_job("spoilt"))
        with sqlite3.connect(f"{tmp_path}/jobs.sqlite3") as file:
            file.execute("UPDATE jobs SET checkpoint_interval_blocks = 0 WHERE job_id = 'spoilt'")
        file.close()
        assert await store.list_jobs() == [good]
        assert "checkpoint_interval_blocks" in caplog.text
        with pytest.raises(StoreError, match="invalid job"):
            await store.get_job("spoilt")


async def test_one_holder_at_a_time(database_url: str) -> None:
    now = CHAIN_TIME

    def clock() -> int:
        return now

    async with await Store.open(database_url, create=True, clock=clock) as store:
        job = await store.add_job(make_job())
        takers = [store.lease_job("weth-usdc", f"validator{n}", seconds=30) for n in range(20)]
        taken = await asyncio.gather(*takers)
        assert sum(taken) == 1
        holder = f"validator{taken.index(True)}"
        assert await store.lease_job("weth-usdc", holder, seconds=30) is True
        now += 29
        assert await store.lease_job("weth-usdc", "other", seconds=30) is False
        now += 1
        assert await store.lease_job("weth-usdc", "other", seconds=30) is True
        await store.release_job("weth-usdc", holder)  # no longer its to give back
        assert await store.lease_job("weth-usdc", holder, seconds=30) is False
        await store.release_job("weth-usdc", "other")
        assert await store.lease_job("weth-usdc", holder, seconds=30) is True
        assert await store.lease_job("nowhere", holder, seconds=30) is False
        assert await store.get_job("weth-usdc") == job  # a lease is no change of the job


@given(st.integers(0, MAX_UINT256), st.integers(1, MAX_UINT256))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_256_bit_setting_comes_back(store: Store, num: int, den: int) -> None:
    if await store.get_job("weth-usdc") is None:
        await store.add_job(make_job())
    changes = {"gas_price_wei": num, "native_rate_num": den, "native_rate_den": str(den)}
    await store.update_job("weth-usdc", changes)
    job = await store.get_job("weth-usdc")
    assert job is not None
    assert (job.gas_price_wei, job.native_rate_num, job.native_rate_den) == (num, den, den)
    assert json.loads(json.dumps(job.to_mapping()))["gas_price_wei"] == str(num)
