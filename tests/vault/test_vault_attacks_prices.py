"""Every known way in which vaults lost money, first shown to work on our vault with that one defence taken out of its
source, then tried on the vault as it is: prices, losses and positions.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.vault_attacks import HOME, WIDE, WIDE_TICKS, refused, refuses, share_taken, world_with
from support.vault_world import LOOSE, MADE_WITH_A_PHANTOM, UNIT, Patch, Reverted, VaultWorld, any_swap, opening

from executor.vault import VaultSwap
from simulator.math.tick_math import MIN_SQRT_RATIO, get_sqrt_ratio_at_tick

# --- Worth at the price of the moment (ICHI, Mellow, Gamma) -----------------------------------------------------------


def buy_dear(world: VaultWorld) -> None:
    """Push the price up within the allowed deviation, have the vault buy there, let the price come back."""
    world.push_to(get_sqrt_ratio_at_tick(250))
    world.rebalance(world.plan(swap=any_swap(False, 18 * UNIT), opens=[opening(0, 600, 18 * UNIT, 0)]))


AT_THE_MOMENT = (
    "vault_worth.vy",
    "def of(words: DynArray[uint256, MAX_POSITIONS], means: Means) -> Worth:\n",
    (
        "def of(words: DynArray[uint256, MAX_POSITIONS], means_: Means) -> Worth:\n    means: Means = means_\n"
        "    means.short_x96 = pool.sqrt_price()\n    means.long_x96 = pool.sqrt_price()\n"
    ),
)


@pytest.mark.parametrize("defence", [AT_THE_MOMENT, MADE_WITH_A_PHANTOM], ids=["of the moment", "not in the pool"])
def test_a_false_worth(defence: Patch) -> None:
    """At the price of the moment, or beside a position that the pool does not have, no loss is large. The contract
    cannot know of the second, which another constructor made: `tideline vault deposit` looks.
    """
    broken, world = world_with(defence), world_with()
    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    buy_dear(broken)
    assert share_taken(broken, before) > 0.02
    refused(world, "loss", buy_dear)


# --- Limits without limits (Gamma), a price far off its mean ----------------------------------------------------------


def test_limits_that_limit_nothing() -> None:
    unbounded = replace(LOOSE, max_deviation=887_272, max_loss_ppm=1_000_000, max_daily_loss_ppm=10**9)
    defence = (
        ("vault_limits.vy", "limits.max_deviation <= 300", "limits.max_deviation <= 887272"),
        ("vault_limits.vy", "limits.max_loss_ppm <= 20_000", "limits.max_loss_ppm <= 1_000_000"),
        ("vault_limits.vy", "limits.max_daily_loss_ppm <= 50_000", "limits.max_daily_loss_ppm <= 10**9"),
    )
    broken = world_with(*defence, limits=unbounded)
    broken.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    broken.push_to(get_sqrt_ratio_at_tick(10_000))
    broken.rebalance(broken.plan(swap=any_swap(False, 7 * UNIT), opens=[opening(0, 6000, 7 * UNIT, 0)]))
    assert share_taken(broken, before) > 0.5
    with refuses("max_deviation"):
        world_with(limits=unbounded)


def test_a_price_off_its_mean() -> None:
    """What the budgets would allow once is not even possible once."""
    limits = replace(LOOSE, max_deviation=50)
    defence = (
        "vault_worth.vy",
        "    assert abs(tick - means.short_tick) <= most and abs(tick - means.long_tick) <= most, ",
        "    assert tick <= 1_000_000 or most < 0, ",
    )
    broken, world = world_with(defence, limits=limits), world_with(limits=limits)

    def attack(world: VaultWorld) -> None:
        world.push_to(get_sqrt_ratio_at_tick(120))
        world.rebalance(world.plan(swap=any_swap(False, 18 * UNIT), opens=[opening(0, 600, 18 * UNIT, 0)]))

    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    attack(broken)
    assert share_taken(broken, before) > 0.01
    refused(world, "price off its mean", attack)


# --- The price is looked at only before the swap (Arrakis H-1) --------------------------------------------------------


def push_it_yourself(world: VaultWorld) -> None:
    """The plan's own swap moves the price, and the position is opened where it then is."""
    world.rebalance(world.plan(swap=any_swap(False, 8 * UNIT), opens=[opening(60, 180, 8 * UNIT, 7 * UNIT)]))


def test_the_price_is_looked_at_only_before_the_swap() -> None:
    thin = {"limits": replace(LOOSE, max_deviation=100), "others": ((-60_000, 60_000, 1000 * UNIT),)}
    defence = ("vault.vy", "    worth.check_price(means)\n    after: worth", "    after: worth")
    broken, world = world_with(defence, **thin), world_with(**thin)  # type: ignore[arg-type] # see world_with
    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    push_it_yourself(broken)
    assert broken.tick > 150 and share_taken(broken, before) > 0.005
    refused(world, "price off its mean", push_it_yourself)


# --- A little at a time (Arrakis M-2) ---------------------------------------------------------------------------------


def churn(world: VaultWorld, calls: int) -> int:
    """Swap everything to and fro, at a fair price, for the pool's fee of 1 %. Returns how often it was let."""
    for count in range(calls):
        owned0, owned1 = world.balances(world.vault)
        swap = any_swap(owned0 > owned1, max(owned0, owned1) * 98 // 100)
        out = swap.amount_out
        wanted = opening(*((-6000, -600, 0, out) if swap.zero_for_one else (600, 6000, out, 0)))
        closes = [position.range for position in world.positions()]
        try:
            if closes:
                world.rebalance(world.plan(closes=closes))
            else:
                world.rebalance(world.plan(swap=swap, opens=[wanted]))
        except Reverted as refusal:
            assert str(refusal) in ("daily loss", "cooldown")
            return count
        world.pass_time(60)
    return calls


def test_one_percent_a_call() -> None:
    market = {"fee_pips": 10_000, "spacing": 200, "limits": replace(LOOSE, min_width=400)}
    defence = (
        "vault_worth.vy",
        "    assert daily_loss <= bounds.limits.max_daily_loss_ppm * 10**12, ",
        "    assert True, ",
    )
    broken, world = world_with(defence, **market), world_with(**market)  # type: ignore[arg-type] # see world_with
    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    assert churn(broken, 40) == 40 and share_taken(broken, before) > 0.14

    before = world.owned_if_closed()
    let = churn(world, 40)
    assert 4 < let < 20 and share_taken(world, before) < 0.05
    world.pass_time(20 * 3600)
    assert churn(world, 1) == 0  # the day is not over
    world.pass_time(6 * 3600)
    assert churn(world, 1) == 1


def test_many_calls_in_one_block() -> None:
    defence = (
        "vault.vy",
        "assert block.timestamp >= self.last_rebalance + bounds.limits.cooldown_s, ",
        "assert True, ",
    )
    broken, world = world_with(defence), world_with()

    def attack(world: VaultWorld) -> None:
        for _ in range(3):
            world.rebalance(world.plan())

    world.deposit(UNIT, UNIT)
    attack(broken)
    refused(world, "cooldown", attack)


def test_fees_hide_a_loss() -> None:
    """Fees that wait in the pool are the owner's: what a call collects makes up for nothing."""
    defence = (
        "vault.vy",
        "worth.charge(before, after, means, fees.amount0, fees.amount1)",
        "worth.charge(before, after, means, 0, 0)",
    )
    others, limits = ((-60_000, 60_000, 500 * UNIT),), replace(LOOSE, max_loss_ppm=2000)
    broken, world = (world_with(*d, others=others, limits=limits) for d in ((defence,), ()))

    def attack(world: VaultWorld) -> None:
        world.push_to(get_sqrt_ratio_at_tick(150))
        swap = any_swap(False, 3 * UNIT)
        world.rebalance(world.plan(closes=[WIDE], swap=swap, opens=[opening(600, 1200, 13 * UNIT, 0)]))

    for each in (broken, world):
        each.deposit(10 * UNIT, 10 * UNIT)
        each.rebalance(each.plan(opens=[opening(*WIDE_TICKS, 10 * UNIT, 10 * UNIT)]))
        for _ in range(30):
            each.swap(True, 30 * UNIT)
            each.push_to(HOME)
        each.pass_time(1800)
    before = broken.owned_if_closed()
    attack(broken)
    assert share_taken(broken, before) > 0.002
    refused(world, "loss", attack)


# --- Around a rebalance -----------------------------------------------------------------------------------------------


def test_a_sandwich() -> None:
    defence = (
        (
            "vault_pool.vy",
            "self._allow(amount_in_max if zero_for_one else 0, 0 if zero_for_one else amount_in_max)",
            "self._allow(max_value(uint256), max_value(uint256))",
        ),
        (
            "vault_pool.vy",
            "wanted, sqrt_price_limit_x96, b",
            f"wanted, {MIN_SQRT_RATIO + 1} if zero_for_one else 1461446703485210103287273052203988822378723970341, b",
        ),
    )
    fee_up, slack = 1_003_100, 1_002_000  # the pool's fee, and two tenths of a percent of impact
    careful = VaultSwap(False, 10 * UNIT, 10 * UNIT * fee_up * slack // 10**12, get_sqrt_ratio_at_tick(40))

    def attack(world: VaultWorld) -> None:
        world.push_to(get_sqrt_ratio_at_tick(120))
        world.rebalance(world.plan(swap=careful, opens=[opening(*WIDE_TICKS, 10 * UNIT, 9 * UNIT)]))

    broken, capped, world = world_with(*defence), world_with(defence[1]), world_with()
    for each in (broken, capped, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    attack(broken)
    assert share_taken(broken, before) > 0.006
    refused(world, "SPL", attack)
    refused(capped, "costs too much", attack)
    # Undisturbed, the same plan is carried out.
    before = world.owned_if_closed()
    world.rebalance(world.plan(swap=careful, opens=[opening(*WIDE_TICKS, 10 * UNIT, 9 * UNIT)]))
    assert share_taken(world, before) < 0.003


def test_one_tick_at_a_pushed_price() -> None:
    """A range of one spacing at a price that somebody pushed there is an order at that price."""
    limits = replace(LOOSE, min_width=1200)
    defence = ("vault_limits.vy", '    assert upper - lower >= self.limits.min_width, "too narrow"\n', "")

    def attack(world: VaultWorld, lower: int = 120) -> None:
        world.push_to(get_sqrt_ratio_at_tick(200))
        world.rebalance(world.plan(opens=[opening(lower, 180, 0, 20 * UNIT)]))

    broken, world = world_with(defence, limits=limits), world_with(limits=limits)
    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    attack(broken)
    taken = share_taken(broken, before)
    assert taken > 0.01
    refused(world, "too narrow", attack)
    attack(world, -1020)
    assert share_taken(world, before) < taken / 5
