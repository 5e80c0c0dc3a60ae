"""The engine does what the published bytecode does (`make fuzz` walks further)."""

from __future__ import annotations

from collections import Counter

import pytest
from support.bytecode_pool import BytecodePool, mapping_slot
from support.pool_duel import answer, fight
from support.pool_walk import LENGTH, PoolWalk

from protocol.units import MAX_UINT128
from simulator.pool import Pool, PoolRevert

CHUNKS = 8  # so that the workers of a parallel run share the walks


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_engine_and_bytecode_agree_on_every_operation(chunk: int, fuzz_seed: int, fuzz_operations: int) -> None:
    walks = -(-fuzz_operations // LENGTH)
    for index in range(chunk, walks, CHUNKS):
        defeat = fight(fuzz_seed, index)
        assert defeat is None, f"\n{defeat}"


def test_walks_meet_every_revert_and_every_edge() -> None:
    reverts: Counter[str] = Counter()
    edges: Counter[str] = Counter()
    for index in range(450):
        walk = PoolWalk(1, index)
        pool = Pool(walk.fee_pips, walk.spacing)
        for _ in range(LENGTH):
            operation = walk.next(pool)
            before = pool.copy()
            outcome, value = answer(pool, operation)
            if outcome == "reverted":
                reverts[value] += 1
                continue
            edges["clock wrapped"] += before.timestamp < 2**32 <= pool.timestamp
            edges["growth wrapped"] += pool.fee_growth_global_0_x128 < before.fee_growth_global_0_x128
            edges["ring grew"] += pool.observation_cardinality > max(1, before.observation_cardinality)
            edges["protocol paid"] += operation.verb == "collect_protocol" and value > (0, 0)
            edges["fees paid"] += operation.verb == "collect" and value > (0, 0)
            if operation.verb == "swap":
                crossed = sum(pool.ticks[tick] != info for tick, info in before.ticks.items())
                edges["many ticks crossed"] += crossed > 2
                edges["word crossed"] += pool.tick // walk.spacing >> 8 != before.tick // walk.spacing >> 8
                edges["liquidity ran out"] += before.liquidity > 0 == pool.liquidity
                edges["highest liquidity"] += pool.liquidity >= 2**105
    expected = [
        "",
        "AI",
        "AS",
        "F0",
        "F1",
        "I",
        "L",
        "LO",
        "LOK",
        "LS",
        "NP",
        "OLD",
        "R",
        "SPL",
        "TF",
        "TLM",
        "TLU",
        "TUM",
    ]
    assert sorted(reverts) == expected
    assert {name: count for name, count in edges.items() if count < 20} == {}


def test_storage_is_read_as_the_getters_answer() -> None:
    pool = BytecodePool(500, 10)
    pool.timestamp = 1601906400
    pool.initialize(2**96 * 3)
    pool.increase_observation_cardinality_next(3)
    pool.set_fee_protocol(4, 10)
    pool.mint(1, 21900, 22000, 10**18)
    pool.timestamp += 7
    pool.swap(True, 10**15, 4295128740)
    pool.swap(False, 10**15, 2**96 * 4)
    pool.burn(1, 21900, 22000, 0)
    scalars, (info,) = pool.scalars(), pool.tick_infos([21900]).values()
    (position,) = pool.position_infos([(1, 21900, 22000)]).values()
    names = ("sqrt_price_x96", "tick", "observation_index", "observation_cardinality", "observation_cardinality_next")
    assert pool.getter("slot0()") == [*(scalars[name] for name in (*names, "fee_protocol", "unlocked"))]
    assert pool.getter("liquidity()") == [scalars["liquidity"]]
    assert pool.getter("feeGrowthGlobal0X128()") == [scalars["fee_growth_global_0_x128"]]
    assert pool.getter("feeGrowthGlobal1X128()") == [scalars["fee_growth_global_1_x128"]]
    assert pool.getter("protocolFees()") == [scalars["protocol_fees_0"], scalars["protocol_fees_1"]]
    assert pool.getter("ticks(int24)", 21900) == [int(field) for field in info]
    assert pool.getter("tickBitmap(int16)", 2190 >> 8) == [pool.bitmap_words([2190 >> 8])[2190 >> 8]]
    assert pool.getter("observations(uint256)", 1) == [int(field) for field in pool.observations(2)[1]]
    assert position.liquidity == 10**18 and position.tokens_owed_0 > 0 < position.tokens_owed_1
    assert min(scalars.values()) >= 0 and info.seconds_outside > 0 and mapping_slot(0, 5) != mapping_slot(1, 5)


def test_the_payer_and_the_tokens_behave() -> None:
    pool = BytecodePool(100, 1)
    pool.initialize(2**96)
    assert pool.mint(0, -1, 1, 10**9) == (49997, 49997)
    with pytest.raises(PoolRevert) as caught:
        pool.flash(49998, 0, 60000, 0)
    assert caught.value.reason == "TF"
    assert pool.burn(0, -1, 1, 10**9) == (49996, 49996)
    assert pool.collect(0, -1, 1, MAX_UINT128, MAX_UINT128) == (49996, 49996)
    assert (pool.scalars()["balance0"], pool.scalars()["balance1"]) == (1, 1)
