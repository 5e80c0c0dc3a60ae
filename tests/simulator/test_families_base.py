"""Real swaps of Uniswap's and Aerodrome's pools on Base, replayed to the unit at fees that nobody was told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.base_fork import BaseFork, Divergence
from simulator.events import Block, SwapEvent
from simulator.family import Family
from simulator.math.tick_math import max_usable_tick, min_usable_tick
from simulator.recovery import RecoveredCall, recover_call
from simulator.slipstream_reward import Rewards
from simulator.snapshot import PoolSnapshot, TickState
from simulator.staking import Staking

SWAPS = Path(__file__).parents[1] / "data" / "base_swaps.csv"
# pool -> (family, tick spacing, the fee before the first swap as its contract would have it by default)
POOLS = {
    "d0b5": (Family.UNISWAP_V3, 10, 500),
    "6c56": (Family.UNISWAP_V3, 60, 3000),
    "b2cc": (Family.SLIPSTREAM, 100, 500),
    "4e96": (Family.SLIPSTREAM, 100, 500),
}
Row = tuple[int, SwapEvent]
Pair = tuple[Row, Row]


def read_rows() -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [] for name in POOLS}
    for line in SWAPS.read_text().splitlines():
        if not line.startswith("#"):
            block, log_index, pool, *state = line.split(",")
            rows[pool].append((int(block), SwapEvent(int(log_index), *map(int, state))))
    return rows


def snapshot_at(pool: str, row: Row, liquidity: int, fee_pips: int) -> PoolSnapshot:
    """The pool as one swap left it, with the liquidity that the next one met: no tick lies between any two of them."""
    family, spacing, _ = POOLS[pool]
    edges = min_usable_tick(spacing), max_usable_tick(spacing)
    return PoolSnapshot(
        chain_id=8453,
        pair_address=pool,
        block_number=row[0],
        block_hash="0x00",
        timestamp=1756789347 + 2 * (row[0] - 35_000_000),
        fee_pips=fee_pips,
        tick_spacing=spacing,
        sqrt_price_x96=row[1].sqrt_price_x96,
        tick=row[1].tick,
        liquidity=liquidity,
        fee_growth_global_0_x128=0,
        fee_growth_global_1_x128=0,
        fee_protocol=0,
        ticks=tuple(
            (edge, TickState(liquidity, sign * liquidity, 0, 0)) for edge, sign in zip(edges, (1, -1), strict=True)
        ),
        family=family,
        staking=Staking(0, 100_000, Rewards(), ()) if family is Family.SLIPSTREAM else None,
    )


def replay(pool: str, pairs: list[Pair], fee_pips: int) -> tuple[list[int], list[Pair]]:
    """Replay each swap on the state that the one before left. Returns (fees of those that land, the other pairs)."""
    fees, missed = [], []
    for before, after in pairs:
        base = BaseFork(snapshot_at(pool, before, after[1].liquidity, fee_pips))
        try:
            base.apply(Block(after[0], "0x01", "0x00", 1756789347 + 2 * (after[0] - 35_000_000), (after[1],)), after[1])
        except Divergence:
            missed.append((before, after))
            continue
        reached = base.pool
        assert (reached.sqrt_price_x96, reached.tick) == (after[1].sqrt_price_x96, after[1].tick)
        fee_pips = reached.fee_pips
        fees.append(fee_pips)
    return fees, missed


@pytest.mark.parametrize(("pool", "fees"), [("b2cc", [392] * 9), ("4e96", [333] * 2), ("6c56", [])])
def test_no_swap_misses_and_the_fee_is_the_same_throughout(pool: str, fees: list[int]) -> None:
    """The first swap of each pool cannot be replayed: the state before it is not in the sample. 6c56 has no other."""
    pairs = list(itertools.pairwise(read_rows()[pool]))
    assert replay(pool, pairs, POOLS[pool][2]) == (fees, [])


def test_one_pair_spans_a_gap_in_the_sample_and_is_told_from_a_swap() -> None:
    """Between blocks 35000007 and 35000049 the liquidity at the price halved, in events that the sample has not got."""
    pairs = list(itertools.pairwise(read_rows()["d0b5"]))
    fees, missed = replay("d0b5", pairs, 500)
    assert (fees, [(before[0], after[0]) for before, after in missed]) == ([500] * 10, [(35_000_007, 35_000_049)])


def test_all_that_the_sample_allows_is_replayed() -> None:
    rows = read_rows()
    landed = [len(replay(pool, list(itertools.pairwise(rows[pool])), POOLS[pool][2])[0]) for pool in POOLS]
    assert (sum(map(len, rows.values())), landed) == (26, [10, 0, 9, 2])


@pytest.mark.parametrize("start_pips", [0, 100, 391, 393, 3000, 100_000])
@pytest.mark.parametrize("pool", ["b2cc", "4e96"])
def test_fee_found_does_not_depend_on_the_one_before(pool: str, start_pips: int) -> None:
    """Every swap of these two names its fee to the pip, so that no earlier knowledge of it is needed."""
    pairs = list(itertools.pairwise(read_rows()[pool]))
    assert replay(pool, pairs, start_pips) == replay(pool, pairs, 500)


def test_small_swap_leaves_the_fee_where_it_is_or_moves_it_no_further_than_it_must() -> None:
    """Row 35000001/1450 of d0b5 paid 22000 raw units: any fee from 455 to 500 pips explains it."""
    rows = read_rows()["d0b5"]
    [at] = [i for i, (block, event) in enumerate(rows) if (block, event.log_index) == (35_000_001, 1450)]
    found = {}
    for fee_pips in (0, 454, 455, 480, 500, 501, 9000):
        pool = BaseFork(snapshot_at("d0b5", rows[at - 1], rows[at][1].liquidity, fee_pips)).pool
        call = recover_call(pool, rows[at][1], max_fee_pips=100_000)
        found[fee_pips] = call and call.fee_pips
    assert found == {0: 455, 454: 455, 455: None, 480: None, 500: None, 501: 500, 9000: 500}


def test_fee_is_no_excuse_for_anything_where_it_is_fixed_or_would_be_too_high() -> None:
    rows = read_rows()["b2cc"]
    before, after = rows[0], rows[1]
    pool = BaseFork(snapshot_at("b2cc", before, after[1].liquidity, 500)).pool
    right = RecoveredCall(
        zero_for_one=False, amount_specified=after[1].amount1, sqrt_price_limit_x96=None, fee_pips=392
    )
    assert recover_call(pool, after[1], max_fee_pips=392) == right
    assert recover_call(pool, after[1], max_fee_pips=391) is None
    assert recover_call(pool, after[1]) is None
    for change in (
        {"amount0": after[1].amount0 - 10**9},
        {"amount1": after[1].amount1 + 1},
        {"tick": after[1].tick + 1},
    ):
        assert recover_call(pool, replace(after[1], **change), max_fee_pips=100_000) is None
