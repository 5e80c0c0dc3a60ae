"""What is no argument of a verb: both engines refuse it by the same error, and the pool stays as it was; what is true
or false they take alike.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from protocol.errors import SimulationError
from protocol.units import MAX_TICK, Q96
from simulator.engine import V3Pool, make_pool
from simulator.pool import PoolRevert

pytest.importorskip("simulator.native._core", reason="there was no compiler")

BOUNDS = (-600, 600)
VERBS: dict[str, tuple[Any, ...]] = {
    "initialize": (Q96,),
    "mint": ("owner", *BOUNDS, 10**6),
    "burn": ("owner", *BOUNDS, 10**6),
    "collect": ("owner", *BOUNDS, 5, 5),
    "swap": (True, 1000, Q96 // 2),
    "quote": (True, 1000, Q96 // 2),
    "flash": (1, 1, 10, 10),
    "set_fee_protocol": (6, 7),
    "collect_protocol": (1, 1),
    "increase_observation_cardinality_next": (5,),
    "snapshot_cumulatives_inside": BOUNDS,
    "apply_liquidity": (*BOUNDS, 10**6),
    "fee_growth_inside": BOUNDS,
    "fees_owed": ("owner", *BOUNDS),
}
PLACES = [(verb, at) for verb, good in VERBS.items() for at, value in enumerate(good) if type(value) is int]
NO_LIMIT = [("swap", 2), ("quote", 2)]  # None is one


class Sub(int):
    """An int by inheritance, which may compute otherwise."""


NO_INTS = [1.0, 600.0, -600.0, 0.5, "1", None, True, False, Decimal(600), 1j, (600,), Sub(600), np.True_]
NO_INTS += [kind(600) for kind in (np.int16, np.int64, np.uint64, np.float64)]
TRUE_OR_FALSE = [0, 1, 2, -1, 1.0, "", "yes", None, (), (1,), Sub(1), np.True_, np.False_, np.int64(1)]
TOO_LARGE = [2**300, -(2**300), 2**256, -(2**255) - 1]


def made(engine: Any, verb: str) -> V3Pool:
    """Return a pool in which each verb's good arguments do something."""
    pool = make_pool(3000, 60, engine=engine)
    pool.timestamp = 1000
    if verb != "initialize":
        pool.initialize(Q96)
        pool.mint("owner", *BOUNDS, 10**18)
        pool.set_fee_protocol(4, 5)
        for zero_for_one in (True, False, True):
            pool.swap(zero_for_one, 10**15, None)
        pool.burn("owner", *BOUNDS, 10**10)
        pool.increase_observation_cardinality_next(3)
        pool.timestamp = 1020
    return pool


def refusal(pool: V3Pool, call: Callable[[], object]) -> tuple[type[Exception], str]:
    """Return the error that a call raises, less where it happened; the pool must be as it was."""
    before = pool.to_json()
    with pytest.raises((TypeError, SimulationError, PoolRevert)) as caught:
        call()
    assert pool.to_json() == before
    return caught.type, str(caught.value).partition(" (")[0]


def refusals(verb: str, at: int, wrong: object) -> set[tuple[type[Exception], str]]:
    good = VERBS[verb]
    pools = made("python", verb), made("native", verb)
    calls = [lambda pool=pool: getattr(pool, verb)(*good[:at], wrong, *good[at + 1 :]) for pool in pools]
    return {refusal(pool, call) for pool, call in zip(pools, calls, strict=True)}


@pytest.mark.parametrize(("verb", "at"), PLACES)
def test_a_value_of_another_type_is_a_type_error(verb: str, at: int) -> None:
    for wrong in NO_INTS:
        if wrong is not None or (verb, at) not in NO_LIMIT:
            said = f"an int is wanted, not {type(wrong).__name__}"
            assert refusals(verb, at, wrong) == {(TypeError, said)}, wrong


@pytest.mark.parametrize("verb", ["swap", "quote"])
@pytest.mark.parametrize("flag", TRUE_OR_FALSE, ids=repr)
def test_a_direction_is_what_is_true_or_false(verb: str, flag: Any) -> None:
    limit = Q96 // 2 if flag else Q96 * 2
    told = []
    for engine, direction in (("python", flag), ("native", flag), ("python", bool(flag))):
        pool = made(engine, verb)
        told.append((getattr(pool, verb)(direction, 1000, limit), pool.to_json()))
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(("verb", "at"), PLACES)
def test_an_int_beyond_every_width_is_refused_unless_it_is_a_tick_to_read_at(verb: str, at: int) -> None:
    """Growth inside is asked of any ticks, and what is owed to a position that was never opened is nothing."""
    for wrong in TOO_LARGE:
        if verb in ("fee_growth_inside", "fees_owed") or (verb == "collect" and at < 3):
            arguments = *VERBS[verb][:at], wrong, *VERBS[verb][at + 1 :]
            python, native = (getattr(made(engine, verb), verb)(*arguments) for engine in ("python", "native"))
            assert python == native
        else:
            [(error, _)] = refusals(verb, at, wrong)
            assert error in (SimulationError, PoolRevert)


@pytest.mark.parametrize("wrong", NO_INTS)
def test_an_age_that_is_no_int_is_a_type_error(wrong: object) -> None:
    pools = made("python", "observe"), made("native", "observe")
    said = {refusal(pool, lambda pool=pool: pool.observe([0, wrong])) for pool in pools}  # type: ignore[misc, list-item]
    assert said == {(TypeError, f"an int is wanted, not {type(wrong).__name__}")}


@pytest.mark.parametrize("engine", ["python", "native"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ((3000.0, 60), TypeError),
        ((3000, np.int64(60)), TypeError),
        ((True, 60), TypeError),
        ((10**6, 60), SimulationError),
        ((-1, 60), SimulationError),
        ((3000, 0), SimulationError),
        ((3000, MAX_TICK + 1), SimulationError),
    ],
)
def test_a_pool_that_cannot_be_is_refused(engine: Any, kind: tuple[Any, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make_pool(*kind, engine=engine)
