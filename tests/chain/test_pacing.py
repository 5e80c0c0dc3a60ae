from __future__ import annotations

from fractions import Fraction

from simulator.chain.pacing import Pace, Pacer
from simulator.recorded import ManualClock


async def test_a_speed_divides_the_distance_in_chain_time() -> None:
    clock = ManualClock()
    pacer = Pacer(Pace(Fraction(6)), clock)
    for distance in (12, 24, 12):
        await pacer.wait(distance)
    assert clock.sleeps == [2.0, 4.0, 2.0]


async def test_a_block_time_decides_over_speed() -> None:
    clock = ManualClock()
    pacer = Pacer(Pace(Fraction(6), block_time_s=0.5), clock)
    for distance in (12, 36):
        await pacer.wait(distance)
    assert clock.sleeps == [0.5, 0.5]


async def test_work_counts_as_waiting_and_a_late_block_is_not_caught_up_with() -> None:
    clock = ManualClock()
    pacer = Pacer(Pace(block_time_s=1.0), clock)
    await pacer.wait(12)
    clock.advance(0.25)
    await pacer.wait(12)
    clock.advance(5.0)
    await pacer.wait(12)
    await pacer.wait(12)
    assert clock.sleeps == [1.0, 0.75, 1.0]


async def test_without_a_pace_there_is_no_wait() -> None:
    clock = ManualClock()
    await Pacer(Pace(), clock).wait(12)
    assert (clock.now, clock.sleeps) == (0.0, [])
