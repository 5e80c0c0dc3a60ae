"""The engine in C is the engine in Python, to the last bit and the last tick."""

from __future__ import annotations

import random
import sys

import pytest
from support.engine_duel import difference_of, fight_engines, probe_engines, state
from support.pancake_walk import PancakeWalk
from support.pool_duel import answer
from support.pool_walk import LENGTH, Operation, PoolWalk

from protocol.errors import ConfigError, SimulationError
from protocol.units import MAX_TICK, MIN_TICK, Q96
from simulator import engine, records
from simulator.engine import default_engine, make_pool, pool_from_snapshot
from simulator.math import tick_math
from simulator.pool import Pool

core = pytest.importorskip("simulator.native._core", reason="there was no compiler")

from simulator.native.pool import NativePool  # noqa: E402 only where the extension exists

CHUNKS = 8  # so that the workers of a parallel run share the walks
PLACE = {"chain_id": 1, "pair_address": "p", "block_number": 1, "block_hash": "", "timestamp": 1_700_000_000}
SCALE = 4  # no bytecode takes part, so as many walks again


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_both_engines_agree_on_every_operation(chunk: int, fuzz_seed: int, fuzz_operations: int) -> None:
    walks = -(-fuzz_operations * SCALE // LENGTH)
    for index in range(chunk, walks, CHUNKS):
        # Every fourth pool is PancakeSwap's.
        defeat = fight_engines(NativePool, fuzz_seed + 1, index, PancakeWalk if index // CHUNKS % 4 == 0 else PoolWalk)
        assert defeat is None, f"\n{defeat}"


def test_both_engines_agree_where_walks_hardly_come() -> None:
    assert probe_engines(NativePool) is None


@pytest.mark.parametrize("name", records.names())
def test_both_engines_agree_on_every_real_event(name: str) -> None:
    record = records.load(name)
    python, native = Pool.from_snapshot(record.opening), NativePool.from_snapshot(record.opening)
    for block in record.blocks:
        python.timestamp = native.timestamp = block.timestamp
        for event, call in zip(block.events, block.calls, strict=True):
            if call is not None:
                arguments = call.zero_for_one, call.amount_specified, call.sqrt_price_limit_x96
                assert native.swap(*arguments) == python.swap(*arguments)
            else:
                change = event.tick_lower, event.tick_upper, event.liquidity_delta  # type: ignore[union-attr]
                assert native.apply_liquidity(*change) == python.apply_liquidity(*change)
    assert difference_of(python, native) is None


def test_ticks_and_ratios_are_the_contract_s() -> None:
    rng = random.Random(1)
    ticks = {*range(MIN_TICK, MIN_TICK + 700), *range(-1100, 1100), *range(MAX_TICK - 700, MAX_TICK + 1)}
    ticks |= {2**bit * sign + near for bit in range(20) for sign in (1, -1) for near in (-1, 0, 1)} & set(
        range(MIN_TICK, MAX_TICK + 1)
    )
    ticks |= {rng.randint(MIN_TICK, MAX_TICK) for _ in range(4000)}
    for tick in ticks:
        ratio = tick_math.get_sqrt_ratio_at_tick(tick)
        assert core.get_sqrt_ratio_at_tick(tick) == ratio
        for price in (ratio - 1, ratio, ratio + 1, ratio + rng.randrange(1 + ratio // 20_000)):
            if tick_math.MIN_SQRT_RATIO <= price < tick_math.MAX_SQRT_RATIO:
                assert core.get_tick_at_sqrt_ratio(price) == tick_math.get_tick_at_sqrt_ratio(price)


def wide_pool(ticks: int, *, seed: int = 5) -> NativePool:
    """Return a native pool with that many initialised ticks around its price."""
    rng = random.Random(seed)
    pool = NativePool(3000, 60)
    pool.timestamp = 1_700_000_000
    pool.initialize(Q96)
    pool.apply_liquidity(-887_220, 887_220, 10**17)
    while len(pool.ticks) < ticks:
        lower = rng.randrange(-ticks, ticks) * 60
        pool.apply_liquidity(lower, lower + rng.randint(1, 80) * 60, rng.randrange(1, 10**18))
    return pool


def test_a_fork_costs_little_and_copies_only_what_it_writes() -> None:
    pool = wide_pool(600)
    forks = [pool.copy() for _ in range(3)]
    assert all(sys.getsizeof(fork) < 2_000 for fork in forks)
    before = state(pool)
    forks[0].swap(True, 10**15, None)
    forks[1].mint("ann", -60, 60, 10**18)
    assert sys.getsizeof(forks[0]) < 30_000 and sys.getsizeof(forks[1]) < 30_000
    assert state(pool) == before == state(forks[2])
    del pool
    forks[2].swap(False, 10**19, None)
    assert state(forks[2]) != before != state(forks[0])


def test_random_forks_of_forks_never_touch_each_other() -> None:
    rng = random.Random(9)
    family: list[tuple[Pool, NativePool]] = []
    native = wide_pool(60)
    snapshot = native.to_snapshot(
        chain_id=1, pair_address="p", block_number=1, block_hash="", timestamp=native.timestamp
    )
    family.append((Pool.from_snapshot(snapshot), NativePool.from_snapshot(snapshot)))
    for _ in range(1500):
        choice = rng.random()
        python, fork = rng.choice(family)
        if choice < 0.02 and len(family) > 3:
            family.pop(rng.randrange(len(family)))
        elif choice < 0.06:
            family.append((python.copy(), fork.copy()))
        else:
            python.timestamp = fork.timestamp = python.timestamp + rng.choice([0, 12])
            lower = rng.randrange(-60, 60) * 60
            change = lower, lower + rng.randint(1, 20) * 60, rng.choice([1, -1]) * rng.randrange(1, 10**17)
            swap = rng.random() < 0.5, rng.randrange(-(10**17), 10**18) or 1, None
            verb, arguments = ("apply_liquidity", change) if choice < 0.4 else ("swap", swap)
            operation = Operation(python.timestamp, verb, arguments)
            assert answer(python, operation) == answer(fork, operation)
    assert [difference_of(python, fork) for python, fork in family] == [None] * len(family)


def test_a_fee_protocol_or_fee_changed_by_hand_forgets_what_segments_cost() -> None:
    pools = Pool(3000, 60), NativePool(3000, 60)
    for pool in pools:
        pool.initialize(Q96)
        for lower in range(-600, 600, 60):
            pool.apply_liquidity(lower, lower + 60, 10**18 + lower)
    for fee_pips, fee_protocol in [
        (3000, 0),
        (3000, 4 + 16 * 6),
        (500, 4 + 16 * 6),
        (999_999, 0),
        (0, 0),
        (475_713, 10),
    ]:
        for zero_for_one in (True, False, True, False):
            results = []
            for pool in pools:
                pool.fee_pips, pool.fee_protocol = fee_pips, fee_protocol
                results.append(
                    pool.swap(zero_for_one, 10**30, tick_math.get_sqrt_ratio_at_tick(-570 if zero_for_one else 570))
                )
            assert results[0] == results[1]
            assert difference_of(*pools) is None


def test_an_engine_is_chosen_by_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = records.load("wbtc-weth-03").opening
    assert default_engine() == "native"
    assert (
        type(make_pool(500, 10, engine="native")) is type(pool_from_snapshot(snapshot, engine="native")) is NativePool
    )
    assert type(make_pool(500, 10)) is type(pool_from_snapshot(snapshot)) is Pool
    native, python = (pool_from_snapshot(snapshot, engine=name) for name in ("native", "python"))
    assert native.to_snapshot(**PLACE).digest() == python.to_snapshot(**PLACE).digest()
    with pytest.raises(ConfigError, match="there is no engine 'nativ'; use one of python, native"):
        make_pool(500, 10, engine="nativ")  # type: ignore[arg-type]  # on purpose
    monkeypatch.setattr(engine, "is_built", lambda: False)
    assert default_engine() == "python"
    with pytest.raises(ConfigError, match="not built"):
        make_pool(500, 10, engine="native")


def test_values_of_no_solidity_type_are_the_caller_s_mistake() -> None:
    pool = wide_pool(10)
    before = state(pool)
    for name, value in [
        ("liquidity", -1),
        ("liquidity", 2**128),
        ("tick", 2**40),
        ("timestamp", -1),
        ("fee_pips", 10**6),
    ]:
        with pytest.raises(SimulationError):
            setattr(pool, name, value)
    with pytest.raises(TypeError):
        pool.swap(True, 1.5, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pool.liquidity = "1"  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        del pool.liquidity
    with pytest.raises(SimulationError):
        NativePool(3000, MAX_TICK + 1)
    assert state(pool) == before


def test_steps_between_limbs_are_exact() -> None:
    """Prices, amounts and liquidity around the powers of two at which the fast step gives way to the general one."""
    rng = random.Random(4)
    for _ in range(4000):
        fee_pips = rng.choice([0, 1, 100, 3000, 475_712, 475_713, 999_999])
        pools = Pool(fee_pips, 1), NativePool(fee_pips, 1)
        price = rng.choice([2**33, 2**64, 2**96, 2**127, 2**128, 2**150]) + rng.randrange(-3, 4)
        price = max(price + rng.randrange(price // 1000), tick_math.MIN_SQRT_RATIO + 5)
        tick = tick_math.get_tick_at_sqrt_ratio(price)
        width = rng.choice([1, 5, 300, 5000])
        lower, upper = max(MIN_TICK, tick - rng.randint(0, width)), min(MAX_TICK, tick + 1 + rng.randint(0, width))
        liquidity = min(2 ** rng.choice([0, 1, 40, 63, 64, 65, 100, 106]) + rng.randrange(-2, 3), 2**106) or 1
        amount = 2 ** rng.choice([0, 3, 30, 63, 64, 100, 126, 127, 128, 200, 254]) + rng.randrange(-1, 2)
        amount *= rng.choice([1, -1])
        arguments = rng.random() < 0.5, amount or 1, None
        results = []
        for pool in pools:
            pool.initialize(price)
            pool.knows_balances = False
            pool.apply_liquidity(lower, upper, max(liquidity, 1))
            results.append(pool.swap(*arguments))
        assert results[0] == results[1], (fee_pips, price, lower, upper, liquidity, arguments)
        assert difference_of(*pools) is None
