"""What is logged of a flow gives the flow back, by the tripwire that real logs go through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest

from protocol.errors import StoreError
from simulator import records
from simulator.events import Block, SwapEvent
from simulator.flow import Flow
from simulator.indexed import HeldBlocks
from simulator.logged import log_blocks
from simulator.records import Record
from simulator.scenarios import Past, draw_futures
from simulator.synthetic import WEATHERS, draw_market


@pytest.fixture(scope="module")
def record() -> Record:
    return records.load("usdc-weth-005")


def test_a_records_flow_is_logged_as_the_record_was(record: Record) -> None:
    blocks = list(log_blocks(Flow(record.opening, record.flow().blocks[:500])))
    expected = record.logged()[:500]
    assert [(b.number, b.timestamp) for b in blocks] == [(b.number, b.timestamp) for b in expected]
    assert swaps_of(blocks) == swaps_of(expected)
    assert all(b.parent_hash == a.block_hash for a, b in pairwise(blocks))


def swaps_of(blocks: Iterable[Block]) -> list[list[SwapEvent]]:
    """Return each block's swaps, without the places of other pools' logs between them."""
    return [[replace(e, log_index=0) for e in b.events if isinstance(e, SwapEvent)] for b in blocks]


@pytest.mark.parametrize("weather", WEATHERS)
def test_a_made_up_market_is_one_that_a_round_can_play(record: Record, weather: str) -> None:
    """The tripwire finds for every swap the call behind it, or raises."""
    flow = draw_market(record.opening, WEATHERS[weather], length_blocks=1500, block_time_s=12, seed=1)
    again = Flow.recover(record.opening, log_blocks(flow), engine="native")
    assert [b.timestamp for b in again.blocks] == [b.timestamp for b in flow.blocks]
    assert list(log_blocks(again)) and list(log_blocks(again))[-1].events == list(log_blocks(flow))[-1].events


def test_a_future_is_logged_with_hashes_of_its_own(record: Record) -> None:
    past = Past.of(Flow(record.opening, record.flow().blocks[:300]))
    one, two = draw_futures(record.opening, past, count=2, length_blocks=200, window_blocks=20, seed=5)
    ends = [list(log_blocks(flow))[-1].block_hash for flow in (one, two, one)]
    assert ends[0] == ends[2] != ends[1]
    [index, *_] = [n for n, b in enumerate(one.blocks) if b.happenings]
    less = replace(one.blocks[index], happenings=one.blocks[index].happenings[1:])
    other = Flow(one.snapshot, (*one.blocks[:index], less, *one.blocks[index + 1 :]))
    hashes = [[b.block_hash for b in log_blocks(flow)] for flow in (one, other)]
    assert [a == b for a, b in zip(*hashes, strict=True)] == [n < index for n in range(200)]
    assert list(log_blocks(one, engine="python")) == list(log_blocks(one, engine="native"))


def test_held_blocks_are_read_by_their_numbers(record: Record) -> None:
    blocks = record.logged()[:10]
    held, first = HeldBlocks(blocks), blocks[0].number
    assert asyncio.run(held.blocks("", first + 2, first + 4)) == blocks[2:5]
    assert asyncio.run(held.last_block("", first)) == first + 9
    assert asyncio.run(held.last_block("", first - 1)) == first - 2
    for bounds in ((first - 1, first), (first, first + 10)):
        with pytest.raises(StoreError, match="not held"):
            asyncio.run(held.blocks("", *bounds))
