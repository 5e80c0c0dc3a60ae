from __future__ import annotations

import pytest

from simulator import records
from simulator.chain.laps import next_busy_block, planned_block
from simulator.recorded import RecordedMarket


@pytest.mark.parametrize("lap", [0, 1, 3])
async def test_every_block_is_that_of_the_recorded_market(lap: int) -> None:
    record = records.load("usdc-weth-005")
    seam = record.first_block + (lap + 1) * record.length_blocks
    market = RecordedMarket(record, start_block=seam - 20)
    for number in range(seam - 19, seam + 21):
        expected, got = await market.next_block(), planned_block(record, number)
        assert (got.number, got.timestamp, got.events) == (expected.number, expected.timestamp, expected.events)
        assert got.is_seam == (number == seam)
        assert len(got.calls) == len(got.events)


def test_the_opening_block_is_no_seam() -> None:
    record = records.load("usdc-weth-005")
    assert planned_block(record, record.first_block).is_seam is False


def test_the_next_busy_block_is_the_first_with_events_or_a_seam() -> None:
    record = records.load("usdc-weth-005")
    start = record.last_block - 30
    for number in range(start, start + 80):
        following = next(
            later
            for later in range(number + 1, number + 100)
            if planned_block(record, later).events or planned_block(record, later).is_seam
        )
        assert next_busy_block(record, number) == following
