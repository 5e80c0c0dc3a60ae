"""Ways to lose money that begin at the pool's means: who can move those, moves what the vault counts with."""

from __future__ import annotations

from dataclasses import replace

from support.vault_attacks import refused, refuses, share_taken, world_with
from support.vault_world import TIGHT, UNIT, Log, VaultWorld, any_swap, opening

from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.portfolio import Range

HELD, LONG_S = Range(-600, -60), TIGHT.twap_long_s
UNBOUNDED = ("vault_worth.vy", '        assert drift <= most, "price drifted"\n', "")

# --- A pool in which the vault is nearly all there is -----------------------------------------------------------------


def lonely(*patches: tuple[str, str, str]) -> VaultWorld:
    """A vault with 20 token1 in a pool with a hundredth of that beside it, under the default limits."""
    world = world_with(*patches, limits=TIGHT, others=((-60_000, 60_000, UNIT // 10),))
    world.deposit(0, 20 * UNIT)
    world.rebalance(world.plan(opens=[opening(-600, -60, 0, 20 * UNIT)]))
    world.pass_time(3600)
    return world


def walk_away(world: VaultWorld, tick: int) -> None:
    """Empty the pool by a plan, move the price where nobody stands in the way, wait until that is the mean, and let the
    vault offer everything there.
    """
    world.rebalance(world.plan(closes=[HELD]))
    world.push_to(get_sqrt_ratio_at_tick(tick))
    world.pass_time(LONG_S + 10)
    world.rebalance(world.plan(opens=[opening(tick - 180, tick - 60, 0, 20 * UNIT)]))


def test_a_mean_that_nobody_holds() -> None:
    broken, world = lonely(UNBOUNDED), lonely()
    before = broken.owned_if_closed()
    walk_away(broken, 30_000)
    assert broken.ask("daily_loss_x18()")[0] < 10**3  # nothing, by the means
    assert share_taken(broken, before) > 0.94
    refused(world, "price drifted", lambda world: walk_away(world, 30_000))
    # As far as a day may hold he gets, and no farther before it has worn off.
    before = world.owned_if_closed()
    walk_away(world, 2940)
    with world.undone():
        assert 0.2 < share_taken(world, before) < 0.26

    world.push_to(get_sqrt_ratio_at_tick(6000))
    world.pass_time(LONG_S + 10)
    with refuses("price drifted"):
        world.rebalance(world.plan())


def test_every_tick_of_the_way_counts_and_wears_off() -> None:
    world = VaultWorld(limits=replace(TIGHT, max_daily_drift=1000))

    def go(tick: int, seconds: int = LONG_S) -> None:
        world.push_to(get_sqrt_ratio_at_tick(tick))
        world.pass_time(seconds)
        world.rebalance(world.plan())

    go(0)
    for tick in (300, 0, 300):  # there, back and there
        go(tick)
    [drift] = world.ask("drift()")
    assert 900 - 3 * (LONG_S * 1000 // 86400) <= drift <= 900
    with world.undone(), refuses("price drifted"):
        go(0)
    go(300, 86400 * 3 // 10)
    assert drift - 301 <= world.ask("drift()")[0] <= drift - 299
    go(0)
    # A new appointment begins at the price that is then found.
    world.push_to(get_sqrt_ratio_at_tick(9000))
    world.pass_time(LONG_S)
    with refuses("price drifted"):
        world.rebalance(world.plan())
    world.appoint()
    world.rebalance(world.plan())
    assert world.ask("drift()") == [0] and world.ask("drift_tick()") == [9000]


# --- Within the pool's own fee, where arbitrage corrects nothing ------------------------------------------------------


def test_a_swap_costs_at_most_twice_its_fee_where_nobody_corrects() -> None:
    """A price off by the fee pays no arbitrageur and becomes the mean: what is swapped there loses the fee twice."""
    world = world_with(others=((-60_000, 60_000, 10**6 * UNIT),))
    world.deposit(10 * UNIT, 10 * UNIT)
    before, counted = world.owned_if_closed(), 0
    for sign in (1, -1):
        world.push_to(get_sqrt_ratio_at_tick(sign * 30))
        world.pass_time(3600)
        closes = [p.range for p in world.positions()]
        owned = world.owned_if_closed()[sign > 0]
        wanted = opening(600, 1200, 2 * 9 * UNIT, 0) if sign > 0 else opening(-1200, -600, 0, 2 * 9 * UNIT)
        world.rebalance(world.plan(closes=closes, swap=any_swap(sign < 0, owned * 99 // 100), opens=[wanted]))
        counted += _loss(world.logs[-1])
    taken = share_taken(world, before)
    assert 1.5 * counted / 10**18 < taken < 2.1 * counted / 10**18


def _loss(rebalanced: Log) -> int:
    return rebalanced.data[5]
