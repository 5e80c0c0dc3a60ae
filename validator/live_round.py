"""The end of a live round on chain: what became of its intents, and with what it is settled.

A plan that was not carried out within its round, through no fault of its own, is nobody's score: the round is
inconclusive (ADR 7). A plan that breaks a limit is its sender's fault: the portfolio stays, and is scored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.records import REJECTED, Execution
from db.store import Store
from db.transaction import UNFINISHED, Transaction
from protocol.errors import SimulationError
from simulator.events import Block
from simulator.market import Market, Reorg
from simulator.settlement import Paid, Settlement
from validator.progress import Observer, PlanExecuted

RECONCILED = "reconciled"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the executor may take to say what became of a call that was mined: so many blocks and seconds."""

    blocks: int = 64
    seconds: float = 30.0


async def settle(
    store: Store, market: Market, round_id: str, blocks: Sequence[Block], observe: Observer, patience: Patience
) -> Settlement:
    """Return what a finished round is settled with, once the executor has said what became of every intent.

    The market must have settled on the round's last block. Raises SimulationError where a plan was not carried out
    within the round's blocks, or nobody says so; ChainError when the chain stops.
    """
    vault, end_block = market.vault, blocks[-1].number
    hashes = {block.number: block.block_hash for block in blocks}
    if vault is None:
        raise SimulationError("the vault of a round on chain cannot be read", round_id=round_id)
    await store.withdraw_intents(round_id, "its round is over")
    paid: list[Paid] = []
    for execution in await _ended(store, market, round_id, end_block, patience):
        if execution.status == REJECTED:
            continue
        if execution.status != RECONCILED:
            raise _failed(execution, execution.guard)
        of_it = _paid(execution, await store.intent_transactions(execution.execution_id), hashes)
        observe(_executed(execution, of_it))
        paid += of_it
    return Settlement(vault, tuple(paid))


def _paid(execution: Execution, transactions: Sequence[Transaction], hashes: Mapping[int, str]) -> list[Paid]:
    """Return what an intent's transactions have cost. They are all done, so none of its nonces was spent on nothing."""
    receipts = [transaction.receipt for transaction in transactions]
    if not receipts:
        raise _failed(execution, "it has no transaction")
    paid = []
    for receipt in receipts:
        if receipt is None:
            raise _failed(execution, "it has no receipt")
        if hashes.get(receipt.block_number) != receipt.block_hash:
            raise _failed(execution, f"it is in block {receipt.block_number}, which is none of the round's")
        paid.append(Paid(receipt.tx_hash, receipt.block_number, receipt.gas_used, receipt.fee_wei))
    return paid


async def _ended(store: Store, market: Market, round_id: str, end_block: int, patience: Patience) -> list[Execution]:
    """Return the round's executions when all have ended, or patience has: the chain goes on meanwhile."""
    loop, blocks = asyncio.get_running_loop(), 0
    until = loop.time() + patience.seconds
    while True:
        executions = await store.round_executions(round_id)
        if all(e.status not in UNFINISHED for e in executions) or (blocks >= patience.blocks and loop.time() >= until):
            return executions
        try:
            await market.next_block()
        except Reorg as reorg:
            if reorg.ancestor_number < end_block:
                raise SimulationError("the chain took the round's last block back", round_id=round_id) from reorg
        blocks += 1
        await asyncio.sleep(0)  # a market at full speed must not starve the other jobs


def _failed(execution: Execution, why: str) -> SimulationError:
    reason = "" if why in ("", "allowed") else f": {why}"
    return SimulationError(
        f"the plan of checkpoint {execution.checkpoint_index} was not carried out ({execution.status}{reason})",
        execution_id=execution.execution_id,
    )


def _executed(execution: Execution, paid: Sequence[Paid]) -> PlanExecuted:
    """Return what is told of an intent: its last transaction, and what all of them cost."""
    amounts = json.loads(execution.amounts or "{}")
    realised = amounts.get("realised") or {}
    return PlanExecuted(
        job_id=execution.job_id,
        round_id=execution.round_id,
        hotkey=execution.hotkey,
        tx_hash=paid[-1].tx_hash,
        block=paid[-1].block_number,
        gas_used=sum(p.gas_used for p in paid),
        fee_wei=sum(p.fee_wei for p in paid),
        loss_ppm=amounts.get("loss_ppm", 0),
        error_in_token1=None if "error_in_token1" not in amounts else int(amounts["error_in_token1"]),
        positions=tuple((lower, upper, int(liquidity)) for lower, upper, liquidity in realised.get("positions", ())),
    )
