"""Identities and limits shared by every package."""

from __future__ import annotations

from typing import NewType

Hotkey = NewType("Hotkey", str)  # ss58 address
Uid = NewType("Uid", int)
JobId = NewType("JobId", str)
RoundId = NewType("RoundId", str)
BlockNumber = NewType("BlockNumber", int)

Q96 = 2**96
Q128 = 2**128
Q192 = 2**192

MIN_TICK = -887272
MAX_TICK = 887272
MAX_UINT128 = 2**128 - 1
MAX_UINT256 = 2**256 - 1
