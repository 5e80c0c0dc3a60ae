"""What limits a vault's owner has announced: the vault keeps a hash and a time, its event says which they are."""

from __future__ import annotations

from typing import Any

from executor.limit_errands import Announcement, limits_hash
from executor.vault import VaultLimits
from executor.vault_abi import LIMITS
from protocol.errors import ChainError
from simulator.chain.abi import call_data, read_hash, read_words, topic
from simulator.chain.blocks import Header, header_request, logs_request
from simulator.chain.endpoints import Endpoints
from simulator.chain.rpc import BadAnswer, Request

_ANNOUNCED = f"LimitsAnnounced({LIMITS})"
_SAME_SECOND = 20  # blocks that a chain may make in one


async def read_announcement(
    endpoints: Endpoints, header: Header, vault: str, *, deadline_s: float
) -> Announcement | None:
    """Return what waits at a block, or None. Raises ChainError where the vault cannot be asked."""
    requests = [
        Request("eth_call", ({"to": vault, "data": call_data(name)}, header.pin()), read_words, is_decisive=True)
        for name in ("announced_hash()", "announced_at()")
    ]
    [number], [at_s] = await endpoints.ask_all(requests, deadline_s=deadline_s)
    if number == 0:
        return None
    digest = number.to_bytes(32, "big")
    try:
        limits = await _find(endpoints, header, vault, digest, at_s, deadline_s=deadline_s)
    except ChainError:
        limits = None  # nodes forget old logs, the vault does not
    return Announcement(digest, at_s, limits)


async def _find(
    endpoints: Endpoints, head: Header, vault: str, digest: bytes, at_s: int, *, deadline_s: float
) -> VaultLimits | None:
    """Return the limits with this hash from the events of a second; blocks are dated, so it is found by halving."""

    async def block(number: int) -> Header:
        found = await endpoints.ask(header_request(number), deadline_s=deadline_s)
        if found is None:
            raise BadAnswer("a block below the head that is not there", block=number)
        return found

    first, last = 0, head.number  # the last block of that second, or of one before it, is one of these
    while first < last:
        middle = (first + last + 1) // 2
        if (await block(middle)).timestamp <= at_s:
            first = middle
        else:
            last = middle - 1
    for number in range(first, max(first - _SAME_SECOND, -1), -1):
        header = await block(number)
        if header.timestamp != at_s:
            break
        for limits in await endpoints.ask(logs_request(header, vault, _read), deadline_s=deadline_s):
            if limits_hash(limits) == digest:
                return limits
    return None


def _read(log: dict[str, Any]) -> VaultLimits | None:
    if [read_hash(found) for found in log["topics"]] != [topic(_ANNOUNCED)]:
        return None
    values = read_words(log.get("data"))
    if len(values) != len(VaultLimits.__slots__):
        raise BadAnswer("announced limits with too many or too few words")
    return VaultLimits(*values)
