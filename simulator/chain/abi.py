"""The words of a pool on the wire: call data, answers, and logs as events, of each family.

Everything here is a value in and a value out. What cannot be true raises BadAnswer: it is the endpoint's fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from Crypto.Hash import keccak

from simulator.base_fork import Divergence
from simulator.chain.rpc import BadAnswer
from simulator.events import FeeProtocolEvent, FlashEvent, LiquidityEvent, PoolEvent, SwapEvent
from simulator.family import Family

_HEX = re.compile(r"0x[0-9a-fA-F]*", re.ASCII)
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)

SWAP = "Swap(address,address,int256,int256,uint160,uint128,int24)"
MINT = "Mint(address,address,int24,int24,uint128,uint256,uint256)"
BURN = "Burn(address,int24,int24,uint128,uint256,uint256)"
FLASH = "Flash(address,address,uint256,uint256,uint256,uint256)"
SET_FEE_PROTOCOL = "SetFeeProtocol(uint8,uint8,uint8,uint8)"
PANCAKE_SWAP = "Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)"
PANCAKE_SET_FEE_PROTOCOL = "SetFeeProtocol(uint32,uint32,uint32,uint32)"
# What moves none of the state that a round depends on: tokens already owed, the oracle, and who gives out CAKE.
HARMLESS = (
    "Collect(address,address,int24,int24,uint128,uint128)",
    "CollectProtocol(address,address,uint128,uint128)",
    "CollectFees(address,uint128,uint128)",
    "IncreaseObservationCardinalityNext(uint16,uint16)",
    "SetLmPoolEvent(address)",
)


def keccak256(data: bytes) -> bytes:
    """Return the Ethereum hash of some bytes."""
    return keccak.new(digest_bits=256, data=data).digest()


@cache
def topic(signature: str) -> str:
    """Return the first topic of an event's logs."""
    return "0x" + keccak256(signature.encode()).hex()


@cache
def selector(signature: str) -> bytes:
    """Return the four bytes that call a function."""
    return keccak256(signature.encode())[:4]


def words(*values: int) -> bytes:
    """Return integers as 32-byte words, two's complement."""
    return b"".join((value % 2**256).to_bytes(32, "big") for value in values)


def call_data(signature: str, *arguments: int) -> str:
    """Return the data of a call whose arguments are all single words."""
    return "0x" + (selector(signature) + words(*arguments)).hex()


def signed(word: int, bits: int) -> int:
    """Return a word as the signed integer it encodes. Raises BadAnswer when it does not fit."""
    value = word - 2**256 if word >> 255 else word
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise BadAnswer(f"{word:#x} is not an int{bits}")
    return value


def unsigned(word: int, bits: int) -> int:
    """Return a word as the unsigned integer it encodes. Raises BadAnswer when it does not fit."""
    if word >> bits:
        raise BadAnswer(f"{word:#x} is not a uint{bits}")
    return word


def read_words(value: Any) -> list[int]:
    """Return the words of a hex string. Raises BadAnswer unless it is one of whole words."""
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) % 64 != 2:
        raise BadAnswer(f"{value!r:.40} is not a string of words")
    data = bytes.fromhex(value[2:])
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def read_quantity(value: Any) -> int:
    """Return a JSON-RPC quantity."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise BadAnswer(f"{value!r:.40} is not a quantity")
    return int(value, 16)


def read_hash(value: Any) -> str:
    """Return a 32-byte hash, in lower case."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise BadAnswer(f"{value!r:.40} is not a hash")
    return value.lower()


def address_of(word: int) -> str:
    """Return an address out of a word, in lower case."""
    return f"0x{unsigned(word, 160):040x}"


def position_key(owner: str, tick_lower: int, tick_upper: int) -> int:
    """Return the key under which a pool keeps an owner's position."""
    packed = bytes.fromhex(owner.removeprefix("0x")) + words(tick_lower)[29:] + words(tick_upper)[29:]
    return int.from_bytes(keccak256(packed), "big")


def read_log(
    log: Mapping[str, Any], *, pair_address: str, block_number: int, family: Family = Family.UNISWAP_V3
) -> PoolEvent | None:
    """Return a pool's log as an event, or None where it changes nothing that a round depends on.

    Raises BadAnswer when the log contradicts itself, Divergence (unknown_event) when it is none of the pool's own.
    """
    log_index = read_quantity(log.get("logIndex"))
    topics = log.get("topics")
    if not isinstance(topics, list) or not topics:
        raise BadAnswer("a log without topics", log_index=log_index)
    name, indexed = read_hash(topics[0]), [read_words(t)[0] for t in topics[1:]]
    if name in {topic(signature) for signature in HARMLESS}:
        return None
    reader = _readers(family).get(name)
    if reader is None:
        raise Divergence("unknown_event", pool=pair_address, block=block_number, log_index=log_index, topic=name)
    fields, count, read = reader
    data = read_words(log.get("data"))
    if len(indexed) != count or len(data) != fields:
        raise BadAnswer("a log with too many or too few words", log_index=log_index)
    return read(log_index, indexed, data)


_Read = Callable[[int, list[int], list[int]], PoolEvent]


@cache
def _readers(family: Family) -> dict[str, tuple[int, int, _Read]]:
    """Return, by topic: the words of data, the indexed ones, and what makes an event of them."""
    shared: dict[str, tuple[int, int, _Read]] = {
        topic(MINT): (4, 3, _mint),
        topic(BURN): (3, 3, _burn),
        topic(FLASH): (4, 2, _flash),
    }
    match family:
        case Family.UNISWAP_V3:
            return {topic(SWAP): (5, 2, _swap), topic(SET_FEE_PROTOCOL): (4, 0, _fee_protocol), **shared}
        case Family.PANCAKE_V3:
            return {
                topic(PANCAKE_SWAP): (7, 2, _swap),
                topic(PANCAKE_SET_FEE_PROTOCOL): (4, 0, _fee_protocol),
                **shared,
            }
        case Family.SLIPSTREAM:
            return {topic(SWAP): (5, 2, _swap), **shared}


def topics_of(family: Family) -> tuple[str, ...]:
    """Return the first topics of the logs that become events."""
    return tuple(_readers(family))


def _swap(log_index: int, indexed: list[int], data: list[int]) -> SwapEvent:
    amount0, amount1, sqrt_price, liquidity, tick, *_protocol_fees = data  # PancakeSwap tells those, too
    return SwapEvent(
        log_index=log_index,
        amount0=signed(amount0, 256),
        amount1=signed(amount1, 256),
        sqrt_price_x96=unsigned(sqrt_price, 160),
        liquidity=unsigned(liquidity, 128),
        tick=signed(tick, 24),
    )


def _mint(log_index: int, indexed: list[int], data: list[int]) -> LiquidityEvent:
    _sender, liquidity, amount0, amount1 = data
    _owner, lower, upper = indexed
    liquidity = unsigned(liquidity, 128)
    return LiquidityEvent(log_index, signed(lower, 24), signed(upper, 24), liquidity, amount0, amount1)


def _burn(log_index: int, indexed: list[int], data: list[int]) -> LiquidityEvent:
    liquidity, amount0, amount1 = data
    _owner, lower, upper = indexed
    liquidity = -unsigned(liquidity, 128)
    return LiquidityEvent(log_index, signed(lower, 24), signed(upper, 24), liquidity, amount0, amount1)


def _flash(log_index: int, indexed: list[int], data: list[int]) -> FlashEvent:
    _amount0, _amount1, paid0, paid1 = data
    return FlashEvent(log_index, paid0, paid1)


def _fee_protocol(log_index: int, indexed: list[int], data: list[int]) -> FeeProtocolEvent:
    _old0, _old1, new0, new1 = data
    return FeeProtocolEvent(log_index, unsigned(new0, 32), unsigned(new1, 32))
