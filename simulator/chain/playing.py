"""Recorded events as transactions, and what became of them held against the record. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass, fields

from simulator.chain.abi import call_data, read_log
from simulator.chain.laps import seam_changes
from simulator.chain.node import Receipt, Transaction
from simulator.events import LiquidityEvent, PoolEvent, SwapEvent
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.records import Record
from simulator.recovery import RecoveredCall

# No swap of a real pool needs as much, and a block takes many such: only the gas used counts against its limit.
_GAS = 15_000_000
_PLENTY = 2**120  # more of any token than brings a pool to any price that its liquidity can be at


@dataclass(frozen=True, slots=True)
class Difference:
    """The first field of an event in which the devnet and the record differ; a reverted call differs in `revert`."""

    block: int
    log_index: int
    field: str
    expected: int | None
    got: int | str | None


def event_transaction(trader: str, event: PoolEvent, call: RecoveredCall | None) -> Transaction | None:
    """Return the transaction that lets an event happen again, or None where nothing is to be done.

    A burn of nothing moves nothing but what its owner is owed, and the owner was somebody else. Flashes and changes of
    the protocol's share move fee growth alone, which on a devnet is its own from the start.
    """
    if isinstance(event, SwapEvent):
        if call is None:
            raise ValueError("a swap is repeated by its call")
        return swap_transaction(trader, call)
    if isinstance(event, LiquidityEvent):
        return liquidity_transaction(trader, event.tick_lower, event.tick_upper, event.liquidity_delta)
    return None


def swap_transaction(trader: str, call: RecoveredCall) -> Transaction:
    """Return a swap by the trader. Without a limit the contract wants the last price before the end."""
    limit = call.sqrt_price_limit_x96
    if limit is None:
        limit = MIN_SQRT_RATIO + 1 if call.zero_for_one else MAX_SQRT_RATIO - 1
    arguments = (int(call.zero_for_one), call.amount_specified, limit)
    return Transaction(trader, call_data("swap(bool,int256,uint160)", *arguments), _GAS)


def liquidity_transaction(trader: str, tick_lower: int, tick_upper: int, liquidity_delta: int) -> Transaction | None:
    """Return a mint or burn by the trader, None for a change of nothing."""
    if liquidity_delta == 0:
        return None
    verb = "mint" if liquidity_delta > 0 else "burn"
    data = call_data(f"{verb}(int24,int24,uint128)", tick_lower, tick_upper, abs(liquidity_delta))
    return Transaction(trader, data, _GAS)


def seam_transactions(trader: str, record: Record, sqrt_price_x96: int) -> list[Transaction]:
    """Return what takes the pool from the end of a lap (its price is given) back to the record's opening."""
    changes = (event_transaction(trader, change, None) for change in seam_changes(record))
    return [*(change for change in changes if change is not None), *_swaps_to_opening(trader, record, sqrt_price_x96)]


def _swaps_to_opening(trader: str, record: Record, sqrt_price_x96: int) -> list[Transaction]:
    target = record.opening.sqrt_price_x96
    if sqrt_price_x96 == target:
        return []
    steps = [target]
    if sqrt_price_x96 > target == get_sqrt_ratio_at_tick(record.opening.tick):
        steps = [target - 1, target]  # coming down to a tick's own price a pool is at the tick below
    calls = []
    for step in steps:
        calls.append(RecoveredCall(sqrt_price_x96 > step, _PLENTY, step))
        sqrt_price_x96 = step
    return [swap_transaction(trader, call) for call in calls]


def difference(event: PoolEvent | None, receipt: Receipt | None, *, pool: str, block: int) -> Difference | None:
    """Return where what happened differs from the event (None: of a seam, not recorded), or None where it does not."""
    log_index = -1 if event is None else event.log_index
    if receipt is None or not receipt.is_success:
        return Difference(block, log_index, "revert", None, "not in the block" if receipt is None else "reverted")
    if event is None:
        return None
    logs = [log for log in receipt.logs if str(log["address"]).lower() == pool.lower()]
    happened = [read_log(log, pair_address=pool, block_number=block) for log in logs]
    found = [item for item in happened if type(item) is type(event)]
    if len(found) != 1:
        return Difference(block, log_index, "events", 1, len(found))
    return _first_difference(event, found[0], block)


def _first_difference(expected: PoolEvent, got: PoolEvent | None, block: int) -> Difference | None:
    for field in fields(expected):
        wanted, is_there = getattr(expected, field.name), getattr(got, field.name)
        # A log's index is its place among all logs of the block, and an amount that was not recorded is anybody's.
        if field.name != "log_index" and wanted is not None and wanted != is_there:
            return Difference(block, expected.log_index, field.name, wanted, is_there)
    return None
