"""A call carried out on a node and nowhere else, and what it would leave behind there."""

from __future__ import annotations

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

_REHEARSE = "rehearse(address,address,address,address,bytes)"
_PLANS_FAULTS = ("too narrow", "too far", "too many positions", "loss")  # the vault's words; a daily loss is one, too
_HEAD_WORDS = 4  # of the answer: both idle balances, the price, where the list begins


@dataclass(frozen=True, slots=True)
class Stage:
    """Who calls which vault, on which pool."""

    keeper: str
    vault: str
    info: MarketInfo


def rehearsal_code() -> str:
    """Return the code that a node runs as the keeper's, as hex. Raises ConfigError when the compiler is missing."""
    return "0x" + compiled("rehearsal", CONTRACTS).runtime_code.hex()


async def rehearse(node: rpc.Rpc, header: Header, stage: Stage, step: Step, *, deadline_s: float) -> Standing | Refused:
    """Return what a vault would hold after the keeper's call at the end of a block, or the words of its refusal.

    Raises ChainError. A node that runs no code by state override refuses everything: nothing is sent through it.
    """
    call = {"to": stage.keeper, "data": "0x" + _data(stage, step.data).hex()}
    parameters = (call, header.pin(), {stage.keeper: {"code": rehearsal_code()}})
    request = rpc.Request("eth_call", parameters, _read, is_decisive=True)
    try:
        return await node.ask(request, deadline_s=deadline_s)
    except rpc.Refused as refusal:
        is_plans = refusal.message.endswith(_PLANS_FAULTS)
        return Refused(f"the node refuses the call: {refusal.message}", is_plans)


def _data(stage: Stage, data: bytes) -> bytes:
    addresses = (stage.vault, stage.info.pair_address, stage.info.token0.address, stage.info.token1.address)
    head = words(*(int(address, 16) for address in addresses), 5 * 32, len(data))
    return selector(_REHEARSE) + head + data.ljust(-(-len(data) // 32) * 32, b"\0")


def _read(value: Any) -> Standing:
    answer = read_words(value)
    if len(answer) <= _HEAD_WORDS or len(answer) != _HEAD_WORDS + 1 + 3 * answer[_HEAD_WORDS]:
        raise rpc.BadAnswer("not the rehearsal's answer", words=len(answer))
    idle0, idle1, sqrt_price_x96, _, _, *fields = answer
    return Standing(idle0, idle1, unsigned(sqrt_price_x96, 160), read_positions(fields))
