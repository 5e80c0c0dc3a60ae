"""Whose fault it is that a live plan is refused for a budget or a loss (ADR 7), on anvil, from the answer to the score.

Each case first shows what the rule prevents: an honest winner that pays for others, or a loser that voids its round.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.anvil_pool import CHAIN_ID
from support.live_world import (
    DAY_S,
    JOB,
    OTHER,
    LiveWorld,
    NoWaiting,
    live_world,
    reputation,
    seed_days,
    validate,
)
from support.rows import make_execution, make_start
from support.services import Watch
from support.signed_rounds import UNIT, Decide, answer, keep
from support.vault_anvil import OWNER
from support.vault_world import LOOSE

from db.records import REJECTED
from executor import preparation, rehearsal, service
from executor.guards import Refused, Verdict
from executor.live_guards import check_situation
from executor.past import Past, past_of
from executor.preparation import Bounds
from executor.reading import VaultReader, VaultReading
from executor.vault import limit_words
from executor.vault_abi import LIMITS
from protocol.messages import Position, RebalanceQuery
from simulator.chain.abi import selector, words
from validator.progress import RoundClosed, RoundVoided, Trouble

REVERTED = "the node refuses the call: execution reverted: "
EMA = 10**15 * 3 // 10  # of the live round that was seeded
WIDE = Position(tick_lower=-600, tick_upper=600, allocation0=20 * UNIT, allocation1=20 * UNIT)
SET_LIMITS = f"set_limits({LIMITS})"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LiveWorld]:
    async with live_world(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        await seed_days(made, live_e18=10**15)
        yield made


def buys(amount1: int, *, times: int = 1) -> Decide:
    """Want so much more token1 than is idle, below the price, at so many checkpoints; then keep. Win evaluations."""

    def decide(query: RebalanceQuery) -> bytes:
        held = query.current_positions
        if query.round_type == "evaluation":
            return keep(query) if held and held[0].tick_lower == WIDE.tick_lower else answer(query, (WIDE,))
        if query.context.checkpoint_index >= times:
            return keep(query)
        kept = (
            Position(tick_lower=p.tick_lower, tick_upper=p.tick_upper, allocation0=0, allocation1=p.allocation1)
            for p in held
        )
        wanted = query.inventory_remaining.amount1 + amount1
        new = Position(tick_lower=-3600 - 60 * len(held), tick_upper=-1800, allocation0=0, allocation1=wanted)
        return answer(query, (*kept, new))

    return decide


async def employ(world: LiveWorld, **live: int) -> None:
    """Give the executor other limits, and room for the plan's own price."""
    bounds = Bounds(replace(world.here.bounds.live, **live), world.here.bounds.plan, slack_ticks=150)
    world.executor = world.here.service(await world.here.transactor(), bounds=bounds, clock=NoWaiting())


async def tighten(world: LiveWorld, **limits: int) -> None:
    """Let the owner set the vault's limits."""
    data = selector(SET_LIMITS) + words(*limit_words(replace(LOOSE, **limits)))
    await world.here.made.cost(OWNER, "0x" + data.hex())


async def use(world: LiveWorld, *, turnover_ppm: int = 0, loss_ppm: int = 0) -> None:
    """Write what a plan of an earlier round, another miner's, came to."""
    amounts = json.dumps({"turnover_ppm": turnover_ppm, "loss_ppm": loss_ppm})
    before = make_start(1, round_id=f"{JOB}-live-1")
    where = {"chain_id": CHAIN_ID, "vault": world.here.made.vault, "mode": "chain", "hotkey": OTHER}
    await world.here.store.add_execution(make_execution(before, status="reconciled", amounts=amounts, **where))


async def rest(world: LiveWorld) -> None:
    """Let the vault's cooldown pass within two blocks."""
    chain = world.here.made.chain
    await chain.ask("evm_setNextBlockTimestamp", (await chain.head()).timestamp + 30)


def judged(monkeypatch: pytest.MonkeyPatch, *, is_plans: bool) -> None:
    """Take the rule out: whatever is refused on the chain as it is has this fault."""

    def forced(*arguments: Any) -> Verdict:
        verdict = check_situation(*arguments)
        return replace(verdict, is_plans=is_plans) if isinstance(verdict, Refused) else verdict

    monkeypatch.setattr(preparation, "check_situation", forced)


async def told_of_last(world: LiveWorld) -> list[tuple[str, str]]:
    """Return status and guard of the last live round's intents, by checkpoint."""
    last = await world.here.store.last_round(JOB, "live")
    assert last is not None
    return [(e.status, e.guard) for e in await world.here.store.round_executions(last.round_id)]


async def test_an_honest_winner_does_not_pay_for_what_others_have_used(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator allows less than the gate supposes, so the round opens on a day that others have used up."""
    await employ(world, max_daily_turnover_ppm=100_000)
    await use(world, turnover_ppm=80_000)
    with monkeypatch.context() as patch:
        judged(patch, is_plans=True)
        assert (await validate(world, rounds=1, winner=buys(60 * UNIT))).of(RoundVoided) == []
    assert (await reputation(world)).live_e18 == EMA * 7 // 10, "the loss, without the rule"

    [voided] = (await validate(world, rounds=1, winner=buys(60 * UNIT))).of(RoundVoided)
    assert "ppm of turnover in a day, at most 100000" in voided.reason
    found = await reputation(world)
    assert (found.live_e18, found.live_rounds) == (EMA * 7 // 10, 2), "nothing moves"


@pytest.mark.parametrize(("amount1", "times"), [(60 * UNIT, 1), (40 * UNIT, 2)], ids=["at once", "bit by bit"])
async def test_a_loser_that_spends_beyond_its_half_does_not_void_its_round(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch, amount1: int, times: int
) -> None:
    await employ(world, max_daily_turnover_ppm=50_000)
    world.before_block = partial(rest, world)
    with monkeypatch.context() as patch:
        judged(patch, is_plans=False)
        assert len((await validate(world, rounds=1, winner=buys(amount1, times=times))).of(RoundVoided)) == 1
    assert (await reputation(world)).live_rounds == 1, "the loss, without the rule: the round never was"

    watch = await validate(world, rounds=1, winner=buys(amount1, times=times))
    assert watch.of(RoundVoided) == []
    status, guard = (await told_of_last(world))[-1]
    assert (status, guard[5:]) == (REJECTED, " ppm of turnover in a round, at most 25000")
    assert (await reputation(world)).live_rounds == 2, "it counts"


async def round_after_a_sale(world: LiveWorld, amount0: int, winner: Decide) -> Watch:
    """Play a round, before whose first plan somebody sells token0 and another buys as much as 60 units back."""

    async def sell() -> None:
        if world.steps == 0:
            await world.here.made.chain.swap(True, amount0)

    await world.here.pass_time()  # the means are the price
    world.before_block, world.steps = sell, 0
    return await validate(world, rounds=1, winner=winner)


async def test_an_honest_winner_does_not_pay_for_means_that_are_behind_the_price(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plan costs 182 ppm at the price; at the means, which have not seen the sale, it looks like more than 250."""
    await employ(world)
    await tighten(world, max_loss_ppm=250)
    with monkeypatch.context() as patch:
        patch.setattr(rehearsal, "_PLANS_FAULTS", ("loss",))
        assert (await round_after_a_sale(world, 150 * UNIT, buys(60 * UNIT))).of(RoundVoided) == []
    assert await told_of_last(world) == [(REJECTED, REVERTED + "loss")]
    assert (await reputation(world)).live_e18 == EMA * 7 // 10, "the loss, without the rule"

    [voided] = (await round_after_a_sale(world, 150 * UNIT, buys(60 * UNIT))).of(RoundVoided)
    assert f"(refused: {REVERTED}loss)" in voided.reason
    found = await reputation(world)
    assert (found.live_e18, found.live_rounds) == (EMA * 7 // 10, 2), "nothing moves"


async def test_an_honest_winner_does_not_pay_for_the_loss_that_the_vault_counts_of_others(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await employ(world)
    assert (await round_after_a_sale(world, 60 * UNIT, buys(100 * UNIT))).of(RoundVoided) == []
    [lost_x18] = await world.here.made.chain.call(world.here.made.vault, "daily_loss_x18()")
    await tighten(world, max_daily_loss_ppm=lost_x18 // 10**12 + 20)
    before = await reputation(world)
    with monkeypatch.context() as patch:
        patch.setattr(rehearsal, "_PLANS_FAULTS", ("loss",))
        assert (await round_after_a_sale(world, 60 * UNIT, buys(30 * UNIT))).of(RoundVoided) == []
    assert await told_of_last(world) == [(REJECTED, REVERTED + "daily loss")]
    after = await reputation(world)
    assert after.live_rounds == before.live_rounds + 1 and after.live_e18 < before.live_e18, "the loss"

    [voided] = (await round_after_a_sale(world, 60 * UNIT, buys(30 * UNIT))).of(RoundVoided)
    assert f"(refused: {REVERTED}daily loss)" in voided.reason
    assert (await reputation(world)).live_e18 == after.live_e18, "nothing moves"

    assert (await round_after_a_sale(world, 60 * UNIT, buys(70 * UNIT))).of(RoundVoided) == []
    assert "ppm of loss in a round, at most 210" in (await told_of_last(world))[0][1]
    assert (await reputation(world)).live_rounds == after.live_rounds + 1, "beyond its half it counts"


async def test_a_loser_that_pays_too_much_does_not_void_its_round(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own cost is judged at the price, before the vault is asked what its means say."""
    await employ(world)
    await tighten(world, max_loss_ppm=150)
    really = VaultReader.read

    async def unlimited(*arguments: Any, **named: Any) -> VaultReading:
        return replace(await really(*arguments, **named), limits=None)

    with monkeypatch.context() as patch:
        patch.setattr(VaultReader, "read", unlimited)
        [voided] = (await round_after_a_sale(world, 60 * UNIT, buys(60 * UNIT))).of(RoundVoided)
    assert f"(refused: {REVERTED}loss)" in voided.reason, "the loss, without the rule: the round never was"

    assert (await round_after_a_sale(world, 60 * UNIT, buys(60 * UNIT))).of(RoundVoided) == []
    assert await told_of_last(world) == [(REJECTED, "182 ppm of loss in one plan, at most 150")]
    assert (await reputation(world)).live_rounds == 2, "it counts"


async def test_a_loser_that_hurries_the_vault_does_not_void_its_round(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second plan is due before the vault has rested from its first: put off, it waits for the end."""

    def alone(*arguments: Any, **named: Any) -> Past:
        return replace(past_of(*arguments, **named), due_block=None)

    await employ(world)
    with monkeypatch.context() as patch:
        patch.setattr(service, "past_of", alone)
        [voided] = (await validate(world, rounds=1, winner=buys(10 * UNIT, times=2))).of(RoundVoided)
    assert "(expired: its round is over)" in voided.reason, "the loss, without the rule: the round never was"

    await world.here.pass_time()
    assert (await validate(world, rounds=1, winner=buys(10 * UNIT, times=2))).of(RoundVoided) == []
    done, (status, guard) = await told_of_last(world)
    assert (done, status) == (("reconciled", "allowed"), REJECTED) and "of rest left from its round's last" in guard
    assert (await reputation(world)).live_rounds == 2, "it counts"


async def test_no_live_round_opens_on_a_day_that_is_half_used_up(world: LiveWorld) -> None:
    await use(world, turnover_ppm=1_500_001)
    watch = await validate(world, rounds=2)
    assert [e.round_type for e in watch.of(RoundClosed)] == ["evaluation"] * 2 and watch.of(RoundVoided) == []
    [told] = watch.of(Trouble)
    assert told.message == (
        f"job {JOB} plays evaluations alone for now: "
        "1500001 ppm of turnover in the last day, at most 1500000 before a round"
    )
    assert ((await reputation(world)).live_e18, await world.here.rebalances()) == (EMA, 0)

    world.now += DAY_S
    assert [e.round_type for e in (await validate(world, rounds=1)).of(RoundClosed)] == ["evaluation"]
    world.now += 1
    watch = await validate(world, rounds=1)
    assert [e.round_type for e in watch.of(RoundClosed)] == ["evaluation", "live"] and watch.of(Trouble) == []


async def test_a_paper_round_needs_no_budget(world: LiveWorld) -> None:
    await use(world, loss_ppm=2_501)
    await world.here.store.update_job(JOB, {"live_mode": "paper"})
    watch = await validate(world, rounds=1)
    assert [e.round_type for e in watch.of(RoundClosed)] == ["evaluation", "live"] and watch.of(Trouble) == []
