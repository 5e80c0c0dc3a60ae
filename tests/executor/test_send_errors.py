"""A node's words: one row for every string that geth, reth or anvil is known to say."""

from __future__ import annotations

import pytest

from executor.send_errors import SendVerdict, classify


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("already known", "accepted"),
        ("transaction already imported", "accepted"),
        ("replacement transaction underpriced", "bump"),
        ("transaction underpriced", "bump"),
        ("max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 7", "bump"),
        ("nonce too low", "nonce"),
        ("nonce too low: next nonce 5, tx nonce 3", "nonce"),
        ("insufficient funds for gas * price + value", "funds"),
        ("Insufficient funds for gas * price + value", "funds"),
        ("invalid chain id for signer", "fatal"),
        ("intrinsic gas too low", "fatal"),
        ("address already reserved", "fatal"),
        ("exceeds block gas limit", "fatal"),
        ("the moon is full", "unknown"),
        ("", "unknown"),
    ],
)
def test_words(message: str, verdict: str) -> None:
    assert classify(message) is SendVerdict(verdict)
