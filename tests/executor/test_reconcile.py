"""The tracking error in numbers that can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from db.transaction import Receipt
from executor.past import read_amounts
from executor.preparation import Prepared
from executor.reconcile import predicted_amounts, realised_amounts, unread_amounts
from executor.standing import Standing, difference
from executor.vault_adapter import Step
from protocol.errors import StoreError
from protocol.units import Q96
from simulator.chain.blocks import Header
from simulator.portfolio import Range

BEFORE = Standing(1000, 2000, Q96, ())
PREDICTED = Standing(10, 20, Q96, ((Range(-60, 60), 10**6),))
PREPARED = Prepared(Step("0x" + "01" * 20, b""), 99, BEFORE, PREDICTED, turnover_ppm=7, loss_ppm=3)
HEADER = Header(5, "0x" + "aa" * 32, "0x" + "bb" * 32, 90, 0)
RECEIPT = Receipt("0x" + "cc" * 32, 8, "0x" + "dd" * 32, succeeded=True, gas_used=2, fee_wei=2**70)


def told(realised: Standing) -> dict[str, object]:
    values = json.loads(realised_amounts(predicted_amounts(PREPARED, HEADER), RECEIPT, realised))
    assert values["predicted"] == PREDICTED.to_json() and values["before"] == BEFORE.to_json()
    names = ("error0", "error1", "error_in_token1", "is_exact", "fee_wei", "realised_block", "block")
    return {name: values[name] for name in names}


def test_what_is_predicted_is_written_down_whole() -> None:
    assert json.loads(predicted_amounts(PREPARED, HEADER)) == {
        "block": 5,
        "block_hash": "0x" + "aa" * 32,
        "before": BEFORE.to_json(),
        "predicted": PREDICTED.to_json(),
        "turnover_ppm": 7,
        "loss_ppm": 3,
    }


def test_what_happened_as_predicted_has_no_error() -> None:
    same = {"error0": "0", "error1": "0", "error_in_token1": "0", "is_exact": True}
    assert told(PREDICTED) == {**same, "fee_wei": str(2**70), "realised_block": 8, "block": 5}


def test_an_error_is_realised_less_predicted_in_kind_and_in_worth() -> None:
    # At a square root of 2 token0 is worth 4 token1; the range lies below, so it holds token1 alone on both sides.
    found = replace(PREDICTED, idle0=15, idle1=13, sqrt_price_x96=2 * Q96)
    expected = {"error0": "5", "error1": "-7", "error_in_token1": "13", "is_exact": False}
    assert told(found) == {**expected, "fee_wei": str(2**70), "realised_block": 8, "block": 5}


def test_less_liquidity_is_an_error_too() -> None:
    found = replace(PREDICTED, positions=((Range(-60, 60), 10**6 // 2),))
    values = told(found)
    assert (values["is_exact"], values["error0"], values["error1"]) == (False, "-1498", "-1498")  # 1497 of 2995


def test_the_same_worth_at_another_price_is_not_what_was_predicted() -> None:
    """Liquidity may have moved between ranges, and be worth the same: that is an error, too."""
    idle = replace(PREDICTED, positions=())
    elsewhere = replace(idle, positions=((Range(-60, 60), 0),))
    values = json.loads(
        realised_amounts(predicted_amounts(replace(PREPARED, predicted=idle), HEADER), RECEIPT, elsewhere)
    )
    assert (values["error0"], values["error1"], values["is_exact"]) == ("0", "0", False)


def test_every_step_is_paid_for_whether_or_not_the_vault_could_be_read() -> None:
    amounts: str | None = predicted_amounts(PREPARED, HEADER)
    amounts = realised_amounts(amounts, RECEIPT, BEFORE)
    amounts = unread_amounts(amounts, replace(RECEIPT, block_number=9, fee_wei=5), "it is too old")
    values = json.loads(amounts)
    assert {name: values[name] for name in ("fee_wei", "steps_done", "realised_block", "realised", "unread")} == {
        "fee_wei": str(2**70 + 5),
        "steps_done": 2,
        "realised_block": 9,
        "realised": None,
        "unread": "it is too old",
    }
    again = json.loads(realised_amounts(amounts, replace(RECEIPT, fee_wei=7), PREDICTED))
    assert (again["fee_wei"], again["steps_done"], again["is_exact"]) == (str(2**70 + 12), 3, True)


def test_nothing_is_reconciled_without_a_prediction() -> None:
    for amounts in (None, "", "[]", "{}"):
        with pytest.raises(StoreError, match="without a prediction"):
            realised_amounts(amounts, RECEIPT, PREDICTED)
        assert read_amounts(amounts) == {}


def test_a_standing_comes_back_from_json() -> None:
    assert Standing.from_json(json.loads(json.dumps(PREDICTED.to_json()))) == PREDICTED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"idle0": 11}, "idle0 11, expected 10"),
        ({"idle1": 19}, "idle1 19, expected 20"),
        ({"sqrt_price_x96": Q96 + 1}, f"sqrt_price_x96 {Q96 + 1}, expected {Q96}"),
        ({"positions": ()}, "positions (), expected "),
    ],
)
def test_any_difference_is_told(change: dict[str, object], said: str) -> None:
    assert difference(PREDICTED, PREDICTED) is None
    found = difference(PREDICTED, replace(PREDICTED, **change))  # type: ignore[arg-type] # one field of several types
    assert found is not None and found.startswith(said)
