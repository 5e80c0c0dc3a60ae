"""What stops a plan: each guard by its own reason, and all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace

import pytest
from support.vault_attacks import refuses
from support.vault_world import (
    ATTACKER,
    GUARDIAN,
    KEEPER,
    LOOSE,
    OWNER,
    SPACING,
    TIGHT,
    UNIT,
    Reverted,
    VaultWorld,
    any_swap,
    opening,
)

from executor.limit_errands import LOOSENING_DELAY_S, RULES, hard_bounds, loosened
from executor.vault import VaultCall, VaultClose, VaultLimits, VaultOpen, VaultSwap, vault_code
from executor.vault_abi import LIMITS
from simulator.chain.abi import selector, words
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.portfolio import Range

HELD = Range(-600, 600)


@pytest.fixture
def world() -> VaultWorld:
    """A vault with one position and idle tokens, an hour after its last rebalance."""
    made = VaultWorld(limits=replace(LOOSE, max_positions=3, max_distance=1200))
    made.deposit(10 * UNIT, 10 * UNIT)
    made.rebalance(made.plan(opens=[opening(-600, 600, 5 * UNIT, 5 * UNIT)]))
    made.pass_time(3600)
    return made


def set_limits(world: VaultWorld, limits: VaultLimits, verb: str = "set_limits") -> None:
    world.send(OWNER, world.vault, selector(f"{verb}({LIMITS})") + words(*astuple(limits)))


Change = Callable[[VaultWorld, VaultCall], VaultCall]
WELL = VaultOpen(Range(-300, 300), 2 * UNIT, 2 * UNIT, 0, 0)
WRONG: tuple[tuple[str, Change], ...] = (
    ("too late", lambda w, c: replace(c, deadline_s=w.now - 1)),
    ("plan used", lambda w, c: replace(c, plan_id=(1).to_bytes(32, "big"))),
    ("positions changed", lambda w, c: replace(c, positions_hash=b"\1" * 32)),
    ("no such position", lambda w, c: replace(c, closes=(VaultClose(Range(-600, 660), 0, 0),))),
    ("no such position", lambda w, c: replace(c, closes=c.closes * 2)),
    ("no such position", lambda w, c: replace(c, closes=(*c.closes, VaultClose(NOWHERE, 0, 0)))),
    ("no such position", lambda w, c: replace(c, collects=(HELD,))),  # it is closed in the same plan
    ("closes for too little", lambda w, c: replace(c, closes=(VaultClose(HELD, 5 * UNIT, 0),))),
    ("closes for too little", lambda w, c: replace(c, closes=(VaultClose(HELD, 0, 5 * UNIT),))),
    ("opens with too little", lambda w, c: replace(c, opens=(replace(WELL, amount0_min=2 * UNIT + 1),))),
    ("opens with too little", lambda w, c: replace(c, opens=(replace(WELL, amount1_min=2 * UNIT + 1),))),
    ("opens with too little", lambda w, c: replace(c, opens=(VaultOpen(Range(60, 300), 0, UNIT, 1, 0),))),
    ("range twice", lambda w, c: replace(c, closes=(), opens=(opening(-600, 600, UNIT, UNIT),))),
    ("range twice", lambda w, c: replace(c, opens=(WELL, WELL))),
    ("too narrow", lambda w, c: replace(c, opens=(opening(0, 60, UNIT, UNIT),))),
    ("too narrow", lambda w, c: replace(c, opens=(opening(300, -300, UNIT, UNIT),))),
    ("too far", lambda w, c: replace(c, opens=(opening(1260, 1800, UNIT, 0),))),
    ("too far", lambda w, c: replace(c, opens=(opening(-1800, -1260, 0, UNIT),))),
    ("T", lambda w, c: replace(c, opens=(opening(-887280, 0, 0, UNIT),))),
    ("", lambda w, c: replace(c, opens=(opening(-301, 300, UNIT, UNIT),))),  # off the spacing: the pool's own no
    (
        "too many positions",
        lambda w, c: replace(c, opens=tuple(opening(-600 - n * 60, 300, UNIT, UNIT) for n in range(1, 5))),
    ),
    ("costs too much", lambda w, c: replace(c, swap=replace(any_swap(True, UNIT), amount_in_max=UNIT), opens=(BUY1,))),
    ("costs too much", lambda w, c: replace(c, swap=replace(any_swap(False, UNIT), amount_in_max=UNIT), opens=(BUY0,))),
    ("swap not filled", lambda w, c: replace(c, swap=NEAR, opens=(BUY1,))),
)
NOWHERE = Range(-(2**23), -(2**23))  # packs to 0
BUY0, BUY1 = opening(60, 600, 11 * UNIT, 0), opening(-600, -60, 0, 11 * UNIT)
NEAR = VaultSwap(True, UNIT, 2 * UNIT, get_sqrt_ratio_at_tick(0) - 2**72)


@pytest.mark.parametrize("index", range(len(WRONG)), ids=lambda i: f"{i} {WRONG[i][0]}")
def test_one_thing_wrong_and_nothing_happens(world: VaultWorld, index: int) -> None:
    reason, change = WRONG[index]
    right = world.plan(closes=[HELD], opens=[WELL])
    before = (world.positions(), world.balances(world.vault), world.ask("last_rebalance()"))
    with refuses(reason):
        world.rebalance(change(world, right))
    assert (world.positions(), world.balances(world.vault), world.ask("last_rebalance()")) == before
    world.rebalance(right)  # its id is not used up by what failed
    assert [p.range for p in world.positions()] == [WELL.range]


def test_minimums_that_are_just_met(world: VaultWorld) -> None:
    """Burning returns a wei less than was paid; a position of equal tokens at tick 0 takes all of both."""
    closes = [VaultClose(HELD, 5 * UNIT - 1, 5 * UNIT - 1)]
    world.rebalance(world.plan(closes=closes, opens=[VaultOpen(Range(-300, 300), UNIT, UNIT, UNIT, UNIT)]))
    assert world.balances(world.vault) == (9 * UNIT - 1, 9 * UNIT - 1)


def test_only_a_keeper_whose_time_has_not_passed(world: VaultWorld) -> None:
    for stranger in (OWNER, GUARDIAN, ATTACKER):
        with refuses("not the keeper"):
            world.rebalance(world.plan(), stranger)
    world.pass_time(30 * 86400 - 3600)
    world.rebalance(world.plan())  # the last second
    world.pass_time(60)
    with refuses("not the keeper"):
        world.rebalance(world.plan())
    world.appoint()
    world.tell(GUARDIAN, "revoke_keeper()")
    with refuses("not the keeper"):
        world.rebalance(world.plan())
    with refuses("not the keeper"):
        world.rebalance(world.plan(), "0x" + "00" * 20)


def test_the_guardian_stops_and_only_the_owner_starts_again(world: VaultWorld) -> None:
    for stranger in (KEEPER, ATTACKER):
        for verb in ("pause()", "revoke_keeper()"):
            with refuses("not the guardian"):
                world.tell(stranger, verb)
    world.tell(GUARDIAN, "pause()")
    with refuses("paused"):
        world.rebalance(world.plan())
    with refuses("not the owner"):
        world.tell(GUARDIAN, "unpause()")
    world.tell(OWNER, "unpause()")
    world.rebalance(world.plan())


def test_roles_are_three_accounts(world: VaultWorld) -> None:
    until = world.now + 86400
    for signature, *arguments in (
        ("set_keeper(address,uint256)", int(OWNER, 16), until),
        ("set_keeper(address,uint256)", int(GUARDIAN, 16), until),
        ("set_guardian(address)", int(KEEPER, 16)),
        ("set_guardian(address)", int(OWNER, 16)),
    ):
        with refuses("roles"):
            world.tell(OWNER, signature, *arguments)
    with refuses("term"):
        world.tell(OWNER, "set_keeper(address,uint256)", int(ATTACKER, 16), world.now + 90 * 86400 + 1)
    for proposed in (KEEPER, GUARDIAN):
        world.tell(OWNER, "propose_owner(address)", int(proposed, 16))
        with refuses("roles"):
            world.tell(proposed, "accept_ownership()")
    world.tell(OWNER, "propose_owner(address)", int(ATTACKER, 16))
    with refuses("not proposed"):
        world.tell(KEEPER, "accept_ownership()")
    assert world.ask("owner()") == [int(OWNER, 16)]
    world.tell(ATTACKER, "accept_ownership()")
    assert world.ask("owner()") == [int(ATTACKER, 16)] and world.ask("proposed_owner()") == [0]
    with refuses("not the owner"):
        world.tell(OWNER, "withdraw_all()")
    with refuses("not proposed"):
        world.tell(ATTACKER, "accept_ownership()")
    for owner, guardian in ((OWNER, OWNER), ("0x" + "00" * 20, GUARDIAN)):
        with refuses("roles"):
            world.deploy_vault(LOOSE, vault_code().creation_code, owner, guardian)


BOUNDS = {name: hard_bounds(name, SPACING) for name in RULES}


@pytest.mark.parametrize("name", BOUNDS)
def test_hard_bounds(world: VaultWorld, name: str) -> None:
    least, most = BOUNDS[name]
    for verb in ("set_limits", "announce_limits"):
        for value in ({least - 1, most + 1} - {-1}) | ({-1} if name == "max_distance" else set()):
            with refuses(name):
                set_limits(world, replace(world.limits, **{name: value}), verb)
    for value in (least, most):
        set_limits(world, replace(world.limits, **{name: value}), "announce_limits")
    with refuses(name):
        world.deploy_vault(replace(LOOSE, **{name: most + 1}), vault_code().creation_code)


def test_the_defaults_are_within_the_bounds() -> None:
    assert all(least <= value <= most for (least, most), value in zip(BOUNDS.values(), astuple(TIGHT), strict=True))


def test_tighter_at_once_looser_after_two_days(world: VaultWorld) -> None:
    middle = VaultLimits(300, 3600, 100, 600, 1000, 10, 600, 5000, 10_000, 2000)
    set_limits(world, replace(middle, max_positions=3))
    for name, (least, most) in BOUNDS.items():
        here = replace(middle, max_positions=3)
        more_is_tighter = RULES[name].more_is_tighter
        looser = replace(here, **{name: least if more_is_tighter else most})
        assert loosened(here, looser) == (name,)
        with refuses("not announced"):
            set_limits(world, looser)
        tighter = replace(here, **{name: most if more_is_tighter else least})
        with world.undone():
            set_limits(world, tighter)
            assert world.ask("limits()") == [*astuple(tighter)]
        with world.undone():
            set_limits(world, looser, "announce_limits")
            world.pass_time(LOOSENING_DELAY_S - 1)
            with refuses("too early"):
                set_limits(world, looser)
            with refuses("not announced"):
                set_limits(world, replace(looser, cooldown_s=599, max_loss_ppm=5001))
            world.pass_time(1)
            set_limits(world, looser)
            assert world.ask("limits()") == [*astuple(looser)]
            set_limits(world, here)
            with refuses("not announced"):  # an announcement serves once
                set_limits(world, looser)


def test_the_mean_of_each_window_counts(world: VaultWorld) -> None:
    """A price that has just moved, or moved half an hour ago for the long window, is off one of its means."""
    limit = world.limits.max_deviation
    world.push_to(get_sqrt_ratio_at_tick(limit))
    with world.undone():
        world.rebalance(world.plan())
    world.push_to(get_sqrt_ratio_at_tick(limit + 1))
    with refuses("price off its mean"):
        world.rebalance(world.plan())
    world.push_to(get_sqrt_ratio_at_tick(limit + 100))
    with world.undone():
        world.pass_time(61)
        world.push_to(get_sqrt_ratio_at_tick(0))
        with refuses("price off its mean"):  # the short one alone
            world.rebalance(world.plan())
    world.pass_time(61)  # the short mean has arrived, the long one has not
    with refuses("price off its mean"):
        world.rebalance(world.plan())
    world.pass_time(600)
    world.rebalance(world.plan())
    world.pass_time(60)
    world.push_to(get_sqrt_ratio_at_tick(0))
    with refuses("price off its mean"):  # below its mean as well
        world.rebalance(world.plan())


def test_a_pool_that_does_not_remember_is_left_alone() -> None:
    world = VaultWorld()
    world.deposit(UNIT, UNIT)
    world.pass_time(-1800 + 30)  # the pool is half a minute old
    with refuses("OLD"):
        world.rebalance(world.plan())
    world.pass_time(1800)
    world.rebalance(world.plan())


def test_losses_are_what_the_events_say_and_count_for_a_day(world: VaultWorld) -> None:
    """A swap at the fair price loses the pool's fee and its own impact."""
    lost = []
    for side in (True, False):
        wanted = opening(*((-600, -60, 0, 6 * UNIT) if side else (60, 600, 6 * UNIT, 0)))
        call = world.plan(swap=any_swap(side, UNIT), opens=[wanted])
        with world.undone():
            world.rebalance(call)
            lost.append(world.logs[-1].data[5])
    assert all(10**14 < loss < 10**15 for loss in lost)  # 0.3 % of a twentieth, and the impact
    [before] = world.ask("daily_loss_x18()")  # the rounding of the first position
    assert before < 10
    world.rebalance(call)
    assert world.ask("daily_loss_x18()") == [before + lost[1]]
    world.pass_time(86400)
    assert world.ask("daily_loss_x18()") == [lost[1]]
    world.pass_time(3600)
    assert world.ask("daily_loss_x18()") == [0]


def test_the_budget_of_one_call(world: VaultWorld) -> None:
    """One millionth more or less than the loss decides."""
    owned = world.balances(world.vault)
    call = world.plan(swap=any_swap(False, UNIT), opens=[opening(60, 600, owned[0] + UNIT, 0)])
    with world.undone():
        world.rebalance(call)
        ppm = world.logs[-1].data[5] // 10**12
    for daily in (False, True):
        name = "max_daily_loss_ppm" if daily else "max_loss_ppm"
        with world.undone():
            set_limits(world, replace(world.limits, **{name: ppm}))
            with refuses("daily loss" if daily else "loss"):
                world.rebalance(call)
        with world.undone():
            set_limits(world, replace(world.limits, **{name: ppm + 1}))
            world.rebalance(call)


def test_a_call_that_is_not_one_of_the_vaults(world: VaultWorld) -> None:
    for data in (b"", selector("execute(address,bytes)"), selector("multicall(bytes[])"), b"\0" * 4):
        with pytest.raises(Reverted):
            world.send(OWNER, world.vault, data)
