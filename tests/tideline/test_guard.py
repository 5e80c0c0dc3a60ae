"""The executor's guards as the validator asks for them: on the miner's own portfolio, and on the vault's own day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.rows import CHAIN_TIME, DAY, VAULT, make_execution, open_round
from support.worlds import make_opening, make_snapshot

from db.store import Store
from executor.live_guards import LiveLimits
from protocol.units import Hotkey
from simulator.fork import Inventory, virtual_vault
from simulator.plan import Desired, NetSwap, Plan
from simulator.portfolio import Range
from simulator.round import Round
from tideline.guard import gate, guard

RICH, POOR = Hotkey("rich"), Hotkey("poor")
UNIT = 10**18
SNAPSHOT = make_snapshot()  # of a pool with 1000 units of liquidity around a price of 1
OPENING = make_opening(
    SNAPSHOT, virtual_vault(SNAPSHOT, Inventory(10 * UNIT, 10 * UNIT, ((Range(-60, 60), UNIT, UNIT),))), (RICH, POOR)
)
WHOLE = Plan((), (Range(-60, 60),), (), None, ())


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True, clock=lambda: CHAIN_TIME) as opened:
        yield opened


def test_a_plan_is_judged_on_its_miners_portfolio_and_pool() -> None:
    ask = Round(OPENING).pending_ask()
    assert ask is not None
    rich = ask.shown[RICH]
    poor = replace(rich, portfolio=replace(rich.portfolio, idle0=0, idle1=0, holdings=()))
    ask = replace(ask, shown={RICH: rich, POOR: poor})
    swap = replace(WHOLE, swap=NetSwap(True, 10 * UNIT - 1))
    assert guard(OPENING, ask, RICH, swap) is None
    found = guard(OPENING, ask, POOR, swap)
    assert found is not None and found.endswith("of the portfolio, at most 500000")
    narrow = replace(WHOLE, open=(Desired(Range(60, 120), UNIT, 0),))
    assert guard(OPENING, ask, RICH, narrow) == "range 60..120 is narrower than 120 ticks"
    wide = replace(WHOLE, open=(Desired(Range(-600, 600), UNIT, UNIT),))  # 33.8 units of liquidity
    assert guard(OPENING, ask, RICH, wide) is None
    lone = replace(ask, shown={RICH: replace(rich, foreign_liquidity=33 * UNIT)})
    assert guard(OPENING, lone, RICH, wide) == "in-range share 506265 ppm, at most 50000"


async def test_the_gate_is_shut_by_what_the_vaults_own_plans_used_of_the_day(store: Store) -> None:
    half = LiveLimits(frozenset()).max_daily_turnover_ppm // 2
    start = await open_round(store, 1, round_type="live")
    for index, (vault, turnover) in enumerate(((VAULT, half), ("0x" + "ab" * 20, half), (VAULT.lower(), 1))):
        before = await gate(store, 8453, VAULT, now=CHAIN_TIME)
        assert before is None, f"with {index} plans"
        intent = make_execution(start, index, vault=vault)
        await store.add_execution(intent)
        await store.update_execution(intent.execution_id, {"amounts": f'{{"turnover_ppm": {turnover}}}'})
    found = f"{half + 1} ppm of turnover in the last day, at most {half} before a round"
    assert await gate(store, 8453, VAULT, now=CHAIN_TIME) == found
    assert await gate(store, 8453, VAULT, now=CHAIN_TIME + DAY) == found
    assert await gate(store, 8453, VAULT, now=CHAIN_TIME + DAY + 1) is None
    assert await gate(store, 1, VAULT, now=CHAIN_TIME) is None
