"""Blocks and a pool's logs as a node tells them, checked against each other, and the trail of blocks already seen."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from simulator.chain.abi import (
    address_of,
    keccak256,
    read_hash,
    read_log,
    read_quantity,
    read_words,
    topics_of,
)
from simulator.chain.rpc import BadAnswer, Request
from simulator.events import FlashEvent, LiquidityEvent, PoolEvent, SwapEvent
from simulator.family import Family

T = TypeVar("T")

_BLOOM = re.compile(r"0x[0-9a-fA-F]{512}", re.ASCII)
_BLOOM_BITS = 2048


@dataclass(frozen=True, slots=True)
class Header:
    """What a block says of itself."""

    number: int
    block_hash: str
    parent_hash: str
    timestamp: int
    logs_bloom: int

    def pin(self) -> dict[str, Any]:
        """Return the block as a call's last argument: a node without it errs instead of answering for another one."""
        return {"blockHash": self.block_hash, "requireCanonical": True}


def header_request(number: int | None) -> Request[Header | None]:
    """Ask for the block of a number, or for the node's latest; None: there is none."""

    def read(value: Any) -> Header | None:
        if value is None:
            return None
        header = read_header(value)
        if number is not None and header.number != number:
            raise BadAnswer(f"asked for block {number}, given {header.number}")
        return header

    which = "latest" if number is None else hex(number)
    return Request("eth_getBlockByNumber", (which, False), read, is_decisive=number is not None)


def read_header(value: Any) -> Header:
    """Return a block's header out of JSON. Raises BadAnswer."""
    if not isinstance(value, dict):
        raise BadAnswer("a block that is not an object")
    bloom = value.get("logsBloom")
    if not isinstance(bloom, str) or not _BLOOM.fullmatch(bloom):
        raise BadAnswer("a block without a bloom of its logs")
    return Header(
        number=read_quantity(value.get("number")),
        block_hash=read_hash(value.get("hash")),
        parent_hash=read_hash(value.get("parentHash")),
        timestamp=read_quantity(value.get("timestamp")),
        logs_bloom=int(bloom, 16),
    )


@dataclass(frozen=True, slots=True)
class PoolLog:
    """An event and whom its log names, in lower case: the owner of liquidity and, where it was minted by another, who
    that was; or the sender and the recipient.
    """

    event: PoolEvent
    parties: tuple[str, ...]


def pool_logs_request(
    header: Header, pair_address: str, family: Family = Family.UNISWAP_V3
) -> Request[tuple[PoolLog, ...]]:
    """Ask for what a pool did in one block, in log order."""

    def read(log: dict[str, Any]) -> PoolLog | None:
        event = read_log(log, pair_address=pair_address, block_number=header.number, family=family)
        return None if event is None else PoolLog(event, _parties(event, log))

    return logs_request(header, pair_address, read)


def _parties(event: PoolEvent, log: dict[str, Any]) -> tuple[str, ...]:
    """Return whom a log names, each once; `read_log` has counted its words."""
    if not isinstance(event, LiquidityEvent | SwapEvent | FlashEvent):
        return ()
    named = [read_words(word)[0] for word in log["topics"][1 : 2 if isinstance(event, LiquidityEvent) else 3]]
    if isinstance(event, LiquidityEvent) and event.liquidity_delta > 0:
        named.append(read_words(log["data"])[0])  # who pays may be another than who will own it
    return tuple(dict.fromkeys(address_of(word) for word in named))


def logs_request(
    header: Header, contract: str, read_one: Callable[[dict[str, Any]], T | None]
) -> Request[tuple[T, ...]]:
    """Ask for a contract's logs in one block, by its hash, in log order; None leaves one out.

    The header is the measure: logs of another block, of another contract, taken back, doubled, or not in the block's
    bloom are not believed.
    """

    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise BadAnswer("logs that are not a list")
        logs = [check_log(log, header, contract) for log in value]
        numbers = [read_quantity(log.get("logIndex")) for log in logs]
        if len(set(numbers)) != len(numbers):
            raise BadAnswer("a log given twice", block=header.number)
        ordered = sorted(zip(numbers, logs, strict=True), key=lambda pair: pair[0])
        read = [read_one(log) for _, log in ordered]
        return tuple(item for item in read if item is not None)

    return Request("eth_getLogs", ({"address": contract, "blockHash": header.block_hash},), read, is_decisive=True)


def check_log(log: Any, header: Header, contract: str) -> dict[str, Any]:
    """Return a log if its block can hold it. Raises BadAnswer."""
    if not isinstance(log, dict) or not isinstance(log.get("topics"), list):
        raise BadAnswer("a log that is not an object with topics", block=header.number)
    where = {"block": header.number, "log_index": log.get("logIndex")}
    if str(log.get("address")).lower() != contract.lower():
        raise BadAnswer("a log of another contract", **where)
    if read_hash(log.get("blockHash")) != header.block_hash or read_quantity(log.get("blockNumber")) != header.number:
        raise BadAnswer("a log of another block", **where)
    if log.get("removed") is True:
        raise BadAnswer("a log that was taken back", **where)
    names = [bytes.fromhex(read_hash(t)[2:]) for t in log["topics"]]
    address = bytes.fromhex(contract.removeprefix("0x"))
    if not all(in_bloom(header.logs_bloom, item) for item in (address, *names)):
        raise BadAnswer("a log that is not in its block's bloom", **where)
    return log


def in_bloom(bloom: int, item: bytes) -> bool:
    """Whether a block's bloom says that an address or a topic is among its logs; a yes may be by chance."""
    digest = keccak256(item)
    return all(bloom >> (int.from_bytes(digest[at : at + 2], "big") % _BLOOM_BITS) & 1 for at in (0, 2, 4))


def expects_events(header: Header, pair_address: str, family: Family = Family.UNISWAP_V3) -> bool:
    """Whether the bloom makes it likely that the pool has events here: worth a second question when there are none."""
    return expects_logs(header, pair_address, topics_of(family))


def expects_logs(header: Header, contract: str, topics: Iterable[str]) -> bool:
    """Whether the bloom makes it likely that a contract has logs with one of these first topics here.

    A bloom that is more than half full says yes to anything and is not asked.
    """
    if header.logs_bloom.bit_count() > _BLOOM_BITS // 2:
        return False
    if not in_bloom(header.logs_bloom, bytes.fromhex(contract.removeprefix("0x"))):
        return False
    return any(in_bloom(header.logs_bloom, bytes.fromhex(topic[2:])) for topic in topics)


class Trail:
    """The last blocks seen, each the child of the one before; at most `kept` of them."""

    def __init__(self, first: Header, *, kept: int) -> None:
        self._headers: deque[Header] = deque([first], maxlen=kept)

    @property
    def last(self) -> Header:
        """The newest block."""
        return self._headers[-1]

    def continues(self, header: Header) -> bool:
        """Whether a block is the child of the newest one."""
        return header.number == self.last.number + 1 and header.parent_hash == self.last.block_hash

    def append(self, header: Header) -> None:
        """Take the next block."""
        if not self.continues(header):
            raise ValueError(f"block {header.number} does not continue {self.last.number}")
        self._headers.append(header)

    def oldest_first(self) -> Sequence[Header]:
        """Return the blocks kept."""
        return tuple(self._headers)

    def rewind(self, ancestor: Header) -> int:
        """Forget what came after a kept block; return how many blocks that were."""
        if ancestor not in self._headers:
            raise ValueError(f"block {ancestor.number} is not kept")
        count = 0
        while self.last != ancestor:
            self._headers.pop()
            count += 1
        return count
