"""The index check on real markets, from nothing but their events: what is whole is never suspected, what is not is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from db.pool_events.records import PoolRow
from simulator import records
from simulator.events import Block, LiquidityEvent, PoolEvent, SwapEvent
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.neutral import NeutralFile
from simulator.neutral_lines import PoolLine
from simulator.pool import Pool
from simulator.recorded import RecordedMarket
from simulator.records import Record
from simulator.snapshot import PoolSnapshot
from tideline.index_replay import Gap, RangeReplay, Verified

GENESIS = Path(__file__).parents[1] / "data" / "ethereum_genesis_165_pools.jsonl.gz"
USDC_WETH = records.load("usdc-weth-005")
WBTC_WETH = records.load("wbtc-weth-03")

Change = Callable[[PoolEvent], Iterable[PoolEvent]]


def blocks_of(record: Record, change: Change = lambda event: (event,)) -> list[Block]:
    return [
        Block(b.number, "", "", b.timestamp, tuple(new for event in b.events for new in change(event)))
        for b in record.blocks
    ]


def checked(
    record: Record, blocks: list[Block], *later: PoolSnapshot, has_snapshot: bool = False
) -> tuple[Gap | None, Verified]:
    """Return what the check finds; without a snapshot it sees the events alone."""
    pool = PoolRow("", "", "", 0, "", "", 0, record.opening.fee_pips, record.opening.tick_spacing)
    replay = RangeReplay(pool, 1, {snapshot.block_number: snapshot for snapshot in later}, verified := Verified())
    if has_snapshot:
        replay.start(record.opening)
    else:
        replay.learn(blocks)
    return replay.happen(blocks), verified


def swaps_of(record: Record) -> list[SwapEvent]:
    return [event for block in record.blocks for event in block.events if isinstance(event, SwapEvent)]


@pytest.mark.parametrize(
    ("record", "verified"),
    [
        (USDC_WETH, Verified(swaps_inferred=6034, swaps_bounded=10, changes_priced=109)),
        (WBTC_WETH, Verified(swaps_inferred=724, changes_priced=74)),
    ],
    ids=lambda value: value.name if isinstance(value, Record) else "",
)
def test_every_swap_of_a_real_market_but_the_first_follows_from_events_alone(
    record: Record, verified: Verified
) -> None:
    assert checked(record, blocks_of(record)) == (None, verified)


def test_no_event_of_165_real_pools_is_suspected() -> None:
    total: Counter[str] = Counter()
    for line in NeutralFile.open(GENESIS).lines():
        if isinstance(line, PoolLine):
            record = records.load_file(GENESIS, pool=line.pool)
            gap, verified = checked(record, blocks_of(record))
            assert gap is None, line.pool
            swaps = len(swaps_of(record))
            total.update(pools=1, swaps=swaps, firsts=swaps > 0, inferred=verified.swaps_inferred)
    assert total == {"pools": 165, "swaps": 1001, "firsts": 90, "inferred": 911}


@pytest.mark.parametrize("length", [1, 2, 5, 51, 200])
@pytest.mark.parametrize("record", [USDC_WETH, WBTC_WETH], ids=lambda record: record.name)
def test_any_swaps_in_a_row_that_are_missing_are_found(record: Record, length: int) -> None:
    swaps, rng = swaps_of(record), random.Random(length)
    for _ in range(12):
        at = rng.randrange(1, len(swaps) - length)
        gone = set(map(id, swaps[at : at + length]))
        gap, _ = checked(record, blocks_of(record, lambda event, gone=gone: () if id(event) in gone else (event,)))  # type: ignore[misc] # mypy sees no type for a default of a lambda
        assert gap is not None, f"{length} swaps from the {at}th on"


def test_a_missing_mint_or_burn_is_found_where_a_swap_ends_in_its_range_before_and_after() -> None:
    found: Counter[bool] = Counter()
    for gone in (event for block in WBTC_WETH.blocks for event in block.events if is_change(event)):
        blocks = blocks_of(WBTC_WETH, lambda event, gone=gone: () if event is gone else (event,))  # type: ignore[misc] # as above
        found[checked(WBTC_WETH, blocks)[0] is not None] += 1
    assert found == {True: 130, False: 6}


def is_change(event: PoolEvent) -> bool:
    return isinstance(event, LiquidityEvent) and event.liquidity_delta != 0


def forged(record: Record, event: PoolEvent, **values: int) -> list[Block]:
    return blocks_of(record, lambda e: (replace(e, **values),) if e is event else (e,))


def test_an_amount_forged_by_one_unit_is_found_unless_it_is_a_possible_swap() -> None:
    """One unit more paid can vanish in the fee, by the contract's own rounding: such a log could be true."""
    swaps, rng, missed = swaps_of(WBTC_WETH), random.Random(1), 0
    for _ in range(120):
        swap, name, by = rng.choice(swaps[1:]), rng.choice(("amount0", "amount1")), rng.choice((-1, 1))
        blocks = forged(WBTC_WETH, swap, **{name: getattr(swap, name) + by})
        if checked(WBTC_WETH, blocks)[0] is None:
            missed += 1
            assert by == 1 and getattr(swap, name) > 0
            assert checked(WBTC_WETH, blocks, has_snapshot=True)[0] is None, "no replay can tell"
    assert 0 < missed < 15
    swap = swaps[300]
    for name in ("liquidity", "tick"):
        assert checked(WBTC_WETH, forged(WBTC_WETH, swap, **{name: getattr(swap, name) + 1}))[0] is not None


@pytest.mark.parametrize("has_snapshot", [True, False])
@pytest.mark.parametrize("by", [1, -1])
def test_a_mint_that_moved_one_unit_more_or_less_is_found(has_snapshot: bool, by: int) -> None:  # noqa: FBT001 - a test's argument
    changes = [e for b in USDC_WETH.blocks for e in b.events if isinstance(e, LiquidityEvent) and e.amount1]
    for change in changes[:5]:
        gap, _ = checked(
            USDC_WETH, forged(USDC_WETH, change, amount1=(change.amount1 or 0) + by), has_snapshot=has_snapshot
        )
        assert gap is not None and gap.kind == "amounts_of_another_price"


@pytest.mark.parametrize(
    "values",
    [{"tick": 10**7}, {"tick": 0}, {"sqrt_price_x96": 1}, {"liquidity": 0}, {"sqrt_price_x96": 2**159}],
)
def test_a_swap_that_no_pool_can_make_is_a_gap_wherever_it_stands(values: dict[str, int]) -> None:
    for swap in (swaps_of(WBTC_WETH)[at] for at in (0, 1, 300, -1)):
        gap, _ = checked(WBTC_WETH, forged(WBTC_WETH, swap, **values))
        assert gap is not None


@pytest.mark.parametrize("values", [{"tick_lower": 7}, {"tick_upper": 10**6}, {"tick_lower": 600000}])
def test_a_mint_that_no_pool_can_make_is_a_gap(values: dict[str, int]) -> None:
    change = next(event for block in WBTC_WETH.blocks for event in block.events if is_change(event))
    for has_snapshot in (True, False):
        gap, _ = checked(WBTC_WETH, forged(WBTC_WETH, change, **values), has_snapshot=has_snapshot)
        assert gap is not None


def snapshot_at(record: Record, number: int) -> PoolSnapshot:
    return replace(RecordedMarket(record, start_block=number).snapshot(), block_hash="")


def test_from_the_first_snapshot_on_the_replay_is_exact() -> None:
    """A unit that vanished in the fee shows in the fee growth between two snapshots, and before the first does not."""
    numbers = [block.number for block in WBTC_WETH.blocks]
    snapshots = [snapshot_at(WBTC_WETH, number) for number in (numbers[200], numbers[-1])]
    gap, verified = checked(WBTC_WETH, blocks_of(WBTC_WETH), *snapshots)
    before = sum(isinstance(e, SwapEvent) for b in WBTC_WETH.blocks[:201] for e in b.events)
    expected = Verified(swaps_replayed=725 - before, swaps_inferred=before - 1, changes_priced=74, snapshots_met=2)
    assert (gap, verified) == (None, expected)
    found = []
    for swaps in (swaps_of(WBTC_WETH)[1:before], swaps_of(WBTC_WETH)[before:]):
        for swap in swaps:
            name = "amount0" if swap.amount0 > 0 else "amount1"
            blocks = forged(WBTC_WETH, swap, **{name: getattr(swap, name) + 1})
            if checked(WBTC_WETH, blocks)[0] is None:  # a possible swap
                found.append(checked(WBTC_WETH, blocks, *snapshots)[0])
                break
    assert found[0] is None
    assert found[1] is not None and found[1].kind.startswith("snapshot_differs_in_fee_growth_global")


def test_a_tick_without_net_liquidity_rounds_unseen_and_is_no_gap() -> None:
    """Two positions that meet, of one liquidity: the price stops between them, and no liquidity tells."""
    pool = Pool(3000, 60)
    pool.initialize(get_sqrt_ratio_at_tick(30))
    for lower, upper in ((-60, 0), (0, 60)):
        pool.apply_liquidity(lower, upper, 10**18 + 7)
    pool.apply_liquidity(-6000, 6000, 10**15 + 1)
    blocks = []
    for step in range(60):
        target = get_sqrt_ratio_at_tick((-25, 25)[step % 2]) + step
        amounts = pool.swap(step % 2 == 0, 10**18, target)
        event = SwapEvent(0, *amounts, pool.sqrt_price_x96, pool.liquidity, pool.tick)
        blocks.append(Block(step, "", "", step, (event,)))
    gap, verified = checked(WBTC_WETH, blocks)
    assert gap is None
    assert verified.swaps_bounded > 0 and verified.swaps_bounded + verified.swaps_inferred == 59
