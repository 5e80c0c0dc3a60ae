from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.math.oracle import GROWN_OBSERVATION, Observation, OracleState, grow, initialize, observe, write

PAUSES = st.lists(st.tuples(st.integers(0, 2**30), st.integers(-887272, 887272)), min_size=1, max_size=12)


@given(PAUSES, st.integers(1, 8), st.integers(0, 2**32 - 1), st.integers(0, 2**31), st.integers(1, 2**128 - 1))
def test_the_ring_remembers_the_true_sum(
    pauses: list[tuple[int, int]], cardinality_next: int, start: int, ago: int, liquidity: int
) -> None:
    observations: list[Observation] = []
    cardinality, _ = initialize(observations, start)
    grow(observations, 1, cardinality_next)
    index, time, true = 0, start, {start: 0}
    tick = 0
    for pause, tick_after in pauses:
        for second in (pause // 2, pause):
            true[time + second] = true[time] + tick * second
        time += pause
        state = OracleState(tick, index, liquidity, cardinality)
        index, cardinality = write(observations, state, time % 2**32, cardinality_next)
        tick = tick_after
    state = OracleState(tick, index, liquidity, cardinality)
    newest = time
    oldest = min(
        ((time - o.block_timestamp) % 2**32 for o in observations if o.initialized),
        key=lambda age: -age,
    )
    for moment, tick_cumulative in true.items():
        age = newest - moment
        if age <= min(oldest, 2**32 - 1):
            (observed,), _ = observe(observations, time % 2**32, [age], state)
            assert (observed - tick_cumulative) % 2**56 == 0


def test_growing_prepares_slots_and_never_shrinks() -> None:
    observations: list[Observation] = []
    initialize(observations, 5)
    assert grow(observations, 1, 4) == 4
    assert grow(observations, 4, 2) == 4
    assert observations == [Observation(5, initialized=True), *[GROWN_OBSERVATION] * 3]
