"""Every log of a Uniswap V3 pool as named values, those that move no price included: what an indexer keeps.

`simulator.chain.abi.read_log` makes of the same logs the events that a round is played on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from simulator.chain.abi import (
    BURN,
    FLASH,
    HARMLESS,
    MINT,
    SET_FEE_PROTOCOL,
    SWAP,
    address_of,
    read_hash,
    read_quantity,
    read_words,
    signed,
    topic,
    unsigned,
)
from simulator.chain.rpc import BadAnswer

INITIALIZE = "Initialize(uint160,int24)"
COLLECT = HARMLESS[0]
KEPT = (SWAP, MINT, BURN, COLLECT, FLASH, SET_FEE_PROTOCOL, INITIALIZE)

_Value = Callable[[int], int | str]
_int256, _int24 = partial(signed, bits=256), partial(signed, bits=24)
_uint256, _uint160, _uint128 = (partial(unsigned, bits=bits) for bits in (256, 160, 128))
_uint8 = partial(unsigned, bits=8)


@dataclass(frozen=True, slots=True)
class PoolLog:
    """A log: its kind, its place, and its values by name. Integers as the contract emits them."""

    kind: str
    block_number: int
    block_hash: str
    log_index: int
    tx_hash: str
    tx_index: int
    fields: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the words of a log are: those of its topics, then those of its data."""

    kind: str
    indexed: dict[str, _Value]
    data: dict[str, _Value]


def is_kept(name: str) -> bool:
    """Whether an event is one of those that `read_pool_log` reads; the rest of a pool's own change nothing we keep."""
    return name in _layouts()


def is_pools_own(name: str) -> bool:
    """Whether a first topic is that of an event which a Uniswap V3 pool can emit."""
    return is_kept(name) or name in {topic(signature) for signature in HARMLESS}


def read_pool_log(log: Mapping[str, Any]) -> PoolLog:
    """Return a kept log (`is_kept`) as named values. Raises BadAnswer when it contradicts itself."""
    log_index = read_quantity(log.get("logIndex"))
    layout = _layouts()[read_hash(log["topics"][0])]
    indexed = [word for name in log["topics"][1:] for word in read_words(name)]
    data = read_words(log.get("data"))
    if len(indexed) != len(layout.indexed) or len(data) != len(layout.data):
        raise BadAnswer("a log with too many or too few words", log_index=log_index)
    readers = {**layout.indexed, **layout.data}
    return PoolLog(
        kind=layout.kind,
        block_number=read_quantity(log.get("blockNumber")),
        block_hash=read_hash(log.get("blockHash")),
        log_index=log_index,
        tx_hash=read_hash(log.get("transactionHash")),
        tx_index=read_quantity(log.get("transactionIndex")),
        fields={name: read(word) for (name, read), word in zip(readers.items(), [*indexed, *data], strict=True)},
    )


@cache
def _layouts() -> dict[str, _Layout]:
    """Return, by first topic, how to read a log."""
    position: dict[str, _Value] = {"owner": address_of, "tick_lower": _int24, "tick_upper": _int24}
    parties: dict[str, _Value] = {"sender": address_of, "recipient": address_of}
    amounts: dict[str, _Value] = {"amount0": _uint256, "amount1": _uint256}
    collected: dict[str, _Value] = {"amount0": _uint128, "amount1": _uint128}
    swapped: dict[str, _Value] = {"amount0": _int256, "amount1": _int256}
    price: dict[str, _Value] = {"sqrt_price_x96": _uint160}
    shares = [f"fee_protocol{token}_{when}" for when in ("old", "new") for token in (0, 1)]
    return {
        topic(SWAP): _Layout("swaps", parties, {**swapped, **price, "liquidity": _uint128, "tick": _int24}),
        topic(MINT): _Layout("mints", position, {"sender": address_of, "amount": _uint128, **amounts}),
        topic(BURN): _Layout("burns", position, {"amount": _uint128, **amounts}),
        topic(COLLECT): _Layout("collects", position, {"recipient": address_of, **collected}),
        topic(FLASH): _Layout("flashes", parties, {**amounts, "paid0": _uint256, "paid1": _uint256}),
        topic(SET_FEE_PROTOCOL): _Layout("fee_protocol_changes", {}, dict.fromkeys(shares, _uint8)),
        topic(INITIALIZE): _Layout("initialize", {}, {**price, "tick": _int24}),
    }
