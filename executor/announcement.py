"""What limits a vault's owner has announced: the vault keeps a hash and a time, its event says which they are."""

from __future__ import annotations

from typing import Any

from executor.limit_errands import limits_hash
from executor.vault import VaultLimits
from executor.vault_abi import LIMITS
from executor.vault_facts import VaultFacts
from protocol.errors import ChainError
from simulator.chain.abi import read_hash, read_words, topic
from simulator.chain.blocks import Header, header_request, logs_request
from simulator.chain.endpoints import Endpoints
from simulator.chain.rpc import BadAnswer

_ANNOUNCED = f"LimitsAnnounced({LIMITS})"
_SAME_SECOND = 20  # blocks that a chain may make in one


async def read_announced(
    endpoints: Endpoints, header: Header, facts: VaultFacts, *, deadline_s: float
) -> VaultLimits | None:
    """Return the limits that wait to be set; None where none do, or no node tells them: nodes forget old logs."""
    if not facts.announced_hash:
        return None
    try:
        return await _find(endpoints, header, facts, deadline_s=deadline_s)
    except ChainError:
        return None


async def _find(endpoints: Endpoints, head: Header, facts: VaultFacts, *, deadline_s: float) -> VaultLimits | None:
    """Return them from the event of that second. Blocks are dated, so its blocks are found by halving."""

    async def block(number: int) -> Header:
        found = await endpoints.ask(header_request(number), deadline_s=deadline_s)
        if found is None:
            raise BadAnswer("a block below the head that is not there", block=number)
        return found

    first, last = 0, head.number  # the last block of that second, or of one before it, is one of these
    while first < last:
        middle = (first + last + 1) // 2
        if (await block(middle)).timestamp <= facts.announced_at:
            first = middle
        else:
            last = middle - 1
    for number in range(first, max(first - _SAME_SECOND, -1), -1):
        header = await block(number)
        if header.timestamp != facts.announced_at:
            break
        for limits in await endpoints.ask(logs_request(header, facts.address, _read), deadline_s=deadline_s):
            if limits_hash(limits) == facts.announced_hash:
                return limits
    return None


def _read(log: dict[str, Any]) -> VaultLimits | None:
    if [read_hash(found) for found in log["topics"]] != [topic(_ANNOUNCED)]:
        return None
    values = read_words(log.get("data"))
    if len(values) != len(VaultLimits.__slots__):
        raise BadAnswer("announced limits with too many or too few words")
    return VaultLimits(*values)
