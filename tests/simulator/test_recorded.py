"""A recorded market as a chain: laps, seams, pacing, and coming back to any block of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import ConfigError, SimulationError
from simulator import records
from simulator.events import Block, SwapEvent
from simulator.file_replay import apply_event
from simulator.market import Market
from simulator.pool import Pool
from simulator.recorded import ManualClock, RealClock, RecordedMarket, parse_speed
from simulator.records import Record
from simulator.recovery import recover_call
from simulator.snapshot import PoolSnapshot


def place(pool: Pool, like: PoolSnapshot) -> PoolSnapshot:
    """The pool frozen where another snapshot was taken."""
    return pool.to_snapshot(
        chain_id=like.chain_id,
        pair_address=like.pair_address,
        block_number=like.block_number,
        block_hash=like.block_hash,
        timestamp=like.timestamp,
    )


@pytest.fixture(scope="module")
def usdc() -> Record:
    return records.load("usdc-weth-005")


@pytest.fixture(scope="module")
def short(usdc: Record) -> Record:
    """The first blocks of the real day: a record whose laps are quickly over."""
    blocks = tuple(block for block in usdc.blocks if block.number < usdc.first_block + 60)
    return replace(usdc, name="short", blocks=blocks)


async def play(market: RecordedMarket, count: int) -> list[Block]:
    return [await market.next_block() for _ in range(count)]


def content(snapshot: PoolSnapshot) -> PoolSnapshot:
    """The pool alone, without its place in the chain."""
    return replace(snapshot, block_number=0, block_hash="", timestamp=0)


async def test_it_is_a_market(short: Record) -> None:
    market: Market = RecordedMarket(short)
    assert market.info == short.info
    snapshot = await market.open_round(10)
    assert snapshot == short.opening
    await market.close()
    await market.close()


async def test_every_block_comes_once_in_an_unbroken_chain_over_several_laps(short: Record) -> None:
    market = RecordedMarket(short)
    blocks = await play(market, 3 * short.length_blocks + 5)
    assert [block.number for block in blocks] == list(range(short.first_block + 1, short.first_block + 1 + len(blocks)))
    assert blocks[0].parent_hash == short.opening.block_hash
    for before, after in pairwise(blocks):
        assert after.parent_hash == before.block_hash
        assert after.timestamp > before.timestamp
    assert len({block.block_hash for block in blocks}) == len(blocks)
    recorded = [event for block in short.blocks for event in block.events]
    in_two_laps = [event for block in blocks[: 2 * short.length_blocks - 1] for event in block.events]
    assert in_two_laps == recorded * 2


async def test_laps_are_apart_by_the_record_s_length_and_duration(short: Record) -> None:
    market = RecordedMarket(short)
    blocks = await play(market, 2 * short.length_blocks)
    for first, second in zip(blocks, blocks[short.length_blocks :], strict=False):
        assert second.number - first.number == short.length_blocks
        assert second.timestamp - first.timestamp == short.duration_s
        assert second.events == first.events
    assert blocks[short.length_blocks - 1].events == ()
    assert blocks[short.length_blocks - 1].timestamp == short.opening.timestamp + short.duration_s
    assert blocks[short.length_blocks - 2].timestamp == short.blocks[-1].timestamp


async def test_the_same_record_makes_the_same_chain(short: Record) -> None:
    once, again = RecordedMarket(short), RecordedMarket(short, speed=Fraction(500), clock=ManualClock())
    assert await play(once, 150) == await play(again, 150)
    assert once.snapshot() == again.snapshot()
    other = RecordedMarket(replace(short, digest="another record"))
    assert (await other.next_block()).block_hash != (await RecordedMarket(short).next_block()).block_hash


async def test_the_pool_is_back_in_its_first_state_at_the_seam(short: Record) -> None:
    market = RecordedMarket(short)
    await play(market, short.length_blocks - 1)
    assert market.head == short.last_block
    assert content(market.snapshot()) != content(short.opening)
    await market.next_block()
    assert content(market.snapshot()) == content(short.opening)


@settings(max_examples=60)
@given(rounds=st.lists(st.tuples(st.integers(1, 58), st.integers(0, 70)), min_size=1, max_size=12))
async def test_no_opened_round_ever_contains_the_seam(short: Record, rounds: list[tuple[int, int]]) -> None:
    market = RecordedMarket(short)
    for length, idle in rounds:
        await play(market, idle)
        before = market.head
        snapshot = await market.open_round(min(length, short.length_blocks - 1))
        assert snapshot.block_number == market.head >= before
        snapshot.check()
        pool, parent = Pool.from_snapshot(snapshot), snapshot.block_hash
        for block in await play(market, min(length, short.length_blocks - 1)):
            assert (block.number - short.first_block) % short.length_blocks != 0
            assert block.parent_hash == parent
            parent = block.block_hash
            for event in block.events:
                assert (
                    apply_event(pool, event, recover_call(pool, event) if isinstance(event, SwapEvent) else None)
                    is None
                )
        assert content(place(pool, snapshot)) == content(market.snapshot())


async def test_a_round_that_fits_stays_and_one_that_does_not_moves_to_the_next_lap(short: Record) -> None:
    market = RecordedMarket(short)
    await play(market, 10)
    left = short.last_block - market.head
    snapshot = await market.open_round(left)
    assert snapshot.block_number == short.first_block + 10
    moved = await market.open_round(left + 1)
    assert moved.block_number == short.first_block + short.length_blocks
    assert moved.timestamp == short.opening.timestamp + short.duration_s
    assert moved.block_hash != short.opening.block_hash
    assert content(moved) == content(short.opening)
    whole = await market.open_round(short.length_blocks - 1)
    assert whole == moved


async def test_a_round_longer_than_the_record_is_the_operator_s_to_mend(short: Record) -> None:
    market = RecordedMarket(short)
    longest = short.length_blocks - 1
    for length in (longest + 1, 0, -5):
        with pytest.raises(ConfigError, match=rf"does not fit record short; use 1 to {longest} blocks"):
            await market.open_round(length)


async def test_the_head_snapshot_is_exact_with_the_real_tick_map(usdc: Record) -> None:
    market = RecordedMarket(usdc)
    for _ in range(usdc.length_blocks - 1):
        block = await market.next_block()
        swaps = [event for event in block.events if isinstance(event, SwapEvent)]
        if swaps and block.number % 50 == 0:
            snapshot = market.snapshot()
            snapshot.check()
            assert (snapshot.sqrt_price_x96, snapshot.tick) == (swaps[-1].sqrt_price_x96, swaps[-1].tick)
            assert (snapshot.block_hash, snapshot.timestamp) == (block.block_hash, block.timestamp)
    assert market.snapshot().fee_growth_global_0_x128 > 0
    assert len(market.snapshot().ticks) > 60


@pytest.mark.parametrize("lap", [0, 1, 7])
@pytest.mark.parametrize("offset", [0, 1, 3050, 7099])
async def test_a_restart_at_any_block_of_any_lap_is_bit_identical_to_having_played_there(
    usdc: Record, lap: int, offset: int
) -> None:
    played = RecordedMarket(usdc, start_block=usdc.first_block + lap * usdc.length_blocks)
    await play(played, offset)
    restarted = RecordedMarket(usdc, start_block=usdc.first_block + lap * usdc.length_blocks + offset)
    assert restarted.snapshot() == played.snapshot()
    assert restarted.snapshot().digest() == played.snapshot().digest()
    assert await play(restarted, 5) == await play(played, 5)
    assert restarted.snapshot() == played.snapshot()


async def test_seeking_goes_both_ways(short: Record) -> None:
    market = RecordedMarket(short)
    forty = (await play(market, 40))[-1]
    at_forty = market.snapshot()
    for elsewhere in (short.first_block, short.first_block + 59, short.first_block + 300):
        market.seek(elsewhere)
        assert market.head == elsewhere
        market.seek(forty.number)
        assert market.snapshot() == at_forty
    market.seek(forty.number - 1)
    assert await market.next_block() == forty


def test_there_is_nothing_before_the_record(short: Record) -> None:
    with pytest.raises(ConfigError, match=f"use {short.first_block} or later"):
        RecordedMarket(short, start_block=short.first_block - 1)


async def test_day_eight_is_reached_by_playing(usdc: Record) -> None:
    market = RecordedMarket(usdc)
    days = [market.snapshot()]
    blocks: list[Block] = []
    for _ in range(7):
        blocks = await play(market, usdc.length_blocks)
        days.append(market.snapshot())
    assert [(day.timestamp - usdc.opening.timestamp) / 86_400 for day in days] == list(range(8))
    assert {content(day) for day in days} == {content(usdc.opening)}
    assert blocks[-1].number == usdc.first_block + 7 * usdc.length_blocks


async def test_a_record_that_contradicts_its_pool_is_refused_where_it_does(short: Record, tmp_path: Path) -> None:
    with records.locate("usdc-weth-005") as path:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()[:12]
    header, row = json.loads(lines[0]), json.loads(lines[8])
    del header["lines_after_header"]
    row[10] += 1
    altered = tmp_path / "altered.jsonl"
    altered.write_text("\n".join([json.dumps(header), *lines[1:8], json.dumps(row), *lines[9:]]))
    market = RecordedMarket(records.load_file(altered))
    with pytest.raises(SimulationError, match="the record says tick") as caught:
        await play(market, 20)
    assert caught.value.where == {
        "record": "altered.jsonl",
        "pool": short.info.pair_address,
        "block": row[2],
        "log_index": row[-1],
    }


async def test_blocks_come_at_their_times_divided_by_the_speed(short: Record) -> None:
    clock = ManualClock(1000.0)
    market = RecordedMarket(short, speed=Fraction(500), clock=clock)
    await market.open_round(40)
    for block in await play(market, 40):
        assert block.timestamp <= short.opening.timestamp + 500 * (clock.now - 1000) + 1e-6
    elapsed = short.timestamp_at(short.first_block + 40) - short.opening.timestamp
    assert clock.now - 1000 == pytest.approx(elapsed / 500)
    assert len(clock.sleeps) == 40


async def test_waiting_at_a_checkpoint_is_not_caught_up_in_a_burst(short: Record) -> None:
    clock = ManualClock()
    market = RecordedMarket(short, speed=1, clock=clock)
    await market.open_round(40)
    await play(market, 5)
    clock.advance(300)
    clock.sleeps.clear()
    blocks = await play(market, 10)
    # The first comes at once (it was due long ago), the others in their own time.
    assert clock.sleeps == pytest.approx([after.timestamp - before.timestamp for before, after in pairwise(blocks)])


async def test_a_pause_before_a_round_opens_is_not_caught_up_either(short: Record) -> None:
    clock = ManualClock()
    market = RecordedMarket(short, speed=1, clock=clock)
    await market.open_round(10)
    await play(market, 10)
    clock.advance(3600)
    snapshot = await market.open_round(10)
    clock.sleeps.clear()
    block = await market.next_block()
    assert clock.sleeps == [block.timestamp - snapshot.timestamp]


class LateClock(ManualClock):
    """A clock whose sleeps always end a little late."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.advance(0.001)


async def test_sleeps_that_end_late_do_not_add_up(short: Record) -> None:
    clock = LateClock()
    market = RecordedMarket(short, speed=500, clock=clock)
    await market.open_round(50)
    await play(market, 50)
    elapsed = short.timestamp_at(short.first_block + 50) - short.opening.timestamp
    assert clock.now == pytest.approx(elapsed / 500, abs=0.0015)


async def test_at_full_speed_nothing_sleeps_but_others_run(short: Record) -> None:
    clock = ManualClock()
    market = RecordedMarket(short, clock=clock)
    turns = 0

    async def other() -> None:
        nonlocal turns
        for _ in range(20):
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await play(market, 30)
    assert (clock.sleeps, turns) == ([], 20)
    await task


async def test_cancelling_the_wait_loses_no_block(short: Record) -> None:
    market = RecordedMarket(short, speed=Fraction(1, 1000), clock=RealClock())
    task = asyncio.create_task(market.next_block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert market.head == short.first_block
    assert market.snapshot() == short.opening


async def test_the_real_clock_paces_in_real_time(short: Record) -> None:
    clock = RealClock()
    start = clock.monotonic()
    market = RecordedMarket(short, speed=Fraction(2400), clock=clock)
    await market.open_round(10)
    await play(market, 10)
    chain_s = short.timestamp_at(short.first_block + 10) - short.opening.timestamp
    assert clock.monotonic() - start >= chain_s / 2400


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("1x", Fraction(1)),
        ("500x", Fraction(500)),
        ("500", Fraction(500)),
        ("0.5x", Fraction(1, 2)),
        (" 12.5X ", Fraction(25, 2)),
        ("max", None),
        ("MAX", None),
    ],
)
def test_speeds(text: str, speed: Fraction | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize(
    "text", ["", "x", "fast", "0x", "0", "-1x", "1e3x", "nan", "inf", "1/2x", "5xx", "٣x", "1_0x", ".5x"]
)
def test_nonsense_speeds(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a speed; use for example 1x, 500x or max"):
        parse_speed(text)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), Fraction(0)])
def test_impossible_speeds(short: Record, speed: Fraction | float) -> None:
    with pytest.raises(ConfigError, match="is not a speed"):
        RecordedMarket(short, speed=speed)
