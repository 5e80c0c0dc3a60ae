"""A vault that takes several transactions for a plan: its steps in their order, each once, or said how far it came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.executor_desk import ABOVE, KEEPER, NARROW, NOW, WIDE, Office, office
from support.vault_anvil import UNIT

from db.transaction import PARTIAL
from executor.service import DryRun, Ended, ExecutorService, Refusal, Waiting
from executor.standing import standing_of
from simulator.plan import Desired

RECEIVER = "0x" + "fe" * 20
WISH = (Desired(WIDE, 300 * UNIT, 300 * UNIT), Desired(NARROW, 100 * UNIT, 100 * UNIT))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3", fee_receiver=RECEIVER) as made:
        made.bounds = replace(made.bounds, live=replace(made.bounds.live, cooldown_s=0))
        yield made


async def worked(service: ExecutorService, times: int) -> None:
    """Submit an intent and bring each of its steps to its end; then there is nothing to do."""
    assert [await service.work() for _ in range(times + 2)] == [True] * (times + 1) + [False]


async def test_a_plan_becomes_its_steps(here: Office) -> None:
    service = here.service(await here.transactor())
    first = await here.want(*WISH)
    await worked(service, 2)
    done = await here.ended(first)
    amounts = json.loads(done.amounts or "")
    assert (done.status, amounts["is_exact"], amounts["steps_done"]) == ("reconciled", True, 2)
    assert [r for r, _ in standing_of(await here.fork()).positions] == [WIDE, NARROW]
    fees = [
        fact.transaction.receipt.fee_wei for fact in here.facts if isinstance(fact, Ended) and fact.transaction.receipt
    ]
    assert (int(amounts["fee_wei"]), len(fees)) == (sum(fees), 2)
    await here.made.chain.swap(True, 300 * UNIT)
    await here.made.chain.swap(False, 299 * UNIT)
    await here.pass_time()
    kept = next(h for h in (await here.fork()).portfolio().holdings if h.range == NARROW)
    second = await here.want(Desired(NARROW, kept.amount0, kept.amount1), Desired(ABOVE, 500 * UNIT, 0))
    await worked(service, 2)
    done = await here.ended(second)
    assert (done.status, json.loads(done.amounts or "")["is_exact"]) == ("reconciled", True)
    assert [r for r, _ in standing_of(await here.fork()).positions] == [NARROW, ABOVE]
    assert await here.rebalances() == 4


async def test_a_plan_that_cannot_be_finished_stops_where_it_is_and_says_so(here: Office) -> None:
    """Between two mints the price leaves what was allowed: the rest is not done, its tokens lie idle, and the next plan
    starts from there.
    """
    service = here.service(await here.transactor())
    intent = await here.want(*WISH, Desired(ABOVE, 50 * UNIT, 0))
    assert [await service.work() for _ in range(2)] == [True, True]
    await here.made.chain.swap(True, 3000 * UNIT)
    await here.made.chain.mine()
    assert [await service.work() for _ in range(3)] == [True, True, False]
    done, found = await here.ended(intent), standing_of(await here.fork())
    amounts = json.loads(done.amounts or "")
    assert (done.status, amounts["steps_done"], amounts["is_exact"]) == (PARTIAL, 1, False)
    assert [r for r, _ in found.positions] == [WIDE] and found.idle0 > 690 * UNIT
    phases = [(fact.transaction.phase, fact.transaction.reason) for fact in here.facts if isinstance(fact, Ended)]
    assert [phase for phase, _ in phases] == ["reconciled", "refused", "refused"]
    assert phases[1][1].startswith("it would revert: ") and phases[2][1].startswith("the step before it is refused")
    assert await here.rebalances() == 1
    await here.pass_time()
    again = await here.want(Desired(NARROW, 10 * UNIT, 0))
    await worked(service, 2)
    assert (await here.ended(again)).status == "reconciled"
    assert [r for r, _ in standing_of(await here.fork()).positions] == [NARROW]


async def test_without_minimum_amounts_a_step_is_done_at_any_price(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss that they prevent: at a price that somebody moved, the mint puts in one token alone."""
    monkeypatch.setattr("executor.vault_plan._taken", lambda offered, price: (0, 0))
    service = here.service(await here.transactor())
    intent = await here.want(*WISH)
    assert [await service.work() for _ in range(2)] == [True, True]
    await here.made.chain.swap(True, 3000 * UNIT)
    await here.made.chain.mine()
    assert await service.work()
    done = await here.ended(intent)
    amounts = json.loads(done.amounts or "")
    assert (done.status, amounts["is_exact"]) == ("reconciled", False)
    assert int(amounts["realised"]["idle1"]) - int(amounts["predicted"]["idle1"]) > 50 * UNIT


async def test_this_executor_gives_it_the_rest_and_the_day_that_it_does_not_keep_itself(here: Office) -> None:
    service = here.service(await here.transactor())
    await here.want(*WISH)
    await worked(service, 2)
    tired = replace(here.bounds, live=replace(here.bounds.live, cooldown_s=60))
    await here.want(Desired(ABOVE, 50 * UNIT, 0))
    at = NOW + 59
    waiting = here.service(await here.transactor(), bounds=tired, now=lambda: at)
    assert not await waiting.work()
    assert here.facts[-1] == Waiting("e2 is put off: the vault rests for 1 s more")
    at += 1
    assert await waiting.work()


async def test_a_dry_run_tells_all_its_calls(here: Office) -> None:
    await here.want(*WISH)
    assert not await here.service(None).work()
    [fact] = here.facts
    assert isinstance(fact, DryRun) and len(fact.prepared.steps) == 2
    late = fact.prepared.deadlines_s
    assert late[1] - late[0] == here.bounds.deadline_s
    assert await here.rebalances() == 0


async def test_a_keeper_who_is_not_its_operator_is_refused_beforehand(here: Office) -> None:
    await here.want(*WISH)
    other = here.service(await here.transactor(), keeper=RECEIVER)
    assert await other.work()
    [fact] = here.facts
    assert isinstance(fact, Refusal) and fact.reason.endswith("not the operator") and KEEPER.address != RECEIVER
