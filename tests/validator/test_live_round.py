"""What a round on chain is settled with: every transaction of its intents, each in a block of the round."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.rows import make_execution, open_round

from db.store import Store
from db.transaction import Attempt, Call, Phase, Purpose, Receipt, step_id
from protocol.errors import SimulationError
from simulator.events import Block
from simulator.market import Market
from simulator.portfolio import VaultState
from simulator.settlement import Paid, Settlement
from validator.live_round import Patience, settle
from validator.progress import PlanExecuted, ProgressEvent

KEEPER, VAULT = "0x" + "aa" * 20, "0x" + "bb" * 20
ROUND = "weth-usdc_live_1"
HELD = VaultState(1, 2, (), in_pool=True)
BLOCKS = [Block(n, f"0x{n:02x}", f"0x{n - 1:02x}", 2 * n, ()) for n in range(10, 14)]


@dataclass(frozen=True, slots=True)
class Ended(Market):
    """A market whose round is over, so that no block of it is needed."""

    vault: VaultState | None = HELD


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        await open_round(opened, 1, round_type="live")
        yield opened


async def carry_out(store: Store, *blocks: int, last: Purpose = "plan") -> None:
    """Write an intent of so many steps, each mined in its block; the last one's nonce may be spent on nothing."""
    start = await store.get_round(ROUND)
    assert start is not None
    intent = make_execution(start, execution_id="e1", status="planned", mode="chain")
    await store.add_execution(intent)
    calls = [Call(step_id("e1", n), 8453, KEEPER, VAULT, f"0x{n:02x}", 2**31) for n in range(len(blocks))]
    await store.plan_transactions(calls, amounts=json.dumps({"loss_ppm": 3}))
    fence = await store.take_key(8453, KEEPER, "me", seconds=60)
    assert fence is not None
    for number, block in enumerate(blocks):
        name, tx_hash = step_id("e1", number), f"0x{number:064x}"
        await store.note_simulated(name, block=block - 1, gas_limit=400_000)
        is_done = last == "plan" or number + 1 < len(blocks)
        attempt = Attempt(tx_hash, "plan" if is_done else last, "0x02", 2, 1)
        await store.add_attempt(name, attempt, nonce=number, fence=fence)
        await store.note_sent(name, tx_hash)
        mined = Receipt(tx_hash, block, f"0x{block:02x}", succeeded=True, gas_used=100 + number, fee_wei=1000 + number)
        await store.note_receipt(name, mined)
        ends: tuple[Phase, ...] = ("confirmed", "reconciled") if is_done else ("cancelled",)
        for phase in ends:
            await store.finish_transaction(name, phase)


async def settled(store: Store) -> tuple[Settlement, list[ProgressEvent]]:
    told: list[ProgressEvent] = []
    return await settle(store, Ended(), ROUND, BLOCKS, told.append, Patience(0, 0.0)), told


async def test_every_step_of_a_plan_is_paid_for(store: Store) -> None:
    await carry_out(store, 11, 11, 13)
    settlement, [told] = await settled(store)
    paid = [(11, 100, 1000), (11, 101, 1001), (13, 102, 1002)]
    assert settlement == Settlement(HELD, tuple(Paid(f"0x{n:064x}", *row) for n, row in enumerate(paid)))
    assert isinstance(told, PlanExecuted)
    assert (told.tx_hash, told.block, told.gas_used, told.fee_wei) == (f"0x{2:064x}", 13, 303, 3003)


async def test_a_step_outside_the_round_voids_it(store: Store) -> None:
    await carry_out(store, 13, 14)
    with pytest.raises(SimulationError, match=r"it is in block 14, which is none of the round's"):
        await settled(store)


@pytest.mark.parametrize(("blocks", "says"), [((11,), "cancelled"), ((11, 12), "partial")])
async def test_a_nonce_that_was_spent_on_nothing_voids_it(store: Store, blocks: tuple[int, ...], says: str) -> None:
    """So a round that counts has no other costs than those of its steps."""
    await carry_out(store, *blocks, last="noop")
    with pytest.raises(SimulationError, match=rf"was not carried out \({says}"):
        await settled(store)
