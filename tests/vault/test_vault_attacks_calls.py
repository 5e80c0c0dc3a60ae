"""Every known way in which vaults lost money, first shown to work on our vault with that one defence taken out of its
source, then tried on the vault as it is: calls by those who must not make them.
"""

from __future__ import annotations

from dataclasses import replace

from support.vault_attacks import WIDE, WIDE_TICKS, refused, refuses, world_with
from support.vault_world import ATTACKER, GUARDIAN, KEEPER, OWNER, UNIT, Patch, VaultWorld, any_swap, opening

from executor.vault import VaultCall, limit_words
from executor.vault_abi import LIMITS, rebalance_data
from simulator.chain.abi import selector, words
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.portfolio import Range

# --- A keeper with the owner's powers (Visor) -------------------------------------------------------------------------

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
            with refuses("not the owner"):
                world.tell(stranger, signature, *arguments)
    for verb in ("set_limits", "announce_limits"):
        with refuses("not the owner"):
            world.send(KEEPER, world.vault, selector(f"{verb}({LIMITS})") + words(*limit_words(world.limits)))


# --- Callbacks that anybody may call ----------------------------------------------------------------------------------


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


# --- Tokens that call back --------------------------------------------------------------------------------------------


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


# --- Gifts ------------------------------------------------------------------------------------------------------------


def test_a_gift_of_dust_stops_nothing() -> None:
    """Liquidity minted in the vault's name by a stranger is not what a plan was made for, and must not matter."""
    naive = (
        "vault.vy",
        "    # A block's own trades",
        (
            "    for word: uint256 in words:\n        held: book.Position = book.unpack(word)\n"
            "        assert held.liquidity == pool._liquidity_in_pool(held.tick_lower, held.tick_upper), 'changed'\n"
            "    # A block's own trades"
        ),
    )
    broken, world = world_with(naive), world_with()
    for each in (broken, world):
        each.deposit(10 * UNIT, 10 * UNIT)
        each.rebalance(each.plan(opens=[opening(*WIDE_TICKS, 5 * UNIT, 5 * UNIT)]))
        each.pass_time(60)
    # The attack is one wei of liquidity, in the same block, before the rebalance.
    for each in (broken, world):
        each.add(*WIDE_TICKS, 1, owner=each.vault)
    with refuses("changed"):
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


# --- A token that refuses ---------------------------------------------------------------------------------------------


def test_one_token_cannot_hold_the_other() -> None:
    defence = ("vault.vy", "self._release(position, of_token0, not of_token0)", "self._release(position, True, True)")
    broken, world = world_with(defence), world_with()

    def rescue(world: VaultWorld) -> None:
        world.tell(OWNER, "withdraw_token(bool)", 1)

    for each in (broken, world):
        each.deposit(10 * UNIT, 10 * UNIT)
        each.rebalance(each.plan(opens=[opening(*WIDE_TICKS, 5 * UNIT, 5 * UNIT)]))
        each.behave(each.token1, blocked=True)
    with refuses("blocked", "TF"):
        rescue(broken)
    before = world.balances(OWNER)
    rescue(world)
    got0, got1 = (a - b for a, b in zip(world.balances(OWNER), before, strict=True))
    assert (got0, got1) == (10 * UNIT - 1, 0)
    world.behave(world.token1)
    world.tell(OWNER, "withdraw_all()")
    assert world.balances(OWNER)[1] - before[1] == 10 * UNIT - 1 and world.positions() == []


# --- A plan again -----------------------------------------------------------------------------------------------------

DEEP = ((-60_000, 60_000, 10**6 * UNIT),)


def bought(world: VaultWorld, lower: int = 240) -> VaultCall:
    """Return a plan that buys 600 of token0 first."""
    return world.plan(swap=any_swap(False, 600 * UNIT), opens=[opening(lower, 900, 600 * UNIT, 0)])


def undo(world: VaultWorld) -> None:
    """Sell everything again."""
    closes, opens = [p.range for p in world.positions()], [opening(-900, -240, 0, 1990 * UNIT)]
    for plan in (
        {"closes": closes, "swap": any_swap(True, 600 * UNIT), "opens": opens},
        {"closes": [Range(-900, -240)]},
    ):
        world.pass_time(3600)
        world.rebalance(world.plan(**plan))  # type: ignore[arg-type] # as `plan` takes them
    world.pass_time(3600)


def test_an_intent_signed_twice() -> None:
    """By a process on a restored database, say: the vault has no positions again, so only the id tells."""
    broken, world = (
        world_with(*patches, others=DEEP)
        for patches in ((("vault.vy", '    assert not self.is_used[plan_id], "plan used"\n', ""),), ())
    )
    for each in (broken, world):
        each.deposit(0, 2000 * UNIT)
        call = bought(each)
        each.rebalance(call)
        undo(each)

    def attack(world: VaultWorld) -> None:
        world.rebalance(replace(call, deadline_s=world.now))

    before = broken.owned_if_closed()
    attack(broken)
    assert sum(before) - sum(broken.owned_if_closed()) > 9 * UNIT // 5  # 0.3 % of 600
    refused(world, "plan used", attack)


def test_a_plan_for_positions_that_are_no_more() -> None:
    """Two plans for the same empty vault: the second would swap again."""
    defence = ("vault.vy", '    assert book.hash_of(words) == positions_hash, "positions changed"\n', "")
    broken, world = world_with(defence, others=DEEP), world_with(others=DEEP)
    for each in (broken, world):
        each.deposit(0, 2000 * UNIT)
        second = replace(bought(each, 300), deadline_s=each.now + 7200)
        each.rebalance(bought(each))
        each.pass_time(3600)

    def attack(world: VaultWorld) -> None:
        world.rebalance(second)

    before = broken.owned_if_closed()
    attack(broken)
    assert sum(before) - sum(broken.owned_if_closed()) > 9 * UNIT // 5
    refused(world, "positions changed", attack)
