from __future__ import annotations

import asyncio
from datetime import date

import pytest
from support.rows import (
    CHAIN_TIME,
    DAY,
    add_up,
    make_finish,
    make_score,
    open_round,
)

from db.records import MinerScore, Participation, Reputation, RoundType
from db.store import Store
from protocol.errors import StoreError
from protocol.units import Hotkey, JobId, RoundId, Uid

BIG = 2**255 + 12345
TODAY = date(2023, 11, 14)


def average(old: Reputation, score_e18: int, round_type: RoundType) -> Reputation:
    assert round_type in ("evaluation", "live")
    return Reputation((old.evaluation_e18 + score_e18) // 2, old.live_e18)


async def test_finish_writes_everything(store: Store) -> None:
    start = await open_round(store, 1)
    alice = make_score("alice", -BIG, ledger='{"fees0":"1"}', flags='["large"]')
    bob = make_score("bob", 5, uid=Uid(8))
    carol = make_score("carol", 0, uid=Uid(9), outcome="refused", scored=False, can_win=False)
    result = make_finish(start, alice, bob, carol, winner_hotkey=Hotkey("bob"))

    assert await store.finish_round(result, add_up) is True

    stored = await store.get_round(start.round_id)
    assert stored is not None
    assert (stored.status, stored.winner_hotkey, stored.end_block, stored.end_timestamp, stored.closed_at) == (
        "completed",
        "bob",
        result.end_block,
        result.end_timestamp,
        1_700_000_000,
    )
    assert (stored.evidence_digest, stored.evidence_signature) == (result.evidence_digest, "0x00")
    assert await store.evidence_of_round(start.round_id) == result.evidence
    scores = await store.scores_of_round(start.round_id)
    assert [(score.hotkey, score.score_e18, score.is_winner) for score in scores] == [
        ("alice", -BIG, False),
        ("bob", 5, True),
        ("carol", 0, False),
    ]
    assert scores[0] == alice
    assert await store.reputations("weth-usdc") == [
        MinerScore(
            job_id=JobId("weth-usdc"),
            hotkey=Hotkey("alice"),
            uid=Uid(7),
            evaluation_e18=-BIG,
            live_e18=0,
            combined_e18=Reputation(-BIG, 0).combined_e18,
            evaluation_rounds=1,
            live_rounds=0,
            wins=0,
            last_round_id=start.round_id,
            registered_at_block=100,
        ),
        MinerScore(
            job_id=JobId("weth-usdc"),
            hotkey=Hotkey("bob"),
            uid=Uid(8),
            evaluation_e18=5,
            live_e18=0,
            combined_e18=3,
            evaluation_rounds=1,
            live_rounds=0,
            wins=1,
            last_round_id=start.round_id,
            registered_at_block=100,
        ),
    ]
    assert await store.participation("weth-usdc", TODAY) == [
        Participation(JobId("weth-usdc"), Hotkey("alice"), TODAY, 1, 1),
        Participation(JobId("weth-usdc"), Hotkey("bob"), TODAY, 1, 1),
        Participation(JobId("weth-usdc"), Hotkey("carol"), TODAY, 0, 1),
    ]


async def test_finish_again_changes_nothing(store: Store) -> None:
    start = await open_round(store, 1)
    result = make_finish(start, make_score("alice", 10))
    assert await store.finish_round(result, average) is True
    before = (await store.reputations("weth-usdc"), await store.participation("weth-usdc", TODAY))

    assert await store.finish_round(result, average) is False

    assert (await store.reputations("weth-usdc"), await store.participation("weth-usdc", TODAY)) == before


async def test_another_result_for_the_same_round_is_refused(store: Store) -> None:
    start = await open_round(store, 1)
    await store.finish_round(make_finish(start, make_score("alice", 10)), average)
    with pytest.raises(StoreError, match="another result"):
        await store.finish_round(make_finish(start, make_score("alice", 11), evidence_digest="00" * 32), average)


async def test_rounds_follow_each_other(store: Store) -> None:
    for number, score in enumerate((8, -4, 100), start=1):
        start = await open_round(store, number)
        await store.finish_round(make_finish(start, make_score("alice", score)), average)
    (alice,) = await store.reputations("weth-usdc")
    assert (alice.evaluation_e18, alice.evaluation_rounds, alice.last_round_id) == (50, 3, "weth-usdc_evaluation_3")


async def test_live_rounds_move_the_live_average(store: Store) -> None:
    start = await open_round(store, 1, round_type="live")
    await store.finish_round(make_finish(start, make_score("alice", 9)), add_up)
    (alice,) = await store.reputations("weth-usdc")
    assert (alice.evaluation_e18, alice.live_e18, alice.evaluation_rounds, alice.live_rounds) == (0, 9, 0, 1)
    assert await store.participation("weth-usdc", TODAY) == []  # only evaluations count for participation


async def test_what_is_our_fault_touches_nobody(store: Store) -> None:
    start = await open_round(store, 1)
    ours = make_score("alice", 0, outcome="inconclusive", scored=False, can_win=False)
    await store.finish_round(make_finish(start, ours), add_up)
    assert await store.reputations("weth-usdc") == []
    assert await store.participation("weth-usdc", TODAY) == []


async def test_a_hotkey_registered_anew_starts_afresh(store: Store) -> None:
    for number in (1, 2):
        start = await open_round(store, number, start_timestamp=CHAIN_TIME - DAY * (2 - number))
        await store.finish_round(make_finish(start, make_score("alice", 10)), add_up)
    late = await open_round(store, 3)
    start = await open_round(store, 4)

    await store.finish_round(make_finish(start, make_score("alice", 1, registered_at_block=200)), add_up)

    (alice,) = await store.reputations("weth-usdc")
    assert (alice.evaluation_e18, alice.evaluation_rounds, alice.registered_at_block) == (1, 1, 200)
    days = [Participation(JobId("weth-usdc"), Hotkey("alice"), TODAY, 1, 1)]
    assert await store.participation("weth-usdc", date(2000, 1, 1)) == days

    # A round of the old self that ends later is history only.
    await store.finish_round(make_finish(late, make_score("alice", 50)), add_up)

    assert await store.reputations("weth-usdc") == [alice]
    assert await store.participation("weth-usdc", date(2000, 1, 1)) == days
    assert [score.score_e18 for score in await store.scores_of_round(late.round_id)] == [50]


async def test_a_hotkey_registered_anew_starts_afresh_even_unscored(store: Store) -> None:
    start = await open_round(store, 1)
    await store.finish_round(make_finish(start, make_score("alice", 10)), add_up)
    start = await open_round(store, 2)
    refused = make_score("alice", 0, scored=False, can_win=False, outcome="refused", registered_at_block=200)
    await store.finish_round(make_finish(start, refused), add_up)
    (alice,) = await store.reputations("weth-usdc")
    assert (alice.evaluation_e18, alice.evaluation_rounds, alice.registered_at_block) == (0, 0, 200)


@pytest.mark.parametrize(
    ("scores", "winner", "message"),
    [
        ((make_score("alice", 1), make_score("alice", 2)), None, "scored twice"),
        ((make_score("alice", 1),), "bob", "not among those who can win"),
        ((make_score("alice", 1, can_win=False),), "alice", "not among those who can win"),
        ((make_score("alice", 0, scored=False),), "alice", "not among those who can win"),
        ((make_score("alice", 2**256),), None, "exceeds 256 bits"),
    ],
)
async def test_an_impossible_result_leaves_no_trace(
    store: Store, scores: tuple[object, ...], winner: str | None, message: str
) -> None:
    start = await open_round(store, 1)
    with pytest.raises(StoreError, match=message):
        await store.finish_round(make_finish(start, scores=scores, winner_hotkey=winner), add_up)
    assert await store.open_rounds() == [await store.get_round(start.round_id)]
    assert await store.scores_of_round(start.round_id) == []
    assert await store.evidence_of_round(start.round_id) is None


async def test_an_error_in_the_middle_leaves_no_trace(store: Store) -> None:
    start = await open_round(store, 1)

    def fails_at_bob(old: Reputation, score_e18: int, round_type: RoundType) -> Reputation:
        if score_e18 == 2:
            raise ZeroDivisionError
        return add_up(old, score_e18, round_type)

    with pytest.raises(ZeroDivisionError):
        await store.finish_round(make_finish(start, make_score("alice", 1), make_score("bob", 2)), fails_at_bob)
    assert await store.scores_of_round(start.round_id) == []
    assert await store.reputations("weth-usdc") == []
    assert await store.finish_round(make_finish(start, make_score("alice", 1)), add_up) is True


async def test_unknown_and_voided_rounds_cannot_be_finished(store: Store) -> None:
    start = await open_round(store, 1)
    await store.void_round(start.round_id, "reorg")
    with pytest.raises(StoreError, match="voided"):
        await store.finish_round(make_finish(start), add_up)
    with pytest.raises(StoreError, match="no such round"):
        await store.finish_round(make_finish(start, round_id=RoundId("nowhere")), add_up)


async def test_fifty_at_once_on_the_same_round_count_once(store: Store, database_url: str) -> None:
    start = await open_round(store, 1)
    result = make_finish(start, *(make_score(f"miner{n}", n + 1) for n in range(20)))
    async with await Store.open(database_url, create=False) as other:
        calls = [(store, other)[n % 2].finish_round(result, add_up) for n in range(50)]
        assert sorted(await asyncio.gather(*calls)) == [False] * 49 + [True]
    assert {
        miner.hotkey: (miner.evaluation_e18, miner.evaluation_rounds) for miner in await store.reputations("weth-usdc")
    } == {f"miner{n}": (n + 1, 1) for n in range(20)}
    assert {row.conclusive_rounds for row in await store.participation("weth-usdc", TODAY)} == {1}


async def test_fifty_different_rounds_at_once_lose_none(store: Store, database_url: str) -> None:
    starts = [await open_round(store, number) for number in range(50)]
    async with await Store.open(database_url, create=False) as other:
        calls = [
            (store, other)[n % 2].finish_round(
                make_finish(
                    start, make_score("alice", 10**n), make_score("bob", -(10**n)), winner_hotkey=Hotkey("alice")
                ),
                add_up,
            )
            for n, start in enumerate(starts)
        ]
        assert await asyncio.gather(*calls) == [True] * 50
    alice, bob = await store.reputations("weth-usdc")
    # Each round has a digit of its own: a lost one would be a 0, a doubled one a 2.
    assert (alice.evaluation_e18, alice.evaluation_rounds, alice.wins) == (int("1" * 50), 50, 50)
    assert (bob.evaluation_e18, bob.evaluation_rounds, bob.wins) == (-int("1" * 50), 50, 0)
    assert await store.participation("weth-usdc", TODAY) == [
        Participation(JobId("weth-usdc"), Hotkey("alice"), TODAY, 50, 50),
        Participation(JobId("weth-usdc"), Hotkey("bob"), TODAY, 50, 50),
    ]


async def test_a_cancelled_finish_is_whole_or_nothing(store: Store) -> None:
    for number in range(1, 30):
        start = await open_round(store, number)
        task = asyncio.create_task(store.finish_round(make_finish(start, make_score("alice", 1)), add_up))
        for _ in range(number):  # let it get a different distance each time
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        stored = await store.get_round(start.round_id)
        scores = await store.scores_of_round(start.round_id)
        assert stored is not None
        assert (stored.status == "completed") == (len(scores) == 1)
        if stored.status == "active":
            assert await store.finish_round(make_finish(start, make_score("alice", 1)), add_up) is True
    (alice,) = await store.reputations("weth-usdc")
    assert (alice.evaluation_e18, alice.evaluation_rounds) == (29, 29)
