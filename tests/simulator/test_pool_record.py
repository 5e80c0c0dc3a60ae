"""A whole pool as JSON: the same text on both engines, the same pool back, and a clear error for anything else."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from support.pancake_walk import PancakeWalk
from support.pool_duel import answer
from support.pool_fields import FIELDS
from support.pool_walk import LENGTH, PoolWalk

from protocol.errors import SimulationError
from protocol.units import Q96
from simulator.engine import default_engine, pool_from_json
from simulator.fee_policy import PANCAKE_V3, ProtocolFeePolicy
from simulator.math.tick_math import MIN_SQRT_RATIO
from simulator.pool import Pool
from simulator.pool_record import PoolRecord, record_of


def state(pool: Any) -> dict[str, Any]:
    content = {name: getattr(pool, name) for name in (*FIELDS, "fee_policy", "knows_balances")}
    return content | {name: dict(content[name]) for name in ("ticks", "tick_bitmap", "positions")}


def traded() -> Pool:
    """Return a pool with two owners' positions, fees owed, a protocol share and a ring that has gone round."""
    pool = Pool(2500, 50, PANCAKE_V3)
    pool.timestamp = 1_000_000
    pool.initialize(Q96)
    pool.increase_observation_cardinality_next(3)
    pool.mint("ann", -500, 500, 10**18)
    pool.mint(7, -50, 1000, 3 * 10**17)
    for step in range(9):
        pool.timestamp += 7
        pool.swap(step % 3 != 0, 10**15 * (step + 1), None)
    pool.burn("ann", -500, 500, 10**17)
    return pool


@pytest.mark.parametrize("index", range(40))
def test_any_pool_comes_back_and_goes_on_alike(index: int) -> None:
    walk = (PoolWalk, PancakeWalk)[index % 2](3, index)
    pool = Pool(walk.fee_pips, walk.spacing, walk.fee_policy)
    for _ in range(LENGTH // 2):
        answer(pool, walk.next(pool))
    value = json.loads(json.dumps(pool.to_json()))
    twins = [Pool.from_json(value), pool_from_json(value, engine=default_engine()), pickle.loads(pickle.dumps(pool))]
    assert [twin.to_json() for twin in twins] == [value] * 3
    assert [state(twin) for twin in twins] == [state(pool)] * 3
    for _ in range(LENGTH // 2):
        operation = walk.next(pool)
        assert len({repr(answer(each, operation)) for each in (pool, *twins)}) == 1
    assert {each.digest() for each in (pool, *twins)} == {pool.to_json()["digest"]}


def test_the_json_is_what_it_was() -> None:
    """Readers of old files rely on it: a change of the format needs another name."""
    pool = traded()
    assert pool.digest() == "6f0f466be64b94611e27ba8e21696ac9c84183b9addccf9486d8c233cda8a20f"
    value = pool.to_json()
    assert (value["format"], value["family"], value["scalars"]["liquidity"]) == (
        "tideline-pool-1",
        "pancake-v3",
        str(pool.liquidity),
    )
    assert [position[:4] for position in value["positions"]] == [
        ["ann", -500, 500, str(9 * 10**17)],
        [{"int": "7"}, -50, 1000, str(3 * 10**17)],
    ]


def test_two_owners_of_one_name_stay_two() -> None:
    pool = Pool(3000, 60)
    pool.initialize(Q96)
    pool.mint("7", -60, 60, 5)
    pool.mint(7, -60, 60, 6)
    assert Pool.from_json(pool.to_json()).positions == pool.positions


def test_a_pool_that_was_never_started_comes_back() -> None:
    pool = Pool(3000, 60)
    assert state(Pool.from_json(pool.to_json())) == state(pool)


def signed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return a pool's JSON, changed, with the digest that goes with it."""
    value = traded().to_json()
    change(value)
    # `digest` is taken of the content, so a record of the changed content cannot be asked: it may not be readable.
    import hashlib

    content = {name: part for name, part in value.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return content | {"digest": hashlib.sha256(text.encode()).hexdigest()}


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "no price and liquidity": ("has no price", lambda v: v["scalars"].update(sqrt_price_x96="0")),
    "active liquidity": ("its ticks sum to", lambda v: v["scalars"].update(liquidity="5")),
    "open tick map": ("sum of liquidity_net is", lambda v: v["ticks"][0].__setitem__(2, "1")),
    "a tick off the spacing": ("tick -501 is off the spacing of 50", lambda v: v["ticks"][0].__setitem__(0, -501)),
    "a tick out of range": ("out of range", lambda v: v["ticks"][0].__setitem__(0, -887_300)),
    "a price elsewhere": ("its price is at", lambda v: v["scalars"].update(tick="-397")),
    "a fee protocol of another contract": ("not of this contract", lambda v: v["scalars"].update(fee_protocol="68")),
    "a number too large": ("does not fit", lambda v: v["scalars"].update(protocol_fees_0=str(2**128))),
    "a negative number": ("does not fit", lambda v: v["scalars"].update(timestamp="-1")),
    "a ring shorter than it says": ("oracle", lambda v: v["observations"].pop()),
    "a place outside the ring": ("oracle", lambda v: v["scalars"].update(observation_index="3")),
    "no ticks": ("malformed", lambda v: v.pop("ticks")),
    "text for a number": ("malformed", lambda v: v["scalars"].update(liquidity="many")),
    "an unknown family": ("malformed", lambda v: v.update(family="sushi")),
    "another format": ("format", lambda v: v.update(format="tideline-pool-0")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_pool_that_contradicts_itself_is_refused_in_one_line(name: str) -> None:
    says, change = CHANGES[name]
    with pytest.raises(SimulationError, match=says) as caught:
        Pool.from_json(signed(change))
    assert "\n" not in str(caught.value)


def test_any_change_is_seen_by_the_digest() -> None:
    text = json.dumps(traded().to_json())
    rng = random.Random(4)
    seen = 0
    while seen < 60:
        place = rng.randrange(len(text))
        if not text[place].isdigit():
            continue
        changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        with pytest.raises(SimulationError):
            Pool.from_json(json.loads(changed))
        seen += 1
    with pytest.raises(SimulationError, match="digest"):
        Pool.from_json({name: part for name, part in json.loads(text).items() if name != "digest"})


def test_what_has_no_json_says_so() -> None:
    pool = Pool(3000, 60)
    pool.initialize(MIN_SQRT_RATIO)
    pool.positions[((1, 2), -60, 60)] = pool.positions[("nobody", -60, 60)]
    with pytest.raises(SimulationError, match="owners"):
        pool.to_json()
    assert isinstance(record_of(pool), PoolRecord)
    with pytest.raises(SimulationError, match="fee policy"):
        Pool(3000, 60, ProtocolFeePolicy(half_bits=8, lowest=1, highest=9)).to_json()
