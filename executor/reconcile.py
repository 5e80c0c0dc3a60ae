"""What was predicted beside what the chain now says, as JSON text for `live_executions.amounts`. Pure."""

from __future__ import annotations

import json
from typing import Any

from db.transaction import Receipt
from executor.past import read_amounts
from executor.preparation import Prepared
from executor.standing import Standing
from protocol.errors import StoreError
from simulator.chain.blocks import Header
from simulator.valuation import QuoteToken, quote_prices, to_raw


def predicted_amounts(prepared: Prepared, header: Header) -> str:
    """Return what is written down before a call is: all that reconciliation will need after a restart.

    Parameters: prepared  on the state of a block   ·   header  of that block
    Returns:    JSON text; integers are decimal strings, except blocks, ticks and shares
    Source:     ours
    """
    return _text(
        {
            "block": header.number,
            "block_hash": header.block_hash,
            "before": prepared.before.to_json(),
            "predicted": prepared.predicted.to_json(),
            "turnover_ppm": prepared.turnover_ppm,
            "loss_ppm": prepared.loss_ppm,
        }
    )


def realised_amounts(amounts: str | None, receipt: Receipt, realised: Standing) -> str:
    """Return the same with what happened, and by how much it is another: the tracking error.

    Parameters: amounts  written by `predicted_amounts`   ·   realised  at the end of the receipt's block
    Returns:    JSON text; of several steps that of the last one done. The errors are realised less predicted, in tokens
                and in worth, both at the realised price;
                between the planning and the block others trade, so they are seldom 0
    Rounding:   tokens inside positions are floored, on both sides; the error in token1 toward zero
    Raises:     StoreError when nothing was predicted
    Source:     ours
    """
    values = read_amounts(amounts)
    if "predicted" not in values:
        raise StoreError("an execution without a prediction", tx_hash=receipt.tx_hash)
    predicted = Standing.from_json(values["predicted"])
    expected0, expected1 = predicted.total_at(realised.sqrt_price_x96)
    prices = quote_prices(realised.sqrt_price_x96, QuoteToken.TOKEN1)
    found0, found1 = realised.total_at(realised.sqrt_price_x96)
    return _text(
        values
        | {
            "realised_block": receipt.block_number,
            "realised": realised.to_json(),
            "error0": str(found0 - expected0),
            "error1": str(found1 - expected1),
            "error_in_token1": str(to_raw(prices.value(found0 - expected0, found1 - expected1))),
            "is_exact": realised == predicted,
            **_paid(values, receipt),
        }
    )


def unread_amounts(amounts: str | None, receipt: Receipt, why: str) -> str:
    """Return the same with what is known where the vault at the receipt's block cannot be read any more.

    Parameters: amounts  written by `predicted_amounts`   ·   why  in words
    Returns:    JSON text without realised amounts and errors
    Source:     ours
    """
    values = read_amounts(amounts)
    known = {"realised_block": receipt.block_number, "realised": None, "unread": why, **_paid(values, receipt)}
    return _text(values | known)


def _paid(values: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
    """Return what all steps so far have cost: one is reconciled once, in the write that ends it."""
    fee_wei = int(values.get("fee_wei", 0)) + receipt.fee_wei
    return {"fee_wei": str(fee_wei), "steps_done": values.get("steps_done", 0) + 1}


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
