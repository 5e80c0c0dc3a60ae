"""Attacks by prices and plans on the executor, on the real contracts: first with the one defence taken away, where the
vault loses (else the test would prove nothing), then with it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.executor_attacks import BUYS, DEAR, FEE, Losses, bounds, carry, push
from support.executor_desk import Elsewhere, Office
from support.vault_anvil import UNIT

from executor import service
from executor.reading import VaultReader, VaultReading
from protocol.units import Q96
from simulator.plan import Desired
from simulator.portfolio import Range

CHEAP = Range(-900, -240)


@pytest.fixture
def losses(tmp_path: Path) -> Losses:
    return Losses(tmp_path)


async def test_a_pool_held_off_the_worlds_price(losses: Losses) -> None:
    """Held for longer than its memory, the pool agrees with all its means: only somebody elsewhere knows better."""

    async def buys(here: Office, **changes: Any) -> None:
        await push(here, 200)
        await here.pass_time()
        await here.want(*BUYS)
        await carry(here, **changes)

    assert await losses(buys) > 10 * UNIT + FEE  # 2 % of 500
    assert await losses(lambda here: buys(here, prices=Elsewhere(Q96))) == 0


async def test_a_price_pushed_off_its_mean(losses: Losses) -> None:
    """The miner himself pushes the price before his plan is carried out, and takes it back afterwards."""

    async def buys(here: Office, most: int) -> None:
        await push(here, 200)
        await here.want(*BUYS)
        await carry(here, bounds=bounds(here, max_deviation_ticks=most))

    assert await losses(lambda here: buys(here, 300)) > 10 * UNIT + FEE
    assert await losses(lambda here: buys(here, 100)) == 0


async def test_a_sandwich_around_the_call(losses: Losses) -> None:
    """Between the planning and the block somebody buys first what the plan is going to buy."""

    async def buys(here: Office, slack_ticks: int) -> None:
        await here.want(*BUYS)
        executor = here.service(await here.transactor(), bounds=replace(here.bounds, slack_ticks=slack_ticks))
        assert await executor.work()
        await push(here, 250)
        await executor.drain()

    assert await losses(lambda here: buys(here, 300)) > 12 * UNIT + FEE
    assert await losses(lambda here: buys(here, 30)) == 0


async def test_a_decision_that_is_too_old(losses: Losses) -> None:
    """A node was down for an hour, the price has left for good: the old swap is paid for, its range earns nothing."""
    around = Desired(Range(-120, 120), 1400 * UNIT, 590 * UNIT)

    async def late(here: Office, most: int) -> None:
        await here.want(around)
        for _ in range(32):
            await here.made.chain.mine()
        await push(here, 180)
        await here.pass_time()
        await carry(here, bounds=bounds(here, max_age_blocks=most))
        assert all(r.tick_upper < 180 for r in (await here.fork()).ranges)

    assert await losses(lambda here: late(here, 1000), fair_tick=180) > 6 * UNIT // 5  # 0.3 % of 400
    assert await losses(lambda here: late(here, 30), fair_tick=180) == 0


async def test_a_plan_that_swaps_nearly_everything(losses: Losses) -> None:
    async def buys(here: Office, most: int) -> None:
        await here.want(Desired(DEAR, 1950 * UNIT, 0))
        await carry(here, bounds=replace(here.bounds, plan=replace(here.bounds.plan, max_swap_ppm=most)))

    assert await losses(lambda here: buys(here, 10**6)) > 14 * UNIT // 5  # 0.3 % of 950
    assert await losses(lambda here: buys(here, 400_000)) == 0


async def churn(here: Office, **live: Any) -> None:
    """Swap most of the vault to and fro; each plan alone is within every bound."""
    for turn in range(6):
        wanted = Desired(DEAR, 1400 * UNIT, 0) if turn % 2 == 0 else Desired(CHEAP, 0, 1400 * UNIT)
        await here.want(wanted)
        await carry(here, bounds=bounds(here, **live))
        await here.pass_time()


async def test_turnover_without_end(losses: Losses) -> None:
    endless = await losses(lambda here: churn(here, max_daily_turnover_ppm=10**9))
    assert endless > 10 * UNIT
    # One plan of 200,000 ppm, none of the next, which turn twice as much over.
    assert await losses(lambda here: churn(here, max_daily_turnover_ppm=500_000)) < endless // 5


async def test_losses_without_end(losses: Losses) -> None:
    assert await losses(lambda here: churn(here, max_daily_loss_ppm=10**6)) > 10 * UNIT
    assert await losses(lambda here: churn(here, max_daily_loss_ppm=1000)) <= 2 * UNIT  # of 2000


async def test_a_plan_made_for_other_positions(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two plans for the same empty vault: the second swaps again, for a second position that nobody wanted beside."""
    first, second = Desired(DEAR, 1300 * UNIT, 0), Desired(Range(300, 960), 1300 * UNIT, 0)

    async def both(here: Office) -> None:
        for wanted in (first, second):
            await here.want(wanted)
        await carry(here)
        await here.pass_time()
        await carry(here)

    with monkeypatch.context() as patch:  # the check is a function of its own, without an argument to turn it off
        patch.setattr("executor.preparation._misfit", lambda *_: None)
        twice = await losses(both)
    once = await losses(both)
    assert twice - once > 9 * UNIT // 10  # 0.3 % of 300


class Dreamer(VaultReader):
    """Believes the pool to be fifty times as deep as it is, as where a contract is not what it was taken for."""

    async def read(self, *arguments: Any, **named: Any) -> VaultReading:
        reading = await super().read(*arguments, **named)
        reading.fork.pool.apply_liquidity(-60_000, 60_000, 10**6 * UNIT)
        return reading


async def test_a_simulator_that_is_wrong(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own word the plan costs 380 ppm; the real pool is thin, and takes five times as much."""

    async def buys(here: Office, reads: type[VaultReader] = Dreamer) -> None:
        async def connect(pool: str, vault: str) -> VaultReader:
            reader = await here.connect(pool, vault)
            reader.__class__ = reads
            return reader

        await here.want(Desired(DEAR, 1250 * UNIT, 0))
        live = bounds(here, max_daily_loss_ppm=1000)
        await carry(here, bounds=replace(live, slack_ticks=290), connect=connect)

    with monkeypatch.context() as patch:  # as above
        patch.setattr(service, "difference", lambda *_: None)
        assert await losses(buys, depth=UNIT) > 3 * UNIT
        assert await losses(lambda here: buys(here, VaultReader), depth=UNIT) == 0, "who knows the pool refuses"
    assert await losses(buys, depth=UNIT) == 0


async def test_a_vault_that_is_not_on_the_list(losses: Losses) -> None:
    """The key keeps it, and yet its owner has an agreement with somebody else."""

    async def buys(here: Office, vaults: frozenset[str]) -> None:
        await here.want(*BUYS)
        await carry(here, bounds=bounds(here, vaults=vaults))

    assert await losses(lambda here: buys(here, frozenset({here.made.vault.lower()}))) >= FEE
    assert await losses(lambda here: buys(here, frozenset({here.made.chain.pool.lower()}))) == 0
