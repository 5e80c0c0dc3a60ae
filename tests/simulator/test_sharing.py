"""A fork that goes where the base goes need not be run: when that is so, until when, and that it changes nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.what_ifs import GAS, HOW, UNIT, random_range, random_world
from support.worlds import make_snapshot

from simulator.engine import pool_from_snapshot
from simulator.events import LiquidityEvent
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.opening import RoundOpening
from simulator.plan import Desired
from simulator.portfolio import Range, VaultState
from simulator.recovery import RecoveredCall
from simulator.replay import Candidate, Terms, replay
from simulator.sharing import Reach, Trail, reach_of
from simulator.stretch import MARK, Step

SWAP = RecoveredCall(zero_for_one=True, amount_specified=1, sqrt_price_limit_x96=None)
REACH = Reach(100, 200, frozenset((-60, 60)))


def liquidity(lower: int, upper: int) -> LiquidityEvent:
    return LiquidityEvent(0, lower, upper, 5, None, None)


@pytest.mark.parametrize(
    ("whats", "prices_x96", "first"),
    [
        ([], [], None),
        ([SWAP, MARK, None, SWAP], [101, 101, 101, 199], None),
        ([SWAP, SWAP], [150, 200], 1),
        ([SWAP, SWAP, SWAP], [150, 100, 300], 1),
        ([SWAP], [99], 0),
        ([liquidity(-120, 120), liquidity(-120, 60)], [150, 150], 1),
        ([liquidity(-60, 120)], [150], 0),
        ([liquidity(-120, 120), SWAP, liquidity(60, 120)], [150, 250, 150], 1),
    ],
)
def test_a_fork_is_on_its_own_from_the_first_step_that_touches_it(
    whats: list[object], prices_x96: list[int], first: int | None
) -> None:
    steps: list[Step] = [(0, what) for what in whats]  # type: ignore[misc]  # a table of steps
    assert Trail(steps, prices_x96).first_outside(REACH) == first


def ratio(tick: int) -> int:
    return get_sqrt_ratio_at_tick(tick)


@pytest.mark.parametrize(
    ("tick", "ranges", "expected"),
    [
        (0, [], Reach(0, 2**160, frozenset())),
        (0, [(60, 120)], Reach(0, ratio(60), frozenset((60, 120)))),
        (0, [(-120, -60)], Reach(ratio(-60), 2**160, frozenset((-120, -60)))),
        (
            0,
            [(60, 120), (120, 180), (-180, -60), (-180, -120)],
            Reach(ratio(-60), ratio(60), frozenset((-180, -120, -60, 60, 120, 180))),
        ),
        (0, [(0, 60)], None),
        (0, [(-60, 0)], None),  # the price stands on its upper tick
        (0, [(-60, 60)], None),
        (7, [(-60, 0)], Reach(ratio(0), 2**160, frozenset((-60, 0)))),
    ],
)
def test_the_reach_ends_at_the_nearest_tick(tick: int, ranges: list[tuple[int, int]], expected: Reach | None) -> None:
    snapshot = make_snapshot(tick=tick)
    inventory = Inventory(9 * UNIT, 9 * UNIT, tuple((Range(*r), UNIT, UNIT) for r in ranges))
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, inventory))
    assert len(fork.ranges) == len(ranges)
    assert reach_of(fork, pool_from_snapshot(snapshot)) == expected


def test_a_fork_that_has_gone_its_own_way_never_follows_again() -> None:
    """Not even at the base's own price: its fee growth tells that it was somewhere else."""
    snapshot = make_snapshot()
    base = pool_from_snapshot(snapshot)
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT)))
    fork.swap(zero_for_one=True, amount_specified=UNIT)
    fork.pool.swap(False, 10**30, base.sqrt_price_x96)
    assert (fork.pool.sqrt_price_x96, fork.pool.liquidity) == (base.sqrt_price_x96, base.liquidity)
    assert reach_of(fork, base) is None


def test_a_fork_that_is_owed_anything_is_run() -> None:
    """What it is owed would be lost if its positions were minted anew."""
    snapshot = make_snapshot()
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(UNIT, 0, ((Range(60, 120), UNIT, 0),))))
    key = ("vault", 60, 120)
    fork.pool.burn(*key, 1000)
    base = pool_from_snapshot(snapshot)
    assert fork.pool.positions[key].tokens_owed_0 > 0
    assert reach_of(fork, base) is None


def test_a_real_vault_is_run_since_the_base_holds_its_liquidity() -> None:
    world = random_world(1)
    for in_pool in (False, True):
        vault = VaultState(UNIT, UNIT, (), in_pool=in_pool)
        replayed = replay(world.flow, [Candidate(vault)], terms_of(world.opening))
        assert replayed.steps_run == (replayed.steps if in_pool else 0)


def terms_of(opening: RoundOpening) -> Terms:
    return Terms(opening.numeraire((UNIT, UNIT)), GAS, opening.schedule)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_sharing_changes_no_ledger(seed: int) -> None:
    """Positions beside the price on markets that now and then stop at exactly their ticks."""
    world, rng = random_world(seed), random.Random(seed)
    snapshot = world.opening.snapshot
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT))
    candidates = [Candidate(vault)]
    for _ in range(12):
        ranges = {random_range(rng, snapshot.tick, 60) for _ in range(rng.randint(1, 2))}
        candidates.append(Candidate(vault, tuple(Desired(r, 4 * UNIT, 4 * UNIT) for r in sorted(ranges))))
    engine, threads = HOW[seed % len(HOW)]
    shared, run = (
        replay(world.flow, candidates, terms_of(world.opening), engine=engine, threads=threads, sharing=sharing)
        for sharing in (True, False)
    )
    assert shared.ledgers == run.ledgers
    assert shared.outcomes == run.outcomes
    assert run.steps_run >= shared.steps_run
