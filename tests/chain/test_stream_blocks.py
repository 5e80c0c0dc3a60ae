"""Blocks, logs and the trail: what is believed of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.base_fork import Divergence
from simulator.chain.abi import BURN, FLASH, MINT, SET_FEE_PROTOCOL, SWAP, keccak256, read_log, signed, topic, words
from simulator.chain.blocks import Header, PoolLog, Trail, expects_events, header_request, in_bloom, pool_logs_request
from simulator.chain.rpc import BadAnswer
from simulator.events import FeeProtocolEvent, FlashEvent, LiquidityEvent, SwapEvent

POOL = "0x" + "0a" * 20
SOMEBODY = "0x" + "00" * 31 + "01"


def bloom_of(*items: bytes) -> int:
    bits = [int.from_bytes(keccak256(item)[at : at + 2], "big") % 2048 for item in items for at in (0, 2, 4)]
    return sum(1 << bit for bit in set(bits))


HEADER = Header(7, "0x" + "07" * 32, "0x" + "06" * 32, 1000, 2**2048 - 1)


def log(signature: str, indexed: tuple[int, ...], data: tuple[int, ...], index: int = 3) -> dict[str, Any]:
    return {
        "address": POOL,
        "topics": [topic(signature), *("0x" + words(value).hex() for value in indexed)],
        "data": "0x" + words(*data).hex(),
        "blockNumber": "0x7",
        "blockHash": HEADER.block_hash,
        "logIndex": hex(index),
        "removed": False,
    }


LOGS = [
    (log(SWAP, (1, 2), (-5, 6, 2**100, 9, -3)), SwapEvent(3, -5, 6, 2**100, 9, -3)),
    (log(MINT, (1, -60, 60), (1, 10, 11, 12)), LiquidityEvent(3, -60, 60, 10, 11, 12)),
    (log(BURN, (1, -60, 60), (10, 11, 12)), LiquidityEvent(3, -60, 60, -10, 11, 12)),
    (log(FLASH, (1, 2), (5, 6, 7, 8)), FlashEvent(3, 7, 8)),
    (log(SET_FEE_PROTOCOL, (), (0, 0, 4, 5)), FeeProtocolEvent(3, 4, 5)),
    (log("Collect(address,address,int24,int24,uint128,uint128)", (1, 2, 3), (1, 2, 3)), None),
    (log("CollectProtocol(address,address,uint128,uint128)", (1, 2), (1, 2)), None),
    (log("IncreaseObservationCardinalityNext(uint16,uint16)", (), (1, 2)), None),
]


SWAP_LOG = PoolLog(LOGS[0][1], tuple(f"0x{number:040x}" for number in (1, 2)))  # sender, recipient


@pytest.mark.parametrize(("raw", "event"), LOGS)
def test_every_log_of_a_pool_is_read(raw: dict[str, Any], event: Any) -> None:
    assert read_log(raw, pair_address=POOL, block_number=7) == event


def test_topics_are_those_of_the_published_contract() -> None:
    assert topic(SWAP).startswith("0xc42079f9") and topic(SWAP).endswith("ca67")
    assert topic(MINT).startswith("0x7a53080b") and topic(BURN).startswith("0x0c396cd9")


def test_log_of_an_unknown_kind_is_a_divergence() -> None:
    with pytest.raises(Divergence) as raised:
        read_log(log("Initialise()", (), ()), pair_address=POOL, block_number=7)
    assert raised.value.kind == "unknown_event"


@pytest.mark.parametrize(
    "raw",
    [
        log(SWAP, (1, 2), (1, 2, 3, 4)),
        log(SWAP, (1,), (1, 2, 3, 4, 5)),
        log(SWAP, (1, 2), (1, 2, 2**160, 4, 5)),
        log(SWAP, (1, 2), (1, 2, 3, 2**128, 5)),
        log(SWAP, (1, 2), (1, 2, 3, 4, 2**23)),
        log(MINT, (1, 2**24, 60), (1, 10, 11, 12)),
        {**log(SWAP, (1, 2), (1, 2, 3, 4, 5)), "data": "0xzz"},
        {**log(SWAP, (1, 2), (1, 2, 3, 4, 5)), "data": None},
        {**log(SWAP, (1, 2), (1, 2, 3, 4, 5)), "topics": []},
        {**log(SWAP, (1, 2), (1, 2, 3, 4, 5)), "logIndex": 3},
        {**log(SWAP, (1, 2), (1, 2, 3, 4, 5)), "logIndex": "3"},
    ],
)
def test_log_that_contradicts_its_kind_is_a_bad_answer(raw: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        read_log(raw, pair_address=POOL, block_number=7)


@pytest.mark.parametrize(
    "change",
    [
        {"address": "0x" + "0b" * 20},
        {"blockHash": "0x" + "08" * 32},
        {"blockNumber": "0x8"},
        {"removed": True},
        {"topics": None},
    ],
)
def test_log_of_elsewhere_is_not_believed(change: dict[str, Any]) -> None:
    good = LOGS[0][0]
    assert pool_logs_request(HEADER, POOL).read([good]) == (SWAP_LOG,)
    with pytest.raises(BadAnswer):
        pool_logs_request(HEADER, POOL).read([{**good, **change}])


def test_logs_are_put_in_order_and_none_counts_twice() -> None:
    shuffled = [log(SWAP, (1, 2), (1, 2, 3, 4, n), index=n) for n in (9, 2, 5)]
    logs = pool_logs_request(HEADER, POOL).read(shuffled)
    assert [log.event.log_index for log in logs] == [2, 5, 9]
    with pytest.raises(BadAnswer, match="twice"):
        pool_logs_request(HEADER, POOL).read([shuffled[0], shuffled[0]])


def test_bloom_decides_whether_logs_are_believed_and_expected() -> None:
    address, name = bytes.fromhex(POOL[2:]), bytes.fromhex(topic(SWAP)[2:])
    quiet = Header(7, HEADER.block_hash, HEADER.parent_hash, 1000, 0)
    loud = Header(7, HEADER.block_hash, HEADER.parent_hash, 1000, bloom_of(address, name, *(words(n) for n in (1, 2))))
    raw = LOGS[0][0]
    with pytest.raises(BadAnswer, match="bloom"):
        pool_logs_request(quiet, POOL).read([raw])
    assert pool_logs_request(loud, POOL).read([raw]) == (SWAP_LOG,)
    assert (expects_events(quiet, POOL), expects_events(loud, POOL), expects_events(HEADER, POOL)) == (
        False,
        True,
        False,
    )


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_bloom_never_denies_what_it_holds(items: list[bytes]) -> None:
    bloom = bloom_of(*items)
    assert all(in_bloom(bloom, item) for item in items)


@pytest.mark.parametrize("value", [{}, [], "0x7", {"number": "0x8"}])
def test_block_that_is_none_is_a_bad_answer(value: Any) -> None:
    with pytest.raises(BadAnswer):
        header_request(7).read(value)


def test_block_of_another_number_is_a_bad_answer() -> None:
    block = {
        "number": "0x8",
        "hash": HEADER.block_hash,
        "parentHash": HEADER.parent_hash,
        "timestamp": "0x1",
        "logsBloom": "0x" + "00" * 256,
    }
    assert header_request(7).read(None) is None
    assert header_request(None).read(block) == Header(8, HEADER.block_hash, HEADER.parent_hash, 1, 0)
    with pytest.raises(BadAnswer, match="asked for block 7"):
        header_request(7).read(block)


def chain_of(length: int, salt: str = "0") -> list[Header]:
    return [Header(n, f"0x{salt}{n:063x}", f"0x{salt}{n - 1:063x}", n, 0) for n in range(length)]


@given(st.integers(1, 20), st.integers(1, 30), st.data())
def test_trail_keeps_the_last_blocks_unbroken_and_rewinds_to_any(kept: int, length: int, data: st.DataObject) -> None:
    headers = chain_of(length)
    trail = Trail(headers[0], kept=kept)
    for header in headers[1:]:
        trail.append(header)
    assert list(trail.oldest_first()) == headers[-kept:]
    assert all(b.parent_hash == a.block_hash for a, b in itertools.pairwise(trail.oldest_first()))
    ancestor = data.draw(st.sampled_from(headers[-kept:]))
    assert trail.rewind(ancestor) == headers[-1].number - ancestor.number
    assert trail.last == ancestor


def test_trail_takes_only_the_child_of_its_newest_block() -> None:
    headers, others = chain_of(5), chain_of(5, salt="1")
    trail = Trail(headers[0], kept=3)
    trail.append(headers[1])
    for wrong in (headers[1], headers[3], others[2]):
        assert not trail.continues(wrong)
        with pytest.raises(ValueError, match="does not continue"):
            trail.append(wrong)
    with pytest.raises(ValueError, match="not kept"):
        trail.rewind(others[1])


@given(st.integers(-(2**23), 2**23 - 1))
def test_words_and_signed_numbers_are_each_others_inverse(value: int) -> None:
    assert signed(int.from_bytes(words(value), "big"), 24) == value
