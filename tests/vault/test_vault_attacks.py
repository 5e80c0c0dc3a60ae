"""Every known way in which vaults lost money, first shown to work on our vault with that one defence taken out of its
source, then tried on the vault as it is.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.vault_world import (
    ATTACKER,
    GUARDIAN,
    KEEPER,
    LOOSE,
    OWNER,
    UNIT,
    Patch,
    Reverted,
    VaultWorld,
    any_swap,
    opening,
    patched_vault,
)

from executor.vault import VaultLimits, VaultSwap, limit_words
from executor.vault_abi import LIMITS, rebalance_data
from protocol.units import Q96
from simulator.chain.abi import selector, words
from simulator.math.tick_math import MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.portfolio import Range

HOME, WIDE, WIDE_TICKS = Q96, Range(-6000, 6000), (-6000, 6000)


def world_with(*patches: Patch, limits: VaultLimits = LOOSE, **options: object) -> VaultWorld:
    """Return a world whose vault has these changes in its source, or none."""
    return VaultWorld(limits=limits, code=patched_vault(*patches) if patches else b"", **options)  # type: ignore[arg-type] # tests name its fields


def share_taken(world: VaultWorld, before: tuple[int, int]) -> float:
    """Return which share of what the owner had is gone, everything counted at the fair price 1."""
    world.push_to(HOME)
    return 1 - sum(world.owned_if_closed()) / sum(before)


def refused(world: VaultWorld, reason: str, attack: object) -> None:
    """Check that an attack ends in this refusal and costs the owner nothing."""
    before = world.owned_if_closed()
    with world.undone():
        with pytest.raises(Reverted, match=f"^{reason}$"):
            attack(world)  # type: ignore[operator] # a function of the world
        assert share_taken(world, before) < 1e-12


# --- A keeper with the owner's powers (Visor) --------------------------------------------------------------------------

OWNERS_VERBS = (
    ("deposit(uint256,uint256)", 0, 0),
    ("withdraw_all()",),
    ("withdraw_token(bool)", 1),
    ("release(int24,int24)", -6000, 6000),
    ("claim_fees()",),
    ("sweep(address,uint256)", 0, 2**255),
    ("propose_owner(address)", int(ATTACKER, 16)),
    ("set_keeper(address,uint256)", int(ATTACKER, 16), 2**31),
    ("set_guardian(address)", int(ATTACKER, 16)),
    ("unpause()",),
)


def take_over(world: VaultWorld) -> None:
    world.tell(KEEPER, "propose_owner(address)", int(ATTACKER, 16))
    world.tell(ATTACKER, "accept_ownership()")
    world.tell(ATTACKER, "withdraw_all()")


def test_one_key_for_everything() -> None:
    defence = (
        "vault_roles.vy",
        "assert msg.sender == self.owner, ",
        "assert msg.sender in [self.owner, self.keeper], ",
    )
    broken, world = world_with(defence), world_with()
    for each in (broken, world):
        each.deposit(10 * UNIT, 10 * UNIT)
        each.rebalance(each.plan(opens=[opening(*WIDE_TICKS, 5 * UNIT, 5 * UNIT)]))
    before = broken.balances(ATTACKER)
    take_over(broken)
    assert sum(broken.balances(ATTACKER)) - sum(before) > 19 * UNIT

    refused(world, "not the owner", take_over)
    for stranger in (KEEPER, GUARDIAN, ATTACKER):
        for signature, *arguments in OWNERS_VERBS:
            with pytest.raises(Reverted, match="^not the owner$"):
                world.tell(stranger, signature, *arguments)
    for verb in ("set_limits", "announce_limits"):
        with pytest.raises(Reverted, match="^not the owner$"):
            world.send(KEEPER, world.vault, selector(f"{verb}({LIMITS})") + words(*limit_words(world.limits)))


# --- Worth at the price of the moment (ICHI, Mellow, Gamma) ------------------------------------------------------------


def buy_dear(world: VaultWorld) -> None:
    """Push the price up within the allowed deviation, have the vault buy there, let the price come back."""
    world.push_to(get_sqrt_ratio_at_tick(250))
    world.rebalance(world.plan(swap=any_swap(False, 18 * UNIT), opens=[opening(0, 600, 18 * UNIT, 0)]))


def test_worth_at_the_price_of_the_moment() -> None:
    defence = (
        "vault_worth.vy",
        "def of(words: DynArray[uint256, MAX_POSITIONS], means: Means) -> Worth:\n",
        "def of(words: DynArray[uint256, MAX_POSITIONS], means_: Means) -> Worth:\n    means: Means = means_\n"
        "    means.short_x96 = pool.sqrt_price()\n    means.long_x96 = pool.sqrt_price()\n",
    )
    broken, world = world_with(defence), world_with()
    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    buy_dear(broken)
    assert share_taken(broken, before) > 0.02
    refused(world, "loss", buy_dear)


# --- Limits without limits (Gamma), a price far off its mean -----------------------------------------------------------


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
    with pytest.raises(Reverted, match="^max_deviation$"):
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


# --- The price is looked at only before the swap (Arrakis H-1) ---------------------------------------------------------


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


# --- A little at a time (Arrakis M-2) ----------------------------------------------------------------------------------


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
        "worth.charge(before, after, means, fees0, fees1)",
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


# --- Callbacks that anybody may call -----------------------------------------------------------------------------------


def test_callback_spoofing() -> None:
    """Three lines stand in the way: who calls, whether the vault is calling, how much it allowed. Without all three
    everything goes in one call.
    """
    start = '    assert msg.sender == POOL, "not the pool"\n    assert self.is_paying, "no call in progress"\n'
    end = '    assert amount0 <= self.pay0_max and amount1 <= self.pay1_max, "costs too much"\n'
    gone = (("vault_pool.vy", start, ""), ("vault_pool.vy", end, ""))

    def attack(world: VaultWorld) -> None:
        callback = selector("uniswapV3MintCallback(uint256,uint256,bytes)")
        world.send(ATTACKER, world.vault, callback + words(10 * UNIT, 10 * UNIT, 96, 0))

    def attack_by_swap(world: VaultWorld) -> None:
        callback = selector("uniswapV3SwapCallback(int256,int256,bytes)")
        world.send(ATTACKER, world.vault, callback + words(10 * UNIT, -1, 96, 0))

    for spoof in (attack, attack_by_swap):
        broken, world = world_with(*gone), world_with()
        # Each line alone stops it: with the first one gone the second does, with both gone the third.
        one_left = world_with(("vault_pool.vy", start, ""))
        one_less = world_with(("vault_pool.vy", start.split("\n")[0] + "\n", ""))
        for each in (broken, world, one_left, one_less):
            each.deposit(10 * UNIT, 10 * UNIT)
        before = broken.balances(ATTACKER)
        spoof(broken)
        assert sum(broken.balances(ATTACKER)) - sum(before) >= 10 * UNIT
        refused(world, "not the pool", spoof)
        refused(one_less, "no call in progress", spoof)
        refused(one_left, "costs too much", spoof)


# --- Tokens that call back ---------------------------------------------------------------------------------------------


def owner_withdraws_while_the_keeper_listens(*patches: Patch) -> tuple[bool, int]:
    """A token tells the keeper when it leaves, and he puts the other one into the pool before that one leaves too.
    Returns whether he could, and what the owner got.
    """
    world = world_with(*patches)
    agent = world.deploy_agent()
    world.tell(OWNER, "set_keeper(address,uint256)", int(agent, 16), world.now + 86400)
    world.deposit(10 * UNIT, 10 * UNIT)
    late = rebalance_data(world.plan(opens=[opening(-1200, -600, 0, 9 * UNIT)]))
    world.tell_agent(agent, "arm", world.vault, late)
    world.behave(world.token0, to=agent)
    before = world.balances(OWNER)
    world.tell(OWNER, "withdraw_all()")
    after = world.balances(OWNER)
    assert world.call(ATTACKER, agent, "is_armed()") == [0]
    return world.call(ATTACKER, agent, "succeeded()") == [1], sum(after) - sum(before)


def test_reentrancy_into_a_withdrawal() -> None:
    succeeded, got = owner_withdraws_while_the_keeper_listens(("vault.vy", "# pragma nonreentrancy on\n", ""))
    assert succeeded and got < 12 * UNIT
    assert owner_withdraws_while_the_keeper_listens() == (False, 20 * UNIT)


def worth_seen_in_between(*patches: Patch) -> tuple[bool, int]:
    """A token calls somebody in the middle of a rebalance, who asks the vault for its worth, as a lender might."""
    world = world_with(*patches)
    agent = world.deploy_agent()
    world.deposit(10 * UNIT, 10 * UNIT)
    world.rebalance(world.plan(opens=[opening(-600, 600, 9 * UNIT, 9 * UNIT)]))
    world.pass_time(3600)
    world.tell_agent(agent, "arm", world.vault, selector("nav()"))
    world.behave(world.token0, to=agent)
    world.rebalance(world.plan(closes=[Range(-600, 600)]))
    succeeded, (_, _, *answer) = world.call(ATTACKER, agent, "succeeded()"), world.call(ATTACKER, agent, "answer()")
    return bool(succeeded[0]), answer[0] if answer else 0


def test_read_only_reentrancy() -> None:
    succeeded, seen = worth_seen_in_between(("vault_worth.vy", "# pragma nonreentrancy on\n", ""))
    assert succeeded and seen > 28 * UNIT  # of a vault that has 20
    assert worth_seen_in_between() == (False, 0)


# --- Gifts -------------------------------------------------------------------------------------------------------------


def test_a_gift_of_dust_stops_nothing() -> None:
    """Liquidity minted in the vault's name by a stranger is not what a plan was made for, and must not matter."""
    naive = (
        "vault.vy",
        "    # A block's own trades",
        "    for word: uint256 in words:\n        held: book.Position = book.unpack(word)\n"
        "        assert held.liquidity == pool._liquidity_in_pool(held.tick_lower, held.tick_upper), 'changed'\n"
        "    # A block's own trades",
    )
    broken, world = world_with(naive), world_with()
    for each in (broken, world):
        each.deposit(10 * UNIT, 10 * UNIT)
        each.rebalance(each.plan(opens=[opening(*WIDE_TICKS, 5 * UNIT, 5 * UNIT)]))
        each.pass_time(60)
    # The attack is one wei of liquidity, in the same block, before the rebalance.
    for each in (broken, world):
        each.add(*WIDE_TICKS, 1, owner=each.vault)
    with pytest.raises(Reverted, match="changed"):
        broken.rebalance(broken.plan(closes=[WIDE]))
    world.rebalance(world.plan(closes=[WIDE]))
    assert world.liquidity_of(world.vault, *WIDE_TICKS) == 0 and world.positions() == []


def test_a_gift_hides_no_loss_and_is_the_owners() -> None:
    world = world_with()
    world.deposit(0, 20 * UNIT)
    world.rebalance(world.plan(opens=[opening(-6000, -600, 0, UNIT)]))
    world.pass_time(3600)
    world.add(-6000, -600, 100 * UNIT, owner=world.vault)
    gift = sum(world.owned_if_closed()) - 20 * UNIT
    assert gift > UNIT

    def attack(world: VaultWorld) -> None:
        world.push_to(get_sqrt_ratio_at_tick(250))
        closes = [Range(-6000, -600)]
        world.rebalance(
            world.plan(closes=closes, swap=any_swap(False, 18 * UNIT), opens=[opening(0, 600, 18 * UNIT, 0)])
        )

    refused(world, "loss", attack)
    world.rebalance(world.plan(closes=[Range(-6000, -600)]))
    assert sum(world.owned_if_closed()) >= 20 * UNIT + gift - 4


# --- Around a rebalance ------------------------------------------------------------------------------------------------


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
    gains = []

    def attack(world: VaultWorld) -> None:
        before = world.push_to(get_sqrt_ratio_at_tick(120))
        world.rebalance(world.plan(swap=careful, opens=[opening(*WIDE_TICKS, 10 * UNIT, 9 * UNIT)]))
        after = world.push_to(HOME)
        gains.append(-sum(before) - sum(after))

    broken, world = world_with(*defence), world_with()
    for each in (broken, world):
        each.deposit(0, 20 * UNIT)
    before = broken.owned_if_closed()
    attack(broken)
    assert share_taken(broken, before) > 0.006
    refused(world, "|costs too much|SPL", attack)
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


# --- A token that refuses ----------------------------------------------------------------------------------------------


def test_one_token_cannot_hold_the_other() -> None:
    defence = ("vault.vy", "self._release(position, of_token0, not of_token0)", "self._release(position, True, True)")
    broken, world = world_with(defence), world_with()

    def rescue(world: VaultWorld) -> None:
        world.tell(OWNER, "withdraw_token(bool)", 1)

    for each in (broken, world):
        each.deposit(10 * UNIT, 10 * UNIT)
        each.rebalance(each.plan(opens=[opening(*WIDE_TICKS, 5 * UNIT, 5 * UNIT)]))
        each.behave(each.token1, blocked=True)
    with pytest.raises(Reverted):
        rescue(broken)
    before = world.balances(OWNER)
    rescue(world)
    got0, got1 = (a - b for a, b in zip(world.balances(OWNER), before, strict=True))
    assert (got0, got1) == (10 * UNIT - 1, 0)
    world.behave(world.token1)
    world.tell(OWNER, "withdraw_all()")
    assert world.balances(OWNER)[1] - before[1] == 10 * UNIT - 1 and world.positions() == []
