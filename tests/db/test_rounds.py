from __future__ import annotations

import asyncio
import time

import pytest
from support.rows import add_up, make_execution, make_finish, make_prediction, make_score, make_start, open_round

from db.records import Round, ScoreEntry
from db.store import Store
from protocol.errors import StoreError
from protocol.units import Hotkey, Uid


async def test_an_open_round(store: Store) -> None:
    start = await open_round(store, 1)
    expected = Round(
        round_id=start.round_id,
        job_id=start.job_id,
        round_number=1,
        round_type="evaluation",
        mode="recorded",
        status="active",
        reason="",
        start_block=1_000,
        end_block=None,
        start_timestamp=start.start_timestamp,
        end_timestamp=None,
        block_hash=start.block_hash,
        snapshot_digest=start.snapshot_digest,
        winner_hotkey=None,
        evidence_digest=None,
        evidence_signature=None,
        code_version="0.1.0",
        opened_at=1_700_000_000,
        closed_at=None,
    )
    assert await store.get_round(start.round_id) == expected
    assert await store.open_rounds() == [expected]
    assert await store.open_rounds("weth-usdc") == [expected]
    assert await store.open_rounds("other") == []
    assert await store.get_round("nowhere") is None


async def test_a_round_opens_once(store: Store) -> None:
    start = await open_round(store, 1)
    for again in (start, make_start(2, round_id=start.round_id), make_start(1, round_id="another")):
        with pytest.raises(StoreError, match="exists already"):
            await store.start_round(again)
    await store.start_round(make_start(1, round_type="live"))  # live rounds have numbers of their own


async def test_numbers_go_on_after_any_round(store: Store) -> None:
    assert await store.next_round_number("weth-usdc", "evaluation") == 1
    await open_round(store, 9)
    start = await open_round(store, 10)
    await store.void_round(start.round_id, "reorg")
    assert await store.next_round_number("weth-usdc", "evaluation") == 11
    assert await store.next_round_number("weth-usdc", "live") == 1


async def test_voiding(store: Store) -> None:
    start = await open_round(store, 1)
    await store.void_round(start.round_id, "reorg at 1007", end_block=1_007)
    voided = await store.get_round(start.round_id)
    assert voided is not None
    assert (voided.status, voided.reason, voided.end_block, voided.closed_at) == (
        "inconclusive",
        "reorg at 1007",
        1_007,
        1_700_000_000,
    )
    await store.void_round(start.round_id, "again")
    assert await store.get_round(start.round_id) == voided
    assert await store.open_rounds() == []
    assert await store.reputations("weth-usdc") == []


async def test_a_completed_round_is_not_voided(store: Store) -> None:
    start = await open_round(store, 1)
    await store.finish_round(make_finish(start), add_up)
    with pytest.raises(StoreError, match="cannot be voided"):
        await store.void_round(start.round_id, "too late")
    with pytest.raises(StoreError, match="no such round"):
        await store.void_round("nowhere", "why not")


async def test_voiding_and_finishing_at_once_has_one_outcome(store: Store) -> None:
    for number in range(1, 11):
        start = await open_round(store, number)
        finish, void = await asyncio.gather(
            store.finish_round(make_finish(start, make_score("alice", 1)), add_up),
            store.void_round(start.round_id, "shutdown"),
            return_exceptions=True,
        )
        assert isinstance(finish, StoreError) != isinstance(void, StoreError)
        stored = await store.get_round(start.round_id)
        assert stored is not None
        assert (stored.status == "completed") == (finish is True)


async def test_the_last_round_and_block(store: Store) -> None:
    assert await store.last_round("weth-usdc", "evaluation") is None
    assert await store.last_block("weth-usdc") is None
    first = await open_round(store, 1)
    assert await store.last_block("weth-usdc") is None  # what is still open may be opened again
    await store.finish_round(make_finish(first), add_up)
    assert await store.last_block("weth-usdc") == first.start_block + 450
    second = await open_round(store, 2)
    await store.void_round(second.round_id, "shutdown")
    assert await store.last_block("weth-usdc") == second.start_block
    third = await open_round(store, 3, start_block=5)  # a recorded market from its start again
    await store.void_round(third.round_id, "divergence", end_block=9)
    assert await store.last_block("weth-usdc") == 9
    for number, only, expected in ((3, False, third), (1, True, first)):
        last = await store.last_round("weth-usdc", "evaluation", completed_only=only)
        assert last is not None
        assert (last.round_number, last.round_id) == (number, expected.round_id)
    assert [round_.round_number for round_ in await store.round_history("weth-usdc")] == [3, 2, 1]
    assert [round_.round_number for round_ in await store.round_history("weth-usdc", limit=1)] == [3]


async def test_predictions_come_back_as_they_were(store: Store) -> None:
    start = await open_round(store, 1)
    answered = make_prediction(start, 0, "alice")
    silent = make_prediction(
        start,
        0,
        "bob",
        uid=Uid(0),
        outcome="timeout",
        response_body=None,
        response_signature=None,
        request_signature=None,
        request_body=bytes(range(256)) * 300,
    )
    later = make_prediction(start, 1, "alice", response_body=b"")
    await store.add_predictions([later, silent, answered])
    assert await store.predictions_of_round(start.round_id) == [answered, silent, later]


async def test_predictions_are_written_once(store: Store) -> None:
    start = await open_round(store, 1)
    first = make_prediction(start, 0, "alice")
    await store.add_predictions([first])
    await store.add_predictions(
        [make_prediction(start, 0, "alice", outcome="timeout"), make_prediction(start, 0, "bob")]
    )
    assert await store.predictions_of_round(start.round_id) == [first, make_prediction(start, 0, "bob")]
    await store.add_predictions([])


async def test_concurrent_predictions_are_all_there_once(store: Store) -> None:
    start = await open_round(store, 1)
    whole = [make_prediction(start, checkpoint, f"m{n:02d}") for checkpoint in range(4) for n in range(100)]
    await asyncio.gather(*(store.add_predictions(whole[::step]) for step in (1, -1, 2, -2, 3, -3) * 3))
    assert await store.predictions_of_round(start.round_id) == whole


async def test_a_miners_strange_words_do_not_lose_the_others(store: Store) -> None:
    start = await open_round(store, 1)
    strange = make_prediction(
        start, 0, "alice", detail="\ud800 a\x00b \N{SNOWMAN}", response_signature="0x" + "f" * 100_000
    )
    await store.add_predictions([strange, make_prediction(start, 0, "bob")])
    alice, bob = await store.predictions_of_round(start.round_id)
    assert alice.detail == "? a\N{REPLACEMENT CHARACTER}b \N{SNOWMAN}"
    assert alice.response_signature == strange.response_signature
    assert bob == make_prediction(start, 0, "bob")


async def test_predictions_of_an_unknown_round_are_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        await store.add_predictions([make_prediction(make_start(1), 0, "alice")])


async def test_a_whole_subnet_is_one_insert(store: Store) -> None:
    start = await open_round(store, 1)
    whole = [
        make_prediction(start, checkpoint, f"miner{n:03d}", response_body=b"x" * 2_000)
        for checkpoint in range(4)
        for n in range(256)
    ]
    began = time.perf_counter()
    await store.add_predictions(whole)
    result = make_finish(start, *(make_score(f"miner{n:03d}", n) for n in range(256)))
    await store.finish_round(result, add_up)
    assert time.perf_counter() - began < 10  # 0.2 s; one statement a row with its own commit would take far longer
    assert await store.predictions_of_round(start.round_id) == whole
    assert len(await store.reputations("weth-usdc")) == 256


async def test_the_history_of_scores(store: Store) -> None:
    for number in (1, 2, 3):
        start = await open_round(store, number)
        scores = (make_score("bob", -number), make_score("alice", number, can_win=True))
        await store.finish_round(make_finish(start, *scores, winner_hotkey=Hotkey("alice")), add_up)
    voided = await open_round(store, 4)
    await store.void_round(voided.round_id, "reorg")
    live = await open_round(store, 1, round_type="live")
    await store.finish_round(make_finish(live, make_score("alice", 99)), add_up)
    await open_round(store, 1, "other")

    def entry(number: int, hotkey: str, score_e18: int) -> ScoreEntry:
        return ScoreEntry(
            round_id=make_start(number).round_id,
            round_number=number,
            hotkey=Hotkey(hotkey),
            uid=Uid(7),
            scored=True,
            score_e18=score_e18,
            is_winner=hotkey == "alice",
            registered_at_block=100,
        )

    history = [entry(n, hotkey, sign * n) for n in (1, 2, 3) for hotkey, sign in (("alice", 1), ("bob", -1))]
    assert await store.round_score_history("weth-usdc", "evaluation") == history
    assert await store.round_score_history("weth-usdc", "evaluation", last_rounds=2) == history[2:]
    assert [e.score_e18 for e in await store.round_score_history("weth-usdc", "live")] == [99]
    assert await store.round_score_history("other", "evaluation") == []


MINER = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"


async def test_what_was_asked_about_blocks_that_are_gone_is_forgotten(store: Store) -> None:
    start, other = await open_round(store, 1, round_type="live"), await open_round(store, 2)
    for index in range(3):
        await store.add_predictions([make_prediction(start, index, MINER)])
        await store.add_predictions([make_prediction(other, index, MINER)])
        mode = "live" if index == 2 else "paper"
        await store.add_execution(make_execution(start, execution_id=f"e{index}", checkpoint_index=index, mode=mode))
    await store.take_back_answers(start.round_id, after_checkpoint=0)
    assert [p.checkpoint_index for p in await store.predictions_of_round(start.round_id)] == [0]
    assert [p.checkpoint_index for p in await store.predictions_of_round(other.round_id)] == [0, 1, 2]
    assert {e.execution_id for e in await store.executions()} == {"e0", "e2"}, "what may be on a chain stays"
    again = make_prediction(start, 1, MINER)
    await store.add_predictions([again])
    assert await store.predictions_of_round(start.round_id) == [make_prediction(start, 0, MINER), again]
    await store.take_back_answers(start.round_id, after_checkpoint=-1)
    assert await store.predictions_of_round(start.round_id) == []
    await store.void_round(start.round_id, "over")
    with pytest.raises(StoreError, match="only an active round"):
        await store.take_back_answers(start.round_id, after_checkpoint=-1)
