from __future__ import annotations

from dataclasses import replace

import pytest

from simulator import records
from simulator.chain.abi import SWAP, call_data, topic, words
from simulator.chain.node import Receipt
from simulator.chain.playing import Difference, difference, event_transaction, seam_transactions, swap_transaction
from simulator.events import LiquidityEvent, SwapEvent
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.recovery import RecoveredCall

POOL, TRADER = "0x" + "aa" * 20, "0x" + "bb" * 20
EVENT = SwapEvent(3, 100, -99, 2**96, 10**18, 0)


def receipt(event: SwapEvent, *, pool: str = POOL, is_success: bool = True) -> Receipt:
    """What a swap leaves behind, beside a token's log."""
    data = words(event.amount0, event.amount1, event.sqrt_price_x96, event.liquidity, event.tick)
    swap = {"address": pool, "topics": [topic(SWAP), "0x" + "00" * 32, "0x" + "00" * 32], "data": "0x" + data.hex()}
    other = {"address": TRADER, "topics": ["0x" + "11" * 32], "data": "0x", "logIndex": "0x0"}
    return Receipt("0x01", 7, is_success, 100_000, (other, swap | {"logIndex": "0x9"}))


def test_an_equal_swap_differs_in_nothing() -> None:
    assert difference(EVENT, receipt(EVENT), pool=POOL.upper().replace("X", "x"), block=7) is None


@pytest.mark.parametrize("field", ["amount0", "amount1", "sqrt_price_x96", "liquidity", "tick"])
def test_every_field_of_a_swap_is_compared(field: str) -> None:
    value = getattr(EVENT, field)
    happened = replace(EVENT, **{field: value + 1})
    assert difference(EVENT, receipt(happened), pool=POOL, block=7) == Difference(7, 3, field, value, value + 1)


def test_what_did_not_happen_differs() -> None:
    assert difference(EVENT, None, pool=POOL, block=7) == Difference(7, 3, "revert", None, "not in the block")
    reverted = receipt(EVENT, is_success=False)
    assert difference(EVENT, reverted, pool=POOL, block=7) == Difference(7, 3, "revert", None, "reverted")
    elsewhere = receipt(EVENT, pool="0x" + "cc" * 20)
    assert difference(EVENT, elsewhere, pool=POOL, block=7) == Difference(7, 3, "events", 1, 0)


def test_a_transaction_of_a_seam_only_has_to_succeed() -> None:
    assert difference(None, receipt(EVENT), pool=POOL, block=7) is None
    reverted = receipt(EVENT, is_success=False)
    assert difference(None, reverted, pool=POOL, block=7) == Difference(7, -1, "revert", None, "reverted")


def test_a_swap_without_a_limit_gets_the_last_price_before_the_end() -> None:
    signature = "swap(bool,int256,uint160)"
    down = call_data(signature, 1, -5, MIN_SQRT_RATIO + 1)
    up = call_data(signature, 0, -5, MAX_SQRT_RATIO - 1)
    assert swap_transaction(TRADER, RecoveredCall(True, -5, None)).data == down
    assert swap_transaction(TRADER, RecoveredCall(False, -5, None)).data == up


def test_liquidity_is_minted_burned_or_left_alone() -> None:
    def data_of(delta: int) -> str | None:
        transaction = event_transaction(TRADER, LiquidityEvent(0, -10, 10, delta, None, None), None)
        return None if transaction is None else transaction.data

    assert data_of(5) == call_data("mint(int24,int24,uint128)", -10, 10, 5)
    assert data_of(-5) == call_data("burn(int24,int24,uint128)", -10, 10, 5)
    assert data_of(0) is None


def test_a_swap_without_its_call_cannot_be_repeated() -> None:
    with pytest.raises(ValueError, match="repeated by its call"):
        event_transaction(TRADER, EVENT, None)


def test_a_price_on_a_tick_is_come_to_from_below() -> None:
    shipped = records.load("usdc-weth-005")
    boundary = get_sqrt_ratio_at_tick(shipped.opening.tick)
    record = replace(shipped, opening=replace(shipped.opening, sqrt_price_x96=boundary), blocks=())

    def limits(price: int) -> list[tuple[int, int]]:
        data = [bytes.fromhex(transaction.data[10:]) for transaction in seam_transactions(TRADER, record, price)]
        return [(int.from_bytes(item[:32], "big"), int.from_bytes(item[64:96], "big")) for item in data]

    assert limits(boundary) == []
    assert limits(boundary - 9) == [(0, boundary)]
    assert limits(boundary + 9) == [(1, boundary - 1), (0, boundary)]
