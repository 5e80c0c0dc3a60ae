"""A sweep beside exact forks: equal where a range is too small to matter, and off by what the page says elsewhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.worlds import FREE_GAS, START_BLOCK, START_TIME, make_slipstream_snapshot, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Q96, Q128
from simulator import records
from simulator.engine import default_engine, pool_from_snapshot
from simulator.events import FeeProtocolEvent, FlashEvent, LiquidityEvent
from simulator.flow import Flow, FlowBlock
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.opening import Schedule
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.recovery import Happening, RecoveredCall, apply_happening
from simulator.replay import Candidate, Terms, replay
from simulator.snapshot import PoolSnapshot
from simulator.sweep import Sweep, Swept
from simulator.valuation import Numeraire, QuoteToken, Target

Ranges = Sequence[tuple[int, int]]
Floats = NDArray[np.float64]
UNIT = 10**18
NOTHING_BEYOND = ((-600, 600, 10**21),)  # a large swap runs through empty ticks to the end of all prices
HOLE = ((-887220, 0, 10**21), (600, 887220, 10**21), (-600, -60, 4 * 10**21))  # nobody between ticks 0 and 600


@cache
def recorded(name: str) -> Flow:
    return records.load(name).flow()


def quoted(snapshot: PoolSnapshot, quote_token: QuoteToken = QuoteToken.TOKEN1) -> Numeraire:
    return Numeraire(Target.MAX_VALUE, quote_token, 0, 0, snapshot.sqrt_price_x96)


def make_flow(snapshot: PoolSnapshot, *blocks: Sequence[Happening], seconds: int = 12) -> Flow:
    return Flow(
        snapshot,
        tuple(
            FlowBlock(START_BLOCK + n, START_TIME + n * seconds, tuple(block))
            for n, block in enumerate(blocks, start=1)
        ),
    )


def random_ranges(snapshot: PoolSnapshot, count: int, *, reach: int, seed: int = 1) -> list[tuple[int, int]]:
    """Return ranges around the price, below and above it, bounds at most `reach` spacings away."""
    rng, spacing = random.Random(seed), snapshot.tick_spacing
    centre = snapshot.tick // spacing
    pairs = (sorted(rng.sample(range(-reach, reach + 1), 2)) for _ in range(count))
    return [((centre + low) * spacing, (centre + high) * spacing) for low, high in pairs]


def growth_inside(flow: Flow, ranges: Ranges, liquidity: int) -> Floats:
    """Return the pool's own fee growth per unit, shape (n, 2), for positions next to nothing, by its integers."""
    pool = pool_from_snapshot(flow.snapshot, engine=default_engine())
    for tick_lower, tick_upper in ranges:
        pool.mint("candidate", tick_lower, tick_upper, liquidity)
    before = [pool.fee_growth_inside(*bounds) for bounds in ranges]
    for block in flow.blocks:
        pool.timestamp = block.timestamp
        for happening in block.happenings:
            apply_happening(pool, happening)
    after = [pool.fee_growth_inside(*bounds) for bounds in ranges]
    grown = [[(b - a) % 2**256 / Q128 for a, b in zip(*pair, strict=True)] for pair in zip(before, after, strict=True)]
    return np.array(grown)


def swept_growth(flow: Flow, ranges: Ranges) -> Floats:
    """Return the same by the sweep, from candidates worth 1e-6 of a raw unit."""
    columns = sweep(flow, ranges, 1e-6)
    return np.stack((columns.fees0, columns.fees1), axis=1) / columns.liquidity[:, None]


def sweep(flow: Flow, ranges: Ranges, value: object, numeraire: Numeraire | None = None) -> Swept:
    made = Sweep(flow, numeraire or quoted(flow.snapshot))
    lower, upper = np.array(ranges, dtype=np.int64).T
    return made.evaluate(lower, upper, value)  # type: ignore[arg-type]  # the tests hand in what they like


@pytest.mark.parametrize(
    ("name", "tolerance0", "tolerance1"), [("usdc-weth-005", 1e-7, 1e-10), ("wbtc-weth-03", 2e-6, 1e-12)]
)
def test_fee_growth_is_the_pools_own_but_for_its_rounding(name: str, tolerance0: float, tolerance1: float) -> None:
    """Fees are rounded up to whole units of the token: 1e-6 of a dollar, 1e-8 of a bitcoin, 1e-18 of an ether."""
    flow = recorded(name)
    ranges = random_ranges(flow.snapshot, 200, reach=80)
    exact, swept = growth_inside(flow, ranges, 1), swept_growth(flow, ranges)
    assert (swept[:, 0] <= exact[:, 0] * (1 + 1e-10)).all()
    np.testing.assert_allclose(swept[:, 0], exact[:, 0], rtol=tolerance0, atol=0)
    np.testing.assert_allclose(swept[:, 1], exact[:, 1], rtol=tolerance1, atol=0)
    assert (exact == 0).any()
    assert (exact > 0).any()


def wild_flow(snapshot: PoolSnapshot, rng: random.Random) -> Flow:
    """Return swaps of all kinds and sizes between changes of liquidity, flashes and settings of the protocol's fee."""
    owned: list[tuple[int, int, int]] = []

    def happen() -> Happening:
        kind = rng.random()
        if kind < 0.06:
            return FeeProtocolEvent(0, rng.choice((0, 4, 10)), rng.choice((0, 5)))
        if kind < 0.16:
            return FlashEvent(0, rng.randrange(10**17), rng.randrange(10**17))
        if kind < 0.26 and owned:
            lower, upper, liquidity = owned.pop()
            return LiquidityEvent(0, lower, upper, -liquidity, None, None)
        if kind < 0.4:
            lower = rng.randrange(-20, 20) * 60
            owned.append((lower, lower + rng.randrange(1, 10) * 60, rng.randrange(10**19, 10**21)))
            return LiquidityEvent(0, *owned[-1], None, None)
        amount = int(10 ** rng.uniform(15, 19.5))
        limit = get_sqrt_ratio_at_tick(rng.randrange(-1300, 1300)) if rng.random() < 0.3 else None
        return RecoveredCall(rng.random() < 0.5, rng.choice((amount, -amount)), limit)

    pool = pool_from_snapshot(snapshot, engine=default_engine())
    blocks: list[list[Happening]] = [[] for _ in range(80)]
    for block in blocks:
        for happening in (happen() for _ in range(rng.randrange(4))):
            if pool.liquidity or not isinstance(happening, FlashEvent):  # the chain refuses a flash where nobody is
                apply_happening(pool, happening)
                block.append(happening)
    return make_flow(snapshot, *blocks)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "positions",
    [((-887220, 887220, 10**21),), HOLE, NOTHING_BEYOND],
    ids=["everywhere", "with a hole", "nothing beyond"],
)
def test_whatever_happens_fee_growth_is_the_pools_own(positions: tuple[tuple[int, int, int], ...], seed: int) -> None:
    snapshot = make_snapshot(tick=-1, sqrt_price_x96=Q96 - 2**80, positions=positions)
    flow = wild_flow(snapshot, random.Random(seed))
    ranges = random_ranges(snapshot, 30, reach=20, seed=seed)
    # A hole is crossed at the cost of the candidates alone, so there they must be small and still be paid in integers.
    np.testing.assert_allclose(swept_growth(flow, ranges), growth_inside(flow, ranges, 10**10), rtol=2e-5, atol=1e-12)


def replayed(
    flow: Flow, ranges: Ranges, liquidity: int, numeraire: Numeraire, schedule: Schedule | None = None
) -> dict[str, NDArray[Any]]:
    """Return the columns of exact forks, each with one position that is left alone."""
    positions = (VaultPosition(Range(*bounds), liquidity, 0, 0, 0, 0) for bounds in ranges)
    candidates = [Candidate(VaultState(0, 0, (position,), in_pool=False)) for position in positions]
    return replay(flow, candidates, Terms(numeraire, FREE_GAS, schedule)).columns()


def with_flashes(flow: Flow, length: int) -> Flow:
    """Return the first blocks of a flow, every fiftieth with a flash that paid much."""
    flash = FlashEvent(0, 10**8, 10**17)
    blocks = flow.blocks[:length]
    return replace(
        flow,
        blocks=tuple(replace(b, happenings=(*b.happenings, *([flash] * (b.number % 50 == 0)))) for b in blocks),
    )


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("quote_token", QuoteToken)
def test_a_small_position_has_the_ledger_of_its_fork(quote_token: QuoteToken, target: Target) -> None:
    flow = with_flashes(recorded("usdc-weth-005"), 1500)
    numeraire = Numeraire(target, quote_token, 10**12, 10**21, flow.snapshot.sqrt_price_x96)
    ranges = random_ranges(flow.snapshot, 12, reach=30, seed=3)
    liquidity = flow.snapshot.liquidity // 10**5
    exact = replayed(flow, ranges, liquidity, numeraire)
    swept = sweep(flow, ranges, exact["w_open_value"], numeraire)
    np.testing.assert_allclose(swept.liquidity, float(liquidity), rtol=2e-8)
    for name in ("opening_amount0", "opening_amount1", "hold_value"):
        np.testing.assert_allclose(getattr(swept, name), exact[name], rtol=3e-8, atol=2)
    for name in ("closing_amount0", "closing_amount1", "fees0", "fees1"):
        np.testing.assert_allclose(getattr(swept, name), exact[name], rtol=1e-4, atol=2)
    np.testing.assert_allclose(swept.w_close_value, exact["w_close_value"], rtol=1e-6)
    for name in ("fees_value", "lvr_value", "excess_value"):
        paired = (columns / exact["w_open_value"] for columns in (getattr(swept, name), exact[name]))
        np.testing.assert_allclose(*paired, rtol=1e-3, atol=1e-8)
    np.testing.assert_array_equal(swept.in_range_s, exact["in_range_s"])


def test_a_schedule_sets_the_marks_and_the_end_as_in_a_replay() -> None:
    flow = recorded("usdc-weth-005")
    schedule = Schedule(700, checkpoint_interval_blocks=150, deadline_s=60, block_time_s=12)
    numeraire, ranges = quoted(flow.snapshot), random_ranges(flow.snapshot, 6, reach=20, seed=5)
    exact = replayed(flow, ranges, flow.snapshot.liquidity // 10**5, numeraire, schedule)
    made = Sweep(flow, numeraire, schedule).evaluate(*np.array(ranges).T, exact["w_open_value"])
    np.testing.assert_allclose(made.lvr_value, exact["lvr_value"], rtol=1e-3, atol=1e-8 * exact["w_open_value"].max())
    np.testing.assert_array_equal(made.in_range_s, exact["in_range_s"])
    usual = Sweep(replace(flow, blocks=flow.blocks[:700]), numeraire).evaluate(
        *np.array(ranges).T, exact["w_open_value"]
    )
    assert not np.allclose(usual.lvr_value, exact["lvr_value"], rtol=1e-3)


@pytest.mark.parametrize("name", records.names())
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_the_error_grows_with_the_share_as_the_page_says(name: str, share: float) -> None:
    flow = replace(recorded(name), blocks=recorded(name).blocks[:3500])
    numeraire = quoted(flow.snapshot)
    tick = flow.snapshot.tick
    ranges = [(low, high) for low, high in random_ranges(flow.snapshot, 40, reach=40) if low <= tick < high][:8]
    exact = replayed(flow, ranges, int(flow.snapshot.liquidity * share), numeraire)
    swept = sweep(flow, ranges, exact["w_open_value"])
    np.testing.assert_allclose(swept.share, share, rtol=0.25)
    np.testing.assert_allclose(swept.fees_value, exact["fees_value"], rtol=1.4 * share)
    np.testing.assert_allclose(swept.lvr_value, exact["lvr_value"], rtol=1.8 * share)


def between(*ticks: int) -> list[RecoveredCall]:
    """Return swaps from tick to tick, whatever they cost."""
    limits = [(after < before, get_sqrt_ratio_at_tick(after)) for before, after in pairwise(ticks)]
    return [RecoveredCall(falls, 10**30, limit) for falls, limit in limits]


def test_either_tokens_fees_are_shared_with_who_was_there_when_they_were_paid() -> None:
    """The price rises through 1e21 of liquidity and falls back through ten times as much."""
    more = LiquidityEvent(0, -60, 120, 9 * 10**21, None, None)
    flow = make_flow(make_snapshot(), (*between(0, 30), more, *between(30, 0)))
    small = sweep(flow, [(-60, 120)], 1e-6)
    large = sweep(flow, [(-60, 120)], small.w_open_value * 10**21 / small.liquidity)
    kept = [getattr(large, n) / large.liquidity / (getattr(small, n) / small.liquidity) for n in ("fees0", "fees1")]
    np.testing.assert_allclose(kept, [[10 / 11], [1 / 2]], rtol=1e-9)


def test_where_no_swap_fell_nothing_is_paid_in_token0_not_a_trace() -> None:
    """Falls below 0 and above 600, each at another rate; between the two the price only rose."""
    blocks = [(FeeProtocolEvent(0, setting, 0), *between(0, -120, 0)) for setting in (0, 4, 5, 6, 7, 8, 9, 10)]
    flow = make_flow(make_snapshot(), *blocks, between(0, 720, 600))
    found = sweep(flow, [(-60, 0), (60, 540), (600, 660)], 1.0)
    assert found.fees0[0] > 0 and found.fees0[1] == 0 and found.fees0[2] > 0
    assert (found.fees1 > 0).all()


def test_a_candidate_does_not_depend_on_its_neighbours() -> None:
    flow = recorded("wbtc-weth-03")
    ranges = random_ranges(flow.snapshot, 20_000, reach=60)
    values = np.linspace(1.0, 1e21, len(ranges))
    made = Sweep(flow, quoted(flow.snapshot))
    together = made.evaluate(*np.array(ranges).T, values)
    for index in (0, 8191, 8192, 19_999):
        alone = made.evaluate(*ranges[index], values[index])
        for field in fields(alone):
            np.testing.assert_allclose(getattr(alone, field.name), getattr(together, field.name)[index], rtol=1e-12)


def test_the_whole_range_and_none_at_all() -> None:
    flow = recorded("wbtc-weth-03")
    made = Sweep(flow, quoted(flow.snapshot))
    whole = made.evaluate(-887220, 887220, 1e18)
    last = flow.blocks[-1].timestamp - flow.snapshot.timestamp
    assert (whole.in_range_s, whole.fees0 > 0, whole.fees1 > 0) == (last, True, True)
    none = made.evaluate([], [], 1e18)
    assert [getattr(none, field.name).shape for field in fields(none)] == [(0,)] * 14


@pytest.mark.parametrize("bounds", [(887100, 887160), (-887160, -887100), (500_040, 500_100), (-500_100, -500_040)])
@pytest.mark.parametrize("quote_token", QuoteToken)
def test_a_range_at_the_end_of_all_prices_only_holds_its_token(
    bounds: tuple[int, int], quote_token: QuoteToken
) -> None:
    flow = recorded("wbtc-weth-03")
    far = sweep(flow, [bounds], 1e18, quoted(flow.snapshot, quote_token))
    is_token0 = bounds[0] > 0
    assert (far.opening_amount0 > 0, far.opening_amount1 > 0) == (is_token0, not is_token0)
    assert (far.fees0, far.fees1, far.in_range_s, far.share) == (0, 0, 0, 0)
    np.testing.assert_allclose(far.w_close_value, far.hold_value, rtol=1e-12)
    np.testing.assert_allclose(far.lvr_value, 0, atol=1e6)


def test_where_nothing_happens_nothing_is_earned() -> None:
    snapshot = make_snapshot()
    idle = sweep(make_flow(snapshot, (), ()), [(-60, 60), (60, 120)], 1e18)
    for name in ("fees0", "fees1", "fees_value", "share"):
        np.testing.assert_array_equal(getattr(idle, name), 0)
    np.testing.assert_array_equal(idle.in_range_s, [24, 0])
    np.testing.assert_allclose([idle.w_close_value, idle.hold_value], 1e18, rtol=1e-12)
    np.testing.assert_allclose(idle.excess_value, 0, atol=1e3)
    assert sweep(Flow(snapshot, ()), [(-60, 60)], 1.0).in_range_s == 0


@pytest.mark.parametrize(
    ("lower", "upper", "value", "says"),
    [
        ([0, 60], [60, 30], 1.0, "range 1 is impossible: 60 .. 30"),
        ([60], [60], 1.0, "range 0 is impossible"),
        ([1], [60], 1.0, "range 0 is impossible"),
        ([0], [61], 1.0, "range 0 is impossible"),
        ([-887280], [0], 1.0, "range 0 is impossible"),
        ([0], [887280], 1.0, "range 0 is impossible"),
        ([0.0], [60.0], 1.0, "ticks are integers"),
        ([0, 0], [60], 1.0, "as many upper ticks"),
        ([[0]], [[60]], 1.0, "as many upper ticks"),
        ([0], [60], 0.0, "must be positive"),
        ([0], [60], -1.0, "must be positive"),
        ([0], [60], float("nan"), "must be positive"),
        ([0], [60], float("inf"), "must be positive"),
        ([0], [60], [1.0, 1.0], "one for each"),
    ],
)
def test_what_no_position_can_have_is_refused(lower: object, upper: object, value: object, says: str) -> None:
    made = Sweep(Flow(make_snapshot(), ()), quoted(make_snapshot()))
    with pytest.raises(SimulationError, match=says):
        made.evaluate(lower, upper, value)  # type: ignore[arg-type]  # on purpose


def test_a_pool_whose_fees_are_others_is_left_to_replay() -> None:
    with pytest.raises(SimulationError, match="replay takes any"):
        swept_growth(make_flow(make_slipstream_snapshot()), [(-600, 600)])
