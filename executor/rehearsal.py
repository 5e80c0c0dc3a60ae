"""Calls carried out on a node and nowhere else, and what they would leave behind there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from executor.guards import Refused
from executor.standing import Standing, read_positions
from executor.vault import CONTRACTS
from executor.vault_adapter import Step
from simulator.chain import rpc
from simulator.chain.abi import read_words, selector, unsigned, words
from simulator.chain.blocks import Header
from simulator.chain.compiler import compiled
from simulator.market import MarketInfo

_REHEARSE = "rehearse(address,address,address,address,address,(address,bytes)[])"
# The vault's words. Its "loss" and "daily loss" are no plan's: what a plan costs was judged before (ADR 7); here its
# means are behind the price, or the day was used up by others.
_PLANS_FAULTS = ("too narrow", "too far", "too many positions")
_PASSING = ("cooldown", "paused")
_HEAD_WORDS = 6  # of the answer: idle balances, the caller's, the price, where the list begins


@dataclass(frozen=True, slots=True)
class Stage:
    """Who calls, which vault is looked at, on which pool; `manager` holds the vault's positions, if one does."""

    caller: str
    vault: str
    info: MarketInfo
    manager: str | None = None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the vault would hold, and what the caller would then have of both tokens."""

    standing: Standing
    purse0: int
    purse1: int


def rehearsal_code() -> str:
    """Return the code that a node runs as the caller's, as hex. Raises ConfigError when the compiler is missing."""
    return "0x" + compiled("rehearsal", CONTRACTS).runtime_code.hex()


async def rehearse(
    node: rpc.Rpc, header: Header, stage: Stage, steps: Sequence[Step], *, deadline_s: float
) -> Rehearsed | Refused:
    """Return what there would be after the caller's calls, one after the other, at the end of a block, or the words of
    the first refusal.

    Raises ChainError. A node that runs no code by state override refuses everything: nothing is sent through it.
    """
    call = {"to": stage.caller, "data": "0x" + _data(stage, steps).hex()}
    parameters = (call, header.pin(), {stage.caller: {"code": rehearsal_code()}})
    request = rpc.Request("eth_call", parameters, _read, is_decisive=True)
    try:
        return await node.ask(request, deadline_s=deadline_s)
    except rpc.Refused as refusal:
        is_plans, is_passing = refusal.message.endswith(_PLANS_FAULTS), refusal.message.endswith(_PASSING)
        return Refused(f"the node refuses the call: {refusal.message}", is_plans=is_plans, is_passing=is_passing)


def _data(stage: Stage, steps: Sequence[Step]) -> bytes:
    info = stage.info
    addresses = (stage.vault, info.pair_address, info.token0.address, info.token1.address, stage.manager or "0x0")
    calls = [words(int(s.to, 16), 64, len(s.data)) + s.data.ljust(-(-len(s.data) // 32) * 32, b"\0") for s in steps]
    starts = [32 * len(calls) + sum(map(len, calls[:index])) for index in range(len(calls))]
    head = words(*(int(address, 16) for address in addresses), 6 * 32, len(calls), *starts)
    return selector(_REHEARSE) + head + b"".join(calls)


def _read(value: Any) -> Rehearsed:
    answer = read_words(value)
    if len(answer) <= _HEAD_WORDS or len(answer) != _HEAD_WORDS + 1 + 3 * answer[_HEAD_WORDS]:
        raise rpc.BadAnswer("not the rehearsal's answer", words=len(answer))
    idle0, idle1, purse0, purse1, sqrt_price_x96, _, _, *fields = answer
    standing = Standing(idle0, idle1, unsigned(sqrt_price_x96, 160), read_positions(fields))
    return Rehearsed(standing, purse0, purse1)
