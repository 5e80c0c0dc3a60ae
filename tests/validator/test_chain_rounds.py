"""The service over a real node that fails, lies and changes its mind: it goes on by itself, and nobody is wronged."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.anvil_pool import AnvilPool
from support.chain_faults import FAULTS, Json, doubled, last_of, only, result
from support.chain_service import (
    LENGTH,
    UNIT,
    World,
    assert_as_on_chain,
    blocks_of,
    chain_job,
    reputations,
    trade,
    trade_gently,
    trading_pool,
    until_closed,
    voided,
)
from support.faulty_proxy import Fault, faulty_proxy
from support.local_miners import LocalMiners
from support.moves import moves
from support.services import running, told
from support.signed_rounds import FOUR_KEYS, MINER_KEYS, keep, narrow, restless

from db.store import Store
from protocol.units import RoundId
from simulator.chain.abi import BURN, MINT, SWAP
from validator.progress import RoundClosed, RoundOpened, RoundRewound, RoundVoided, Trouble

FIRST, SECOND = MINER_KEYS


def miners() -> LocalMiners:
    """One moves at the first ask, one keeps."""
    return LocalMiners({FIRST: narrow, SECOND: keep})


def rebalancers() -> LocalMiners:
    """Four that move at every ask."""
    return LocalMiners({hotkey: restless(width) for hotkey, width in zip(FOUR_KEYS, (1, 3, 10, 40), strict=True)})


async def assert_scored_right(store: Store, round_id: str, chain: AnvilPool) -> None:
    """Recompute a round of the four, hold it against the node, and see that each of them moved in it."""
    await assert_as_on_chain(store, round_id, chain)
    moved = moves(await store.predictions_of_round(RoundId(round_id)))
    assert moved == dict.fromkeys(FOUR_KEYS, 2), "after each of the first two asks every one is elsewhere at the next"
    scores = await store.scores_of_round(RoundId(round_id))
    assert [(score.hotkey, score.scored) for score in scores] == [(hotkey, True) for hotkey in sorted(FOUR_KEYS)]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        yield opened


@pytest.fixture
async def chain() -> AsyncIterator[AnvilPool]:
    async with trading_pool() as running_chain:
        yield running_chain


def now_and_then(fault: Fault) -> Fault:
    """Let every ninth answer suffer."""
    count = 0

    def sometimes(question: Json, answer: Json) -> Any:
        nonlocal count
        count += 1
        return answer if count % 9 else fault(question, answer)

    return sometimes


def one_late() -> Fault:
    """Give every answer one question too late, under the question's own id."""
    last: Json | None = None

    def late(question: Json, answer: Json) -> Any:
        nonlocal last
        last, before = answer, last
        return answer if before is None else {**before, "id": answer["id"]}

    return late


def backwards(question: Json, answer: Json) -> Any:
    """Turn the order of logs round."""
    return {**answer, "result": answer["result"][::-1]} if question["method"] == "eth_getLogs" else answer


ANSWERS: dict[str, Callable[[], Fault]] = {
    "delayed for ever": lambda: now_and_then(FAULTS["half-open socket"]),
    "dropped": lambda: now_and_then(FAULTS["bad gateway"]),
    "truncated": lambda: now_and_then(FAULTS["cut off"]),
    "answers in another order": lambda: now_and_then(one_late()),
    "logs in another order": lambda: backwards,
    "asked too often": lambda: now_and_then(FAULTS["rate limit, in JSON"]),
    "refused": lambda: now_and_then(lambda q, a: {**without(a), "error": {"code": -32000, "message": "no such luck"}}),
}


def without(answer: Json) -> Json:
    return {key: value for key, value in answer.items() if key != "result"}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_bad_line_delays_a_round_or_voids_it_and_falsifies_none(
    store: Store, chain: AnvilPool, name: str
) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        await store.add_job(chain_job(chain.pool))
        async with running(store, markets=World(chain, [proxy.url]), miners=miners()) as run:
            at = await run.watch.until(lambda event: isinstance(event, RoundOpened))
            proxy.fault = ANSWERS[name]()
            first, at = await until_closed(run, after=at)
            second, at = await until_closed(run, after=at)
        for scored in (first, second):
            await assert_as_on_chain(store, scored, chain)
    assert {key: rounds for key, (_, rounds) in (await reputations(store)).items()} == dict.fromkeys(
        MINER_KEYS, len(run.watch.of(RoundClosed))
    )


async def test_a_node_killed_in_a_round_voids_it_and_the_next_one_is_played_on_another(
    store: Store, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with trading_pool(free_port) as chain:
        await store.add_job(chain_job(chain.pool))
        world = World(chain, [chain.anvil.url])
        async with running(store, markets=world, miners=miners()) as run:
            _, at = await until_closed(run)
            before = await reputations(store)

            async def dies(dying: AnvilPool, step: int) -> None:
                world.happens = trade
                os.killpg(dying.anvil.pid, signal.SIGKILL)
                await dying.anvil.wait()

            world.happens = dies
            at = await run.watch.until(voided("no endpoint answers"), after=at)
            at = await run.watch.until(told("can open no round and tries again"), after=at)
            assert await reputations(store) == before
            async with trading_pool(free_port) as another:  # a chain of its own: the state of the first is lost
                world.chain = another
                round_id, _ = await until_closed(run, after=at)
                await assert_as_on_chain(store, round_id, another)
                await run.end()
    said = [event.message for event in run.watch.of(Trouble)]
    logged = [record.getMessage() for record in caplog.records if record.name == "validator.job_runner"]
    for told_so_far in (said, logged):
        assert len(told_so_far) == len(set(told_so_far)) > 0, "what stays the same is said once, and logged once"


async def test_a_latest_block_that_is_a_lie_opens_no_round_and_hurts_none_under_way(
    store: Store, chain: AnvilPool
) -> None:
    async with faulty_proxy(chain.anvil.url) as proxy:
        await store.add_job(chain_job(chain.pool))
        async with running(store, markets=World(chain, [proxy.url]), miners=miners()) as run:
            at = await run.watch.until(lambda event: isinstance(event, RoundOpened))
            proxy.fault = FAULTS["latest far ahead"]
            first, at = await until_closed(run, after=at)
            at = await run.watch.until(told("has not got its latest block"), after=at)
            proxy.fault = None
            second, _ = await until_closed(run, after=at)
        for round_id in (first, second):
            await assert_as_on_chain(store, round_id, chain)
    assert run.watch.of(RoundVoided) == []


async def test_two_of_three_nodes_outvote_a_liar_in_every_round(store: Store, chain: AnvilPool) -> None:
    async with faulty_proxy(chain.anvil.url) as liar, faulty_proxy(chain.anvil.url) as other:
        liar.fault = lambda question, answer: drops_a_swap(question, FAULTS["latest far ahead"](question, answer))
        await store.add_job(chain_job(chain.pool))
        world = World(chain, [liar.url, other.url, chain.anvil.url], quorum=2)
        async with running(store, markets=world, miners=miners()) as run:
            first, at = await until_closed(run)
            second, _ = await until_closed(run, after=at)
        for round_id in (first, second):
            await assert_as_on_chain(store, round_id, chain)
    assert run.watch.of(RoundVoided) == []


# ---- what the tripwire is for


def drops_a_swap(question: Json, answer: Json) -> Any:
    return only("eth_getLogs", result(lambda logs: logs[1:]))(question, answer)


def a_little_more_paid(log: Json) -> list[Json]:
    amounts = [int(log["data"][at : at + 64], 16) for at in (2, 66)]
    paid = [amount + 10**9 if amount < 2**255 else amount for amount in amounts]
    return [{**log, "data": f"0x{paid[0]:064x}{paid[1]:064x}" + log["data"][130:]}]


LIES: dict[str, tuple[Callable[[], Fault], str]] = {
    "a swap that never was": (lambda: last_of(SWAP, doubled), "missed_or_foreign_swap"),
    "a swap too few": (lambda: last_of(SWAP, lambda log: []), "missed_or_foreign_swap"),
    "a swap that paid a little more": (lambda: last_of(SWAP, a_little_more_paid), "missed_or_foreign_swap"),
    "a mint that never was": (lambda: last_of(MINT, doubled), "missed_liquidity"),
    "a mint too few": (lambda: last_of(MINT, lambda log: []), "missed_liquidity"),
    "a burn too few": (lambda: last_of(BURN, lambda log: []), "missed_liquidity"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_one_false_log_voids_the_round_by_its_class_and_touches_nobody(
    store: Store, chain: AnvilPool, lie: str
) -> None:
    make_fault, kind = LIES[lie]
    async with faulty_proxy(chain.anvil.url) as proxy:
        await store.add_job(chain_job(chain.pool))
        world = World(chain, [proxy.url], happens=trade_gently)
        async with running(store, markets=world, miners=rebalancers()) as run:
            first, at = await until_closed(run)
            before = await reputations(store)
            proxy.fault = make_fault()
            at = await run.watch.until(voided(f"the base fork diverged from the chain: {kind}"), after=at)
            assert await reputations(store) == before
            after, _ = await until_closed(run, after=at)
        for scored in (first, after):
            await assert_scored_right(store, scored, chain)
    [void] = run.watch.of(RoundVoided)
    row = await store.get_round(void.round_id)
    assert row is not None and row.status == "inconclusive" and kind in row.reason
    assert await store.scores_of_round(void.round_id) == []


async def test_a_pool_that_changes_its_fee_voids_the_round_as_a_change_of_fee(store: Store, chain: AnvilPool) -> None:
    """The contract itself is changed on the chain: its fee, 3000, is a constant in its code."""
    await store.add_job(chain_job(chain.pool))
    world = World(chain, [chain.anvil.url])

    async def another_fee(running_chain: AnvilPool, step: int) -> None:
        world.happens = trade
        code = await running_chain.ask("eth_getCode", running_chain.pool, "latest")
        assert f"{3000:064x}" in code
        await running_chain.ask("anvil_setCode", running_chain.pool, code.replace(f"{3000:064x}", f"{3500:064x}"))
        await trade(running_chain, step)

    async with running(store, markets=world, miners=rebalancers()) as run:
        first, at = await until_closed(run)
        before = await reputations(store)
        world.happens = another_fee
        at = await run.watch.until(voided("fee_change"), after=at)
        assert await reputations(store) == before
        await assert_scored_right(store, first, chain)
        await run.watch.until(told("(tokens, fee, spacing)"), after=at)  # no round can open on what is another pool now


# ---- reorgs


@pytest.mark.parametrize("depth", [1, 3, 6])
async def test_a_reorg_rewinds_the_round_asks_again_and_scores_only_what_stands(
    store: Store, chain: AnvilPool, depth: int
) -> None:
    await store.add_job(chain_job(chain.pool))
    world = World(chain, [chain.anvil.url])
    asked = miners()

    async def reorganised(running_chain: AnvilPool, step: int) -> None:
        if step == 9:
            await running_chain.reorg(depth)
        await trade(running_chain, step)

    world.happens = reorganised
    async with running(store, markets=world, miners=asked) as run:
        round_id, _ = await until_closed(run)
    await assert_as_on_chain(store, round_id, chain)
    [rewound] = run.watch.of(RoundRewound)[:1]
    assert (rewound.round_id, rewound.depth) == (round_id, depth)
    assert run.watch.of(RoundVoided) == []
    start = (await blocks_of(store, round_id))[0].number - 1
    stored = [p.checkpoint_index for p in await store.predictions_of_round(round_id)]
    assert stored == [0, 0, 1, 1, 2, 2], "one answer of each miner to each checkpoint, however often it was asked"
    ancestor = rewound.block - start  # 9 blocks were there
    again = [c for c in (4, 8) if ancestor < c <= 9]
    of_this = [query for query in asked.asked if query.round_id == round_id]
    assert len(of_this) == 2 * (3 + len(again))


async def test_a_reorg_of_the_last_blocks_is_seen_before_the_scores_are_written(store: Store, chain: AnvilPool) -> None:
    await store.add_job(chain_job(chain.pool))
    world = World(chain, [chain.anvil.url])

    async def reorganised(running_chain: AnvilPool, step: int) -> None:
        if step == LENGTH:  # the block that would have settled the round
            await running_chain.reorg(2)
        await trade(running_chain, step)

    world.happens = reorganised
    async with running(store, markets=world, miners=miners()) as run:
        round_id, _ = await until_closed(run)
    assert [event.depth for event in run.watch.of(RoundRewound)[:1]] == [2]
    await assert_as_on_chain(store, round_id, chain)


async def test_a_reorg_below_the_opening_voids_the_round_and_the_next_one_runs(store: Store, chain: AnvilPool) -> None:
    await store.add_job(chain_job(chain.pool))
    world = World(chain, [chain.anvil.url])

    async def reorganised(running_chain: AnvilPool, step: int) -> None:
        if step == 3:
            await running_chain.reorg(6)
        await trade(running_chain, step)

    for _ in range(4):
        await trade(chain, 2)
    world.happens = reorganised
    async with running(store, markets=world, miners=miners()) as run:
        at = await run.watch.until(voided("reorg_too_deep"))
        assert await reputations(store) == {}
        round_id, _ = await until_closed(run, after=at)
    await assert_as_on_chain(store, round_id, chain)


async def test_a_chain_that_never_makes_up_its_mind_voids_the_round(store: Store, chain: AnvilPool) -> None:
    await store.add_job(chain_job(chain.pool, round_duration_seconds=60))
    world = World(chain, [chain.anvil.url])

    async def restless(running_chain: AnvilPool, step: int) -> None:
        if step > 3:
            await running_chain.reorg(1)
        await running_chain.swap(step % 2 == 0, UNIT)
        await running_chain.mine()

    world.happens = restless
    async with running(store, markets=world, miners=miners()) as run:
        at = await run.watch.until(voided("the chain took back 1 blocks"))
        assert await reputations(store) == {}
        await store.update_job("mine", {"round_duration_seconds": 2 * LENGTH})
        world.happens = trade
        round_id, _ = await until_closed(run, after=at)
    await assert_as_on_chain(store, round_id, chain)
