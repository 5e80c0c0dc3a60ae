"""The contract authors' tests of the stateful libraries, replayed as traces of calls."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from support.vectors import load_vectors

from simulator.math import oracle, tick, tick_bitmap
from simulator.math.oracle import EMPTY_OBSERVATION, Observation, OracleState
from simulator.math.revert import PoolRevert
from simulator.math.tick import EMPTY_TICK, Accumulators, TickInfo


class OracleBench:
    """The oracle library with the little state that the authors' test contract keeps around it."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.time = 0
        self.cardinality_next = 0
        self.state = OracleState(0, 0, 0, 0)

    def initialize(self, params: list[int]) -> None:
        self.time, tick_, liquidity = params
        cardinality, self.cardinality_next = oracle.initialize(self.observations, self.time)
        self.state = OracleState(tick_, 0, liquidity, cardinality)

    def advance_time(self, by: int) -> None:
        self.time = (self.time + by) % 2**32

    def update(self, params: list[int]) -> None:
        by, tick_, liquidity = params
        self.advance_time(by)
        index, cardinality = oracle.write(self.observations, self.state, self.time, self.cardinality_next)
        self.state = OracleState(tick_, index, liquidity, cardinality)

    def grow(self, cardinality_next: int) -> None:
        self.cardinality_next = oracle.grow(self.observations, self.cardinality_next, cardinality_next)

    def index(self) -> int:
        return self.state.observation_index

    def cardinality(self) -> int:
        return self.state.cardinality

    def get_cardinality_next(self) -> int:
        return self.cardinality_next

    def observation(self, index: int) -> tuple[object, ...]:
        return self.observations[index] if index < len(self.observations) else EMPTY_OBSERVATION

    def observe(self, seconds_agos: list[int]) -> tuple[list[int], list[int]]:
        ticks, seconds_per_liquidity = oracle.observe(self.observations, self.time, seconds_agos, self.state)
        return list(ticks), list(seconds_per_liquidity)


class TickBench:
    """The tick library over one mapping."""

    def __init__(self) -> None:
        self.ticks: dict[int, TickInfo] = {}

    def set_tick(self, number: int, fields: list[Any]) -> None:
        self.ticks[number] = TickInfo(*fields)

    def clear(self, number: int) -> None:
        del self.ticks[number]

    def get_fee_growth_inside(self, *args: int) -> tuple[int, int]:
        return tick.get_fee_growth_inside(self.ticks, *args)

    def update(self, number: int, current: int, delta: int, *rest: Any) -> bool:
        growth0, growth1, seconds_per_liquidity, cumulative, time, upper, maximum = rest
        now = Accumulators(growth0, growth1, seconds_per_liquidity, cumulative, time)
        info = self.ticks.get(number, EMPTY_TICK)
        self.ticks[number], flipped = tick.update(info, number, current, delta, now, upper=upper, max_liquidity=maximum)
        return flipped

    def cross(self, number: int, *now: int) -> None:
        self.ticks[number] = tick.cross(self.ticks[number], Accumulators(*now))

    def get(self, number: int) -> tuple[object, ...]:
        return self.ticks.get(number, EMPTY_TICK)


class BitmapBench:
    """The bitmap library at spacing 1."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}

    def flip_tick(self, number: int) -> None:
        tick_bitmap.flip_tick(self.words, number, 1)

    def is_initialized(self, number: int) -> bool:
        return tick_bitmap.next_initialized_tick_within_one_word(self.words, number, 1, lte=True) == (number, True)

    def next_initialized(self, number: int, *lte: bool) -> tuple[int, bool]:
        return tick_bitmap.next_initialized_tick_within_one_word(self.words, number, 1, lte=lte[0])


METHODS = {
    "initialize": "initialize",
    "advanceTime": "advance_time",
    "grow": "grow",
    "index": "index",
    "cardinality": "cardinality",
    "cardinalityNext": "get_cardinality_next",
    "observations": "observation",
    "observe": "observe",
    "setTick": "set_tick",
    "clear": "clear",
    "getFeeGrowthInside": "get_fee_growth_inside",
    "update": "update",
    "cross": "cross",
    "ticks": "get",
    "flipTick": "flip_tick",
    "isInitialized": "is_initialized",
    "nextInitializedTickWithinOneWord": "next_initialized",
}


def replay(library: str, make_bench: Callable[[], object]) -> tuple[int, int]:
    """Replay a library's traces. Returns how many calls were made and how many answers compared."""
    calls = compared = 0
    for trace in load_vectors("libraries")[library]:
        bench = make_bench()
        for call in trace["ops"]:
            target = copy.deepcopy(bench) if call["view"] else bench
            try:
                result = getattr(target, METHODS[call["fn"]])(*call["args"])
                answer = list(result) if isinstance(result, tuple) else [result]
            except PoolRevert as revert:
                answer = [f"revert {revert.reason}"]
            calls += 1
            if "ret" in call or "revert" in call:
                recorded = call["ret"] if "ret" in call else [f"revert {call['revert']}"]
                assert answer == recorded, (library, trace["id"], call)
                compared += 1
            else:
                assert answer == [None] or isinstance(answer[0], bool), (library, trace["id"], call, answer)
    return calls, compared


def test_the_oracle_answers_as_recorded() -> None:
    assert replay("oracle", OracleBench) == (497, 101)


def test_ticks_answer_as_recorded() -> None:
    assert replay("tick", TickBench) == (49, 21)


def test_the_bitmap_answers_as_recorded() -> None:
    assert replay("tickBitmap", BitmapBench) == (280, 37)
