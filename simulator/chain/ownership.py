"""Which events of a pool are the vault's own: they happened to the real pool and belong on no fork but that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.base_fork import Divergence
from simulator.chain.abi import address_of, call_data, read_hash, read_quantity, read_words, topic, unsigned
from simulator.chain.blocks import Header, PoolLog, logs_request
from simulator.chain.rpc import BadAnswer, Refused, Request, Rpc
from simulator.chain.snapshot import VaultQuery
from simulator.events import LiquidityEvent

INCREASE = "IncreaseLiquidity(uint256,uint128,uint256,uint256)"
DECREASE = "DecreaseLiquidity(uint256,uint128,uint256,uint256)"


@dataclass(frozen=True, slots=True)
class _Managed:
    """A position manager's log of a change: which of its positions, and by how much."""

    log_index: int
    token_id: int
    liquidity: int


async def own_events(
    rpc: Rpc, logs: Sequence[PoolLog], header: Header, vault: VaultQuery | None, *, deadline_s: float
) -> tuple[int, ...]:
    """Return the log indices of a block's events that are the vault's own.

    The vault is the owner of the liquidity, or the sender of the swap (or its recipient, where its positions are a
    manager's and its swaps a router's); or a position manager is the owner, and the vault owned that position at the
    end of the block or of the one before. What others mint in its name, or swap for it, they give: it happens on every
    fork. Raises ChainError when it cannot be
    read, Divergence (unknown_owner) when the position manager did not say which position it changed.
    """
    if vault is None:
        return ()
    owner, manager = vault.owner.lower(), (vault.manager or "").lower()
    own = {log.event.log_index for log in logs if _is_own(log, owner, has_manager=bool(manager))}
    through = [
        log.event
        for log in logs
        if isinstance(log.event, LiquidityEvent) and log.event.liquidity_delta and log.parties == (manager,)
    ]
    if through:
        changes = await rpc.ask(logs_request(header, manager, _managed), deadline_s=deadline_s)
        for event in through:
            token_id = _token_id(event, changes, header)
            if owner in await _owners(rpc, manager, token_id, header, deadline_s):
                own.add(event.log_index)
    return tuple(sorted(own))


def _is_own(log: PoolLog, owner: str, *, has_manager: bool) -> bool:
    if isinstance(log.event, LiquidityEvent):
        return log.parties == (owner,)
    return owner in log.parties if has_manager else log.parties[:1] == (owner,)


def _managed(log: dict[str, Any]) -> _Managed | None:
    name, *indexed = [*map(read_hash, log["topics"]), ""]
    if name not in (topic(INCREASE), topic(DECREASE)):
        return None
    data = read_words(log.get("data"))
    if len(indexed) != 2 or len(data) != 3:
        raise BadAnswer("a position manager's log with too many or too few words")
    return _Managed(read_quantity(log.get("logIndex")), int(indexed[0], 16), unsigned(data[0], 128))


def _token_id(event: LiquidityEvent, changes: Sequence[_Managed], header: Header) -> int:
    """Return the position behind a pool's log: the manager logs the same change right after the pool has."""
    after = next((change for change in changes if change.log_index > event.log_index), None)
    if after is None or after.liquidity != abs(event.liquidity_delta):
        raise Divergence("unknown_owner", block=header.number, log_index=event.log_index)
    return after.token_id


async def _owners(rpc: Rpc, manager: str, token_id: int, header: Header, deadline_s: float) -> set[str]:
    """Return who owned a position when the block before ended, and when this one did; nobody where it did not exist."""
    call = {"to": manager, "data": call_data("ownerOf(uint256)", token_id)}
    before = {"blockHash": header.parent_hash, "requireCanonical": True}
    owners = set()
    for pin in (before, header.pin()):
        try:
            owners.add(
                await rpc.ask(Request("eth_call", (call, pin), _address, is_decisive=True), deadline_s=deadline_s)
            )
        except Refused:
            continue  # made, or burnt, in this block
    return owners


def _address(value: Any) -> str:
    answer = read_words(value)
    if len(answer) != 1:
        raise BadAnswer("an owner that is not an address")
    return address_of(answer[0])
