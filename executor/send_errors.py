"""What a node's words about a transaction mean. Codes differ between clients, so the words are read."""

from __future__ import annotations

from enum import StrEnum


class SendVerdict(StrEnum):
    """What became of bytes that were sent."""

    ACCEPTED = "accepted"
    BUMP = "bump"  # another attempt is there, or it pays too little: pay more
    NONCE = "nonce"  # the nonce is spent: look for our own receipts first
    FUNDS = "funds"  # the key cannot pay: keep the attempt, tell somebody
    FATAL = "fatal"  # these bytes will never be taken
    UNKNOWN = "unknown"  # nothing is known: look, then send the same bytes again


# In the order in which they are looked for: "replacement ... underpriced" before what is merely underpriced, and
# "already reserved", which is no acceptance, before "already known".
_WORDS = (
    ("address already reserved", SendVerdict.FATAL),
    ("already known", SendVerdict.ACCEPTED),
    ("already imported", SendVerdict.ACCEPTED),
    ("known transaction", SendVerdict.ACCEPTED),
    ("underpriced", SendVerdict.BUMP),
    ("max fee per gas less than block base fee", SendVerdict.BUMP),
    ("nonce too low", SendVerdict.NONCE),
    ("insufficient funds", SendVerdict.FUNDS),
    ("chain id", SendVerdict.FATAL),
    ("chainid", SendVerdict.FATAL),
    ("intrinsic gas", SendVerdict.FATAL),
    ("gas limit too high", SendVerdict.FATAL),
    ("exceeds block gas limit", SendVerdict.FATAL),
)


def classify(message: str) -> SendVerdict:
    """Return what a refusal of `eth_sendRawTransaction` means; words that nobody knows mean nothing.

    Source: strings of geth, reth and anvil (execution facts §2 and §14)
    """
    lowered = message.lower()
    return next((verdict for words, verdict in _WORDS if words in lowered), SendVerdict.UNKNOWN)
