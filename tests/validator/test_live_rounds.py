"""Live rounds on chain, from the winner's answer to its score: the vault is real, the executor ours, the node anvil."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.live_world import (
    JOB,
    LENGTH,
    OTHER,
    WINNER,
    LiveWorld,
    NoWaiting,
    closes,
    intents,
    live_world,
    opens,
    reputation,
    seed_days,
    validate,
)
from support.signed_rounds import UNIT, answer, keep
from support.vault_anvil import OWNER

from db.records import REJECTED, Execution
from db.transaction import Halt
from executor.live_guards import LiveLimits
from executor.preparation import Bounds
from executor.reading import VaultReader
from protocol.errors import ChainError, SimulationError
from protocol.messages import Position, RebalanceQuery
from simulator.chain.abi import address_of, call_data, selector, words
from simulator.engine import Engine, default_engine
from simulator.evidence import verify
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from tideline.commands.leaderboard import load_boards
from validator import live_round
from validator.live_round import Patience
from validator.progress import PlanExecuted, RoundClosed, RoundVoided, VaultScored
from validator.verification import check, load
from validator.winner import pick_round_winner

EMA = 10**15 * 3 // 10  # of the live round that was seeded


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LiveWorld]:
    async with live_world(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


async def test_seven_days_then_a_live_round_on_chain(world: LiveWorld, tmp_path: Path) -> None:
    """Asked, intent, transaction, NAV, both averages, leaderboard; the round after it, in which the vault is kept."""
    world.days_left = 9
    watch = await validate(world, rounds=10)
    live = [e for e in watch.of(RoundClosed) if e.round_type == "live"]
    assert watch.of(RoundVoided) == [] and [e.round_id for e in live] == [f"{JOB}-live-1", f"{JOB}-live-2"][: len(live)]
    assert [e.round_id for e in watch.of(RoundClosed)].index(f"{JOB}-live-1") == 8, "beside the eighth day's round"

    [executed] = watch.of(PlanExecuted)
    [intent] = await intents(world)
    assert (intent.mode, intent.status, intent.guard) == ("chain", "reconciled", "allowed")
    assert intent.round_id == live[0].round_id
    receipt = await world.here.made.chain.ask("eth_getTransactionReceipt", intent.tx_hash)
    assert (int(receipt["gasUsed"], 16), int(receipt["blockNumber"], 16)) == (intent.gas_used, executed.block)
    amounts = json.loads(intent.amounts or "")
    assert abs(int(amounts["error_in_token1"])) < UNIT // 1000, "the tracking error: somebody traded in the same block"
    assert executed.positions == ((-600, 600, int(amounts["realised"]["positions"][0][2])),)

    first, second = watch.of(VaultScored)
    assert (first.score_e18 > 0, second.score_e18) == (True, 0), "it opened and earned; then it kept, as the benchmark"
    assert first.ledger.gas == intent.gas_used and first.ledger.rebalances == 1 and first.benchmark.gas == 0
    expected = first.score_e18 * 3 // 10 * 7 // 10
    found = await reputation(world)
    assert (found.live_e18, found.live_rounds) == (expected, 2)
    assert found.combined_e18 == (6 * found.evaluation_e18 + 4 * expected) // 10
    [board] = await load_boards(world.here.url)
    assert {row.hotkey: row.live_e18 for row in board.rows} == {WINNER: expected, OTHER: 0}


async def test_a_live_score_is_the_vaults_on_chain_and_recomputes_bit_for_bit(world: LiveWorld) -> None:
    await seed_days(world)
    [scored] = (await validate(world, rounds=1)).of(VaultScored)
    signed = await load(world.here.store, scored.round_id)
    engines: tuple[Engine, ...] = ("python", default_engine())
    for engine in engines:
        [again] = check(signed, engine=engine).participants
        assert (again.score_e18, again.ledger) == (scored.score_e18, scored.ledger)
    evidence = signed.evidence
    reader = await world.here.connect(world.here.made.chain.pool, world.here.made.vault)
    reading = await reader.read(await reader.header(evidence.blocks[-1].number), twap_s=600)
    assert scored.ledger.closing == reading.fork.portfolio(), "every token, position and fee, to the wei"
    assert evidence.settlement is not None
    assert [b.number for b in evidence.blocks if b.own] == [p.block_number for p in evidence.settlement.paid]
    beside = check(await load(world.here.store, scored.round_id.replace("live-1", "evaluation-9")))
    assert [p.hotkey for p in beside.participants] == [WINNER, OTHER], "the vault's own trades are no divergence there"

    paid = replace(evidence.settlement.paid[0], fee_wei=evidence.settlement.paid[0].fee_wei + 10**15)
    dearer = replace(evidence, settlement=replace(evidence.settlement, paid=(paid,)))
    with pytest.raises(SimulationError, match=r"differ at results\.participants"):
        verify(dearer, pick_round_winner)


async def halted(world: LiveWorld) -> None:
    await world.here.store.set_halt(Halt(is_set=True, reason="odd"))


async def refused(world: LiveWorld) -> None:
    bounds = Bounds(LiveLimits(world.here.bounds.live.vaults, max_age_blocks=-5))
    world.executor = world.here.service(await world.here.transactor(), bounds=bounds, clock=NoWaiting())


async def reverted(world: LiveWorld) -> None:
    async def outlive() -> None:
        chain = world.here.made.chain
        if any(e.status == "sent" for e in await intents(world)):
            await chain.ask("evm_setNextBlockTimestamp", (await chain.head()).timestamp + 500)

    world.before_block = outlive  # what was sent is mined when its deadline is over: the chain undoes it


async def dead(world: LiveWorld) -> None:
    world.executor = None


async def without_a_node(world: LiveWorld) -> None:
    async def connect(pool: str, vault: str) -> VaultReader:
        raise ChainError("no endpoint answers", retryable=True)

    world.executor = world.here.service(await world.here.transactor(), connect=connect)


FAILURES: dict[Callable[[LiveWorld], Awaitable[None]], str] = {
    halted: "expired: its round is over",
    refused: "refused: the decision is -1 blocks old, at most -5",
    reverted: "reverted",
    dead: "expired: its round is over",
    without_a_node: "expired: its round is over",
}


@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__)
async def test_an_executor_that_fails_is_nobodys_score(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch, fail: Callable[[LiveWorld], Awaitable[None]]
) -> None:
    """Scored as if nothing were amiss, the round would cost the winner three tenths of its live average."""
    await seed_days(world, live_e18=10**15)
    assert (await reputation(world)).live_e18 == EMA
    await fail(world)
    every = live_round._ended

    async def those_done(*arguments: Any) -> list[Execution]:
        return [e for e in await every(*arguments) if e.status == "reconciled"]

    monkeypatch.setattr(live_round, "_ended", those_done)
    await validate(world, rounds=1)
    assert (await reputation(world)).live_e18 == EMA * 7 // 10, "the loss, without the defence"

    monkeypatch.setattr(live_round, "_ended", every)
    before = await reputation(world)
    watch = await validate(world, rounds=1)
    [voided] = watch.of(RoundVoided)
    assert voided.round_id == f"{JOB}-live-3"
    assert f"the plan of checkpoint 0 was not carried out ({FAILURES[fail]}" in voided.reason
    after = await reputation(world)
    assert (after.live_e18, after.live_rounds) == (before.live_e18, before.live_rounds)
    assert after.evaluation_rounds == before.evaluation_rounds + 1, "the evaluation beside it counts"
    assert all(e.status not in ("planned", "simulated") for e in await intents(world)), "nothing is left to be sent"


async def test_a_plan_that_the_chain_takes_after_the_round_is_none_of_it_nor_of_the_next(world: LiveWorld) -> None:
    """The miner of the next round did not want it."""
    await seed_days(world, live_e18=10**15)
    chain, store = world.here.made.chain, world.here.store

    async def keep_it_out() -> None:
        transaction = await store.get_transaction(f"{JOB}-live-2-0")
        for attempt in transaction.attempts if transaction is not None and world.steps < LENGTH + 5 else ():
            await chain.ask("anvil_dropTransaction", attempt.tx_hash)  # until the price is back

    world.before_block = keep_it_out
    world.patience = Patience(blocks=1, seconds=0.0)
    watch = await validate(world, rounds=2, winner=lambda query: opens(query) if world.steps < 2 else keep(query))
    late, next_one = watch.of(RoundVoided)
    assert "the plan of checkpoint 0 was not carried out (sent)" in late.reason
    assert "the vault did what is no plan of this round" in next_one.reason
    assert (await reputation(world)).live_e18 == EMA and await world.here.rebalances() == 1


def far_away(query: RebalanceQuery) -> bytes:
    """Want what the vault forbids and the guard does not know of."""
    return answer(query, (Position(tick_lower=30_000, tick_upper=30_600, allocation0=UNIT, allocation1=0),))


def too_narrow(query: RebalanceQuery) -> bytes:
    return answer(query, (Position(tick_lower=-60, tick_upper=0, allocation0=0, allocation1=UNIT),))


@pytest.mark.parametrize(
    ("wants", "says"), [(far_away, "the node refuses the call"), (too_narrow, "is narrower than 120 ticks")]
)
async def test_a_plan_against_the_limits_is_its_senders_and_the_round_counts(
    world: LiveWorld, wants: Callable[[RebalanceQuery], bytes], says: str
) -> None:
    """Else whoever is losing could send one, and the round would not count."""
    await seed_days(world, live_e18=10**15)
    watch = await validate(world, rounds=1, winner=wants)
    assert watch.of(RoundVoided) == [] and await world.here.rebalances() == 0
    assert {(e.status, says in e.guard) for e in await intents(world)} == {(REJECTED, True)}
    found = await reputation(world)
    assert (found.live_e18, found.live_rounds) == (EMA * 7 // 10, 2)


def comes_and_goes(query: RebalanceQuery) -> bytes:
    """Open, and close at the next question."""
    return closes(query) if query.current_positions else opens(query)


async def test_what_strangers_give_a_vault_changes_no_score_and_voids_no_round(world: LiveWorld) -> None:
    """Tokens sent to it, liquidity minted in its name into the range that plans open and close, and swaps for it."""
    await seed_days(world)
    made = world.here.made
    chain, vault = made.chain, int(made.vault, 16)
    tokens = [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]
    mint = selector("mint(address,int24,int24,uint128,bytes)") + words(vault, -600, 600, 10**15, 5 * 32, 0)
    limit = get_sqrt_ratio_at_tick(-6000)
    swap = selector("swap(address,bool,int256,uint160,bytes)") + words(vault, 1, 10**15, limit, 5 * 32, 0)

    async def give() -> None:
        for token in tokens:
            await chain.send(token, call_data("transfer(address,uint256)", vault, 1))
        for data in (mint, swap):
            await chain.send(chain.payer, "0x" + data.hex())
        await chain.ask("evm_setNextBlockTimestamp", (await chain.head()).timestamp + 30)  # the vault's cooldown

    world.before_block = give
    watch = await validate(world, rounds=1, winner=comes_and_goes)
    assert watch.of(RoundVoided) == [] and await world.here.rebalances() == 3
    [scored] = watch.of(VaultScored)
    settled = (await load(world.here.store, scored.round_id)).evidence.settlement
    assert settled is not None and settled.vault.idle0 > scored.ledger.closing.idle0, "given, and not counted"


async def test_tokens_that_the_owner_takes_out_end_the_round_without_a_score(world: LiveWorld) -> None:
    await seed_days(world)
    made = world.here.made

    async def withdraw() -> None:
        if world.steps == 6:
            await made.send(OWNER, made.vault, call_data("withdraw_all()"))

    def opens_once(query: RebalanceQuery) -> bytes:
        return keep(query) if query.rebalances_so_far else opens(query)

    world.before_block = withdraw
    [voided] = (await validate(world, rounds=1, winner=opens_once)).of(RoundVoided)
    assert "the vault did what is no plan of this round" in voided.reason
    assert (await reputation(world)).live_rounds == 0


@pytest.mark.parametrize("is_sent", [False, True], ids=["before it is sent", "after it is sent"])
async def test_a_plan_whose_block_vanishes_is_asked_for_again_or_followed(world: LiveWorld, *, is_sent: bool) -> None:
    """What no key has signed for is forgotten; what may be on the chain stands, and what is answered later does not."""
    await seed_days(world)
    chain, executor = world.here.made.chain, world.executor
    world.executor = executor if is_sent else None
    asked: list[int] = []

    def another_each_time(query: RebalanceQuery) -> bytes:
        if query.round_type == "evaluation":
            return keep(query)
        asked.append(query.block_number)
        width = 600 + 60 * len(asked)
        if query.current_positions or len(asked) == 1:
            return keep(query)
        wide = Position(tick_lower=-width, tick_upper=width, allocation0=20 * UNIT, allocation1=20 * UNIT)
        return answer(query, (wide,))

    async def take_back() -> None:
        if world.steps == 5:
            rows = [(e.status, e.checkpoint_index) for e in await intents(world)]
            assert rows == [("sent" if is_sent else "planned", 1)]
            await chain.reorg(2)
            world.executor = executor

    world.before_block = take_back
    watch = await validate(world, rounds=1, winner=another_each_time)
    assert asked[1:3] == [asked[1]] * 2 and watch.of(RoundVoided) == [], (asked, watch.of(RoundVoided))
    [intent] = await intents(world)
    width = 720 if is_sent else 780
    assert (intent.status, await world.here.rebalances()) == ("reconciled", 1)
    assert f"[[-{width},{width}," in intent.plan
    assert [p[:2] for p in watch.of(PlanExecuted)[0].positions] == [(-width, width)]
    assert len(watch.of(VaultScored)) == 1


async def test_a_plan_of_a_round_whose_opening_vanishes_is_never_sent(world: LiveWorld) -> None:
    await seed_days(world)
    executor, world.executor = world.executor, None

    async def take_back() -> None:
        if world.steps == 1:
            await world.here.made.chain.reorg(2)
            world.executor = executor

    world.before_block = take_back
    watch = await validate(world, rounds=1)
    first, *_ = watch.of(RoundVoided)
    assert "reorg_too_deep" in first.reason
    of_it = [e for e in await intents(world) if e.round_id == f"{JOB}-live-1"]
    assert [(e.status, e.guard.startswith("its round is inconclusive: ")) for e in of_it] == [("expired", True)]
    assert await world.here.store.get_transaction(f"{JOB}-live-1-0") is None
