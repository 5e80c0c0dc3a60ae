"""Who stakes in a Slipstream pool: the pool itself logs nothing of it, its gauge does, by the position's number.

Whatever way liquidity is staked, the pool tells how much of it is at the price: the base fork is held against that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import SimulationError
from simulator.base_fork import Divergence
from simulator.chain.abi import call_data, read_hash, read_quantity, read_words, signed, topic, unsigned
from simulator.chain.blocks import Header, in_bloom, logs_request
from simulator.chain.families import PoolKind
from simulator.chain.rpc import BadAnswer, Refused, Request, Rpc
from simulator.events import END_OF_BLOCK, StakeEvent, StakingEvent
from simulator.math.swap_math import PIPS

DEPOSIT = "Deposit(address,uint256,uint128)"
WITHDRAW = "Withdraw(address,uint256,uint128)"
_POSITION_WORDS = 12


@dataclass(frozen=True, slots=True)
class _Moved:
    """A position that came to the gauge or left it."""

    log_index: int
    token_id: int
    liquidity_delta: int


async def stake_events(
    rpc: Rpc, header: Header, parent: Header, kind: PoolKind, *, deadline_s: float
) -> Sequence[StakeEvent]:
    """Return what was staked or unstaked in a block, in log order. Costs nothing where the bloom has no such log.

    Raises ChainError, and Divergence (unknown_stake) when a position that moved was there neither before nor after.
    """
    if kind.gauge is None or kind.manager is None or not _moves_in(header, kind.gauge):
        return ()
    moved = await rpc.ask(logs_request(header, kind.gauge, _read_move), deadline_s=deadline_s)
    return [await _staked(rpc, move, (header, parent), kind.manager, deadline_s) for move in moved]


async def staking_event(rpc: Rpc, header: Header, pair_address: str, *, deadline_s: float) -> StakingEvent:
    """Return what a Slipstream pool says of its stakes at the end of a block."""

    def read(value: Any) -> int:
        answer = read_words(value)
        if len(answer) != 1:
            raise BadAnswer(f"{len(answer)} words from a getter of 1")
        return unsigned(answer[0], 128)

    calls = [{"to": pair_address, "data": call_data(name)} for name in ("stakedLiquidity()", "unstakedFee()")]
    requests = [Request("eth_call", (call, header.pin()), read, is_decisive=True) for call in calls]
    staked_liquidity, unstaked_fee_pips = await rpc.ask_all(requests, deadline_s=deadline_s)
    if unstaked_fee_pips > PIPS:
        raise BadAnswer(f"a levy of {unstaked_fee_pips} pips", block=header.number)
    return StakingEvent(END_OF_BLOCK, staked_liquidity, unstaked_fee_pips)


async def refuse_stakes(rpc: Rpc, header: Header, kind: PoolKind, owner: str, *, deadline_s: float) -> None:
    """Raise SimulationError where an account has positions in the pool's gauge: they earn what no round can value."""
    if kind.gauge is None:
        return
    call = {"to": kind.gauge, "data": call_data("stakedLength(address)", int(owner, 16))}
    request = Request("eth_call", (call, header.pin()), read_words, is_decisive=True)
    try:
        answer = await rpc.ask(request, deadline_s=deadline_s)
    except Refused:
        return  # a gauge of another make: what it holds is not among the vault's positions either
    if any(answer):
        raise SimulationError("the vault has staked positions, which earn no fees", vault=owner, gauge=kind.gauge)


def _moves_in(header: Header, gauge: str) -> bool:
    names = (bytes.fromhex(topic(signature)[2:]) for signature in (DEPOSIT, WITHDRAW))
    has_gauge = in_bloom(header.logs_bloom, bytes.fromhex(gauge.removeprefix("0x")))
    return has_gauge and any(in_bloom(header.logs_bloom, name) for name in names)


def _read_move(log: Mapping[str, Any]) -> _Moved | None:
    name, *indexed = log["topics"]
    signs = {topic(DEPOSIT): 1, topic(WITHDRAW): -1}
    sign = signs.get(read_hash(name))
    if sign is None:
        return None  # fees and emissions: an unstaked vault has no part in them
    log_index = read_quantity(log.get("logIndex"))
    if len(indexed) != 3:
        raise BadAnswer("a gauge's log with too many or too few words", log_index=log_index)
    token_id, liquidity = (read_words(word)[0] for word in indexed[1:])
    return _Moved(log_index, token_id, sign * unsigned(liquidity, 127))


async def _staked(
    rpc: Rpc, move: _Moved, headers: tuple[Header, Header], manager: str, deadline_s: float
) -> StakeEvent:
    """Find the ticks of a position: as the block left it or, where that ended with its burning, as it was before."""
    for header in headers:
        call = {"to": manager, "data": call_data("positions(uint256)", move.token_id)}
        request = Request("eth_call", (call, header.pin()), _read_range, is_decisive=True)
        try:
            lower, upper = await rpc.ask(request, deadline_s=deadline_s)
        except Refused:
            continue
        return StakeEvent(move.log_index, lower, upper, move.liquidity_delta)
    raise Divergence("unknown_stake", block=headers[0].number, log_index=move.log_index, token_id=move.token_id)


def _read_range(value: Any) -> tuple[int, int]:
    row = read_words(value)
    if len(row) != _POSITION_WORDS:
        raise BadAnswer(f"{len(row)} words from a getter of {_POSITION_WORDS}")
    return signed(row[5], 24), signed(row[6], 24)
