"""A pool's past out of a scripted node: what is asked, and what is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from db.pool_events.schema import EVENT_TABLES
from protocol.errors import ChainError
from simulator.chain.abi import BURN, FLASH, MINT, SET_FEE_PROTOCOL, SWAP, keccak256, topic, words
from simulator.chain.history import PoolHistory, StretchLength
from simulator.chain.pool_logs import COLLECT, INITIALIZE, KEPT, PoolLog, read_pool_log
from simulator.chain.rpc import BadAnswer, Refused, Request, ScriptedRpc, T

POOL = "0x" + "ab" * 20
OWNER = "0x" + "cd" * 20


def bloom_of(*items: bytes) -> int:
    bloom = 0
    for item in items:
        digest = keccak256(item)
        for at in (0, 2, 4):
            bloom |= 1 << int.from_bytes(digest[at : at + 2], "big") % 2048
    return bloom


class SmallBatches(ScriptedRpc):
    """A node that takes few questions at once."""

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        sizes.append(len(requests))
        if len(requests) > 7:
            raise Refused("maximum 7 calls in 1 batch", code=-32014)
        return await ScriptedRpc.ask_all(self, requests, deadline_s=deadline_s)


sizes: list[int] = []


async def test_questions_come_in_batches_that_the_node_takes() -> None:
    sizes.clear()
    history = PoolHistory(SmallBatches(Node().answer), POOL, deadline_s=1)
    assert len((await history.read(100, 129)).headers) == 30
    assert sizes == [30, 15, 15, *[7] * 4, 2]
    sizes.clear()
    await history.read(130, 150)
    assert sizes == [7, 7, 7], "it has learned"


def a_log(number: int, signature: str = SWAP, *, log_index: int = 0, fork: int = 0) -> dict[str, Any]:
    indexed, data = {
        SWAP: ([1, 2], [5, -7, 2**96, 10, -3]),
        MINT: ([int(OWNER, 16), -60, 60], [1, 9, 8, 7]),
        BURN: ([int(OWNER, 16), -60, 60], [9, 8, 7]),
        COLLECT: ([int(OWNER, 16), -60, 60], [3, 8, 7]),
        FLASH: ([1, 2], [4, 3, 2, 1]),
        SET_FEE_PROTOCOL: ([], [0, 0, 4, 10]),
        INITIALIZE: ([], [2**96, 0]),
    }[signature]
    return {
        "address": POOL,
        "topics": [topic(signature), *("0x" + words(word).hex() for word in indexed)],
        "data": "0x" + words(*data).hex(),
        "blockNumber": hex(number),
        "blockHash": hash_of(number, fork),
        "logIndex": hex(log_index),
        "transactionHash": "0x" + "ee" * 32,
        "transactionIndex": "0x3",
        "removed": False,
    }


def hash_of(number: int, fork: int = 0) -> str:
    return f"0x{fork:032x}{number:032x}"


class Node:
    """A chain of blocks with a swap in each; `limit` is how many blocks it tells the logs of."""

    def __init__(self, *, limit: int = 10**9) -> None:
        self.limit = limit
        self.fork = 0
        self.before: Callable[[str], None] = lambda method: None
        self.lie: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda logs: logs
        self.ranges: list[tuple[int, int]] = []

    def answer(self, method: str, params: tuple[Any, ...]) -> Any:
        self.before(method)
        if method == "eth_getBlockByNumber":
            return self.header(int(params[0], 16))
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        self.ranges.append((first, last))
        if last - first >= self.limit:
            raise Refused("block range too large", code=-32602)
        return self.lie([a_log(number, fork=self.fork) for number in range(first, last + 1)])

    def header(self, number: int) -> dict[str, Any]:
        names = [bytes.fromhex(name[2:]) for name in a_log(number)["topics"]]
        return {
            "number": hex(number),
            "hash": hash_of(number, self.fork),
            "parentHash": hash_of(number - 1, self.fork),
            "timestamp": hex(2 * number),
            "logsBloom": f"0x{bloom_of(bytes.fromhex(POOL[2:]), *names):0512x}",
        }

    def history(self, most_blocks: int) -> PoolHistory:
        return PoolHistory(ScriptedRpc(self.answer), POOL, deadline_s=1, most_blocks=most_blocks)


def test_a_stretch_halves_after_a_failure_and_grows_by_half_after_a_success() -> None:
    length = StretchLength(100, 100)
    assert [length.shrink(asked) and length.blocks for asked in (100, 50, 7)] == [50, 25, 3]
    grown = []
    for _ in range(9):
        length.grow()
        grown.append(length.blocks)
    assert grown == [4, 6, 9, 13, 19, 28, 42, 63, 94]
    length.grow()
    assert (length.blocks, length.shrink(1), length.blocks) == (100, False, 1)


async def test_the_node_is_asked_for_fewer_until_it_answers_and_then_for_more_again() -> None:
    node = Node(limit=6)
    history, at, got = node.history(40), 100, []
    while at < 140:
        stretch = await history.read(at, 139)
        got += [log.block_number for log in stretch.logs]
        assert [h.number for h in stretch.headers] == list(range(at, stretch.headers[-1].number + 1))
        at = stretch.headers[-1].number + 1
    assert got == list(range(100, 140))
    asked = [last - first + 1 for first, last in node.ranges]
    assert asked[:6] == [40, 20, 10, 5, 7, 3] and max(asked[3:]) <= 9


async def test_a_node_that_tells_of_not_even_one_block_is_an_error_with_its_words() -> None:
    node = Node(limit=0)
    with pytest.raises(Refused, match="block range too large"):
        await node.history(8).read(100, 200)
    assert [last - first + 1 for first, last in node.ranges] == [8, 4, 2, 1]


async def test_blocks_taken_back_between_headers_and_logs_are_read_anew() -> None:
    node = Node()

    def reorg(method: str) -> None:
        node.fork |= method == "eth_getLogs"

    node.before = reorg
    stretch = await node.history(8).read(100, 107)
    assert {log.block_hash for log in stretch.logs} == {hash_of(h.number, 1) for h in stretch.headers}


async def test_headers_that_never_follow_each_other_are_given_up_on() -> None:
    node, asked = Node(), iter(range(10**6))

    def always(method: str) -> None:
        node.fork = next(asked) % 2

    node.before = always
    with pytest.raises(ChainError, match="the chain changes while it is read") as raised:
        await node.history(8).read(100, 107)
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"blockNumber": "0x1"}, "was not asked for"),
        ({"blockHash": hash_of(1)}, "a log of another block"),
        ({"address": OWNER}, "a log of another contract"),
        ({"data": "0x" + "00" * 32}, "too many or too few words"),
        ({"transactionHash": None}, "is not a hash"),
        ({"removed": True}, "taken back"),
    ],
)
async def test_logs_that_contradict_their_block_are_not_believed(change: dict[str, Any], says: str) -> None:
    node = Node()
    node.lie = lambda logs: [{**log, **change} for log in logs]
    with pytest.raises(BadAnswer, match=says):
        await node.history(1).read(100, 100)


async def test_a_log_given_twice_is_not_believed() -> None:
    node = Node()
    node.lie = lambda logs: logs * 2
    with pytest.raises(BadAnswer, match="given twice"):
        await node.history(1).read(100, 100)


def test_every_kept_log_is_read_into_the_columns_of_its_table() -> None:
    read = {log.kind: log for log in (read_pool_log(a_log(7, signature, log_index=5)) for signature in KEPT)}
    assert {kind: list(log.fields) for kind, log in read.items() if kind != "initialize"} == {
        name: list(table.columns)[7:] for name, table in EVENT_TABLES.items()
    }
    assert read["swaps"] == PoolLog(
        kind="swaps",
        block_number=7,
        block_hash=hash_of(7),
        log_index=5,
        tx_hash="0x" + "ee" * 32,
        tx_index=3,
        fields={
            "sender": f"0x{1:040x}",
            "recipient": f"0x{2:040x}",
            "amount0": 5,
            "amount1": -7,
            "sqrt_price_x96": 2**96,
            "liquidity": 10,
            "tick": -3,
        },
    )
    own = {"owner": OWNER, "tick_lower": -60, "tick_upper": 60}
    assert read["mints"].fields == {**own, "sender": f"0x{1:040x}", "amount": 9, "amount0": 8, "amount1": 7}
    assert read["burns"].fields == {**own, "amount": 9, "amount0": 8, "amount1": 7}
    assert read["collects"].fields == {**own, "recipient": f"0x{3:040x}", "amount0": 8, "amount1": 7}
    flash = {"sender": f"0x{1:040x}", "recipient": f"0x{2:040x}", "amount0": 4, "amount1": 3, "paid0": 2, "paid1": 1}
    assert read["flashes"].fields == flash
    assert list(read["fee_protocol_changes"].fields.values()) == [0, 0, 4, 10]
    assert read["initialize"].fields == {"sqrt_price_x96": 2**96, "tick": 0}
