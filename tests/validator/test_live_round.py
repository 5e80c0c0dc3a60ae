"""What a round on chain is settled with: every transaction of its intents, each in a block of the round."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.rows import make_execution, open_round

from db.records import REJECTED, Execution
from db.store import Store
from db.transaction import Attempt, Call, Phase, Purpose, Receipt, step_id
from protocol.errors import SimulationError
from simulator.events import Block
from simulator.market import Market, Reorg
from simulator.portfolio import VaultState
from simulator.settlement import Paid, Settlement
from validator.live_round import Patience, settle
from validator.progress import PlanExecuted, ProgressEvent

KEEPER, VAULT = "0x" + "aa" * 20, "0x" + "bb" * 20
ROUND = "weth-usdc_live_1"
HELD = VaultState(1, 2, (), in_pool=True)
NO_PATIENCE = Patience(0, 0.0)
BLOCKS = [Block(n, f"0x{n:02x}", f"0x{n - 1:02x}", 2 * n, ()) for n in range(10, 14)]


@dataclass(slots=True)
class Ended(Market):
    """A market whose round is over: its n-th block since then brings what `happens` says."""

    happens: Mapping[int, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    vault: VaultState | None = HELD
    seen: int = 0

    async def next_block(self) -> Block:
        self.seen += 1
        assert self.seen < 9, "nobody waits as long as this"
        if self.seen in self.happens:
            await self.happens[self.seen]()
        return Block(BLOCKS[-1].number + self.seen, "0xff", "0xff", 99, ())


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        await open_round(opened, 1, round_type="live")
        yield opened


async def carry_out(store: Store, *blocks: int, index: int = 0, last: Purpose = "plan") -> None:
    """Write an intent of so many steps, each mined in its block; the last one's nonce may be spent on nothing."""
    names = await mine(store, *blocks, index=index, last=last)
    for name in names:
        await finish(store, name, is_done=last == "plan" or name != names[-1])


async def finish(store: Store, name: str, *, is_done: bool = True) -> None:
    ends: tuple[Phase, ...] = ("confirmed", "reconciled") if is_done else ("cancelled",)
    for phase in ends:
        await store.finish_transaction(name, phase)


async def plan(store: Store, *, index: int = 0, **changes: Any) -> Execution:
    start = await store.get_round(ROUND)
    assert start is not None
    values = {"execution_id": f"e{index}", "status": "planned", "mode": "chain", "payload_digest": f"{index:064x}"}
    return await store.add_execution(make_execution(start, index, **{**values, **changes}))


async def mine(store: Store, *blocks: int, index: int = 0, last: Purpose = "plan") -> list[str]:
    """Write an intent and have its steps mined; return their names."""
    intent = await plan(store, index=index)
    names = [step_id(intent.execution_id, number) for number in range(len(blocks))]
    calls = [Call(name, 8453, KEEPER, VAULT, f"0x{n:02x}", 2**31) for n, name in enumerate(names)]
    await store.plan_transactions(calls, amounts=json.dumps({"loss_ppm": 3}))
    fence = await store.take_key(8453, KEEPER, "me", seconds=60)
    assert fence is not None
    for number, (name, block) in enumerate(zip(names, blocks, strict=True)):
        nonce = 10 * index + number
        tx_hash = f"0x{nonce:064x}"
        await store.note_simulated(name, block=block - 1, gas_limit=400_000)
        attempt = Attempt(tx_hash, last if name == names[-1] else "plan", "0x02", 2, 1)
        await store.add_attempt(name, attempt, nonce=nonce, fence=fence)
        await store.note_sent(name, tx_hash)
        mined = Receipt(tx_hash, block, f"0x{block:02x}", succeeded=True, gas_used=100 + number, fee_wei=1000 + number)
        await store.note_receipt(name, mined)
        if name != names[-1]:
            await finish(store, name)
    return names[-1:]


async def settled(
    store: Store, market: Ended | None = None, patience: Patience = NO_PATIENCE, blocks: list[Block] = BLOCKS
) -> tuple[Settlement, list[ProgressEvent]]:
    told: list[ProgressEvent] = []
    return await settle(store, market or Ended(), ROUND, blocks, told.append, patience), told


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


async def test_every_plan_of_the_round_is_paid_for_and_a_rejected_one_is_none(store: Store) -> None:
    await plan(store, index=0, status=REJECTED, guard="too much")
    await carry_out(store, 11, index=1)
    await carry_out(store, 13, index=2)
    settlement, told = await settled(store)
    assert [(paid.tx_hash, paid.block_number) for paid in settlement.paid] == [
        (f"0x{10:064x}", 11),
        (f"0x{20:064x}", 13),
    ]
    assert [type(event) for event in told] == [PlanExecuted, PlanExecuted]


async def test_what_the_executor_wrote_down_is_told(store: Store) -> None:
    await carry_out(store, 11)
    positions = [[-60, 60, str(2**100)]]
    amounts = {"loss_ppm": 7, "error0": "5", "error_in_token1": "-13", "realised": {"positions": positions}}
    await store.update_execution("e0", {"amounts": json.dumps(amounts)})
    _, [told] = await settled(store)
    assert isinstance(told, PlanExecuted)
    assert (told.loss_ppm, told.error_in_token1, told.positions) == (7, -13, ((-60, 60, 2**100),))


async def test_a_plan_that_no_key_signed_is_withdrawn_and_voids_the_round(store: Store) -> None:
    intent = await plan(store)
    with pytest.raises(SimulationError, match=r"was not carried out \(expired: its round is over\)"):
        await settled(store)
    withdrawn = await store.get_execution(intent.execution_id)
    assert withdrawn is not None and withdrawn.status == "expired"


async def test_a_plan_without_a_transaction_voids_the_round(store: Store) -> None:
    await plan(store, status="reconciled")
    with pytest.raises(SimulationError, match="it has no transaction"):
        await settled(store)


async def test_a_transaction_in_another_block_of_the_same_height_voids_the_round(store: Store) -> None:
    await carry_out(store, 13)
    another = [*BLOCKS[:-1], replace(BLOCKS[-1], block_hash="0xee")]
    with pytest.raises(SimulationError, match=r"it is in block 13, which is none of the round's"):
        await settled(store, blocks=another)


async def test_a_vault_that_cannot_be_read_voids_the_round(store: Store) -> None:
    with pytest.raises(SimulationError, match="cannot be read"):
        await settled(store, Ended(vault=None))


@pytest.mark.parametrize("patience", [Patience(3, 0.0), Patience(0, 30.0)])
async def test_the_executor_has_so_many_blocks_and_so_many_seconds(store: Store, patience: Patience) -> None:
    [name] = await mine(store, 13)
    market = Ended({3: lambda: finish(store, name)})
    settlement, _ = await settled(store, market, patience)
    assert (len(settlement.paid), market.seen) == (1, 3)


async def test_patience_ends(store: Store) -> None:
    await mine(store, 13)
    market = Ended()
    with pytest.raises(SimulationError, match=r"was not carried out \(mined"):
        await settled(store, market, Patience(3, 0.0))
    assert market.seen == 3


@pytest.mark.parametrize(("ancestor", "voids"), [(13, False), (12, True)])
async def test_a_reorg_after_the_round_does_no_harm_unless_it_takes_its_last_block(
    store: Store, ancestor: int, *, voids: bool
) -> None:
    [name] = await mine(store, 13)

    async def take_back() -> None:
        await finish(store, name)
        raise Reorg(ancestor, "0x0c", 1)

    market = Ended({1: take_back})
    if voids:
        with pytest.raises(SimulationError, match="took the round's last block back"):
            await settled(store, market, Patience(3, 0.0))
    else:
        assert len((await settled(store, market, Patience(3, 0.0)))[0].paid) == 1
