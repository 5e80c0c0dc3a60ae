"""The owner's money: in, out at any time, and every wei of it told by an event."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pyrevm import AccountInfo
from support.vault_attacks import refuses
from support.vault_functions import vault_functions
from support.vault_world import (
    ATTACKER,
    GUARDIAN,
    KEEPER,
    LOOSE,
    OWNER,
    UNIT,
    Log,
    Reverted,
    VaultWorld,
    any_swap,
    opening,
)

from executor.vault import VaultOpen
from executor.vault_abi import rebalance_data
from simulator.chain.abi import selector, signed, topic, words
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.portfolio import Range

HELD, LOW = Range(-600, 600), Range(-1200, -300)


@pytest.fixture
def world() -> VaultWorld:
    """A vault with two positions that have earned fees, and idle tokens."""
    made = VaultWorld(limits=LOOSE)
    made.deposit(10 * UNIT, 12 * UNIT)
    made.rebalance(made.plan(opens=[opening(-600, 600, 5 * UNIT, 5 * UNIT), opening(-1200, -300, 0, UNIT)]))
    for amount in (400 * UNIT, 300 * UNIT):
        made.swap(True, amount)
        made.push_to(get_sqrt_ratio_at_tick(0))
    made.pass_time(3600)
    return made


def received(world: VaultWorld, deed: Callable[[], object]) -> tuple[int, int]:
    """Return what the owner gets by a deed."""
    before = world.balances(OWNER)
    deed()
    after = world.balances(OWNER)
    return after[0] - before[0], after[1] - before[1]


# --- Out, whatever happens --------------------------------------------------------------------------------------------


def nothing(world: VaultWorld) -> None:
    """Nothing special."""


def paused(world: VaultWorld) -> None:
    world.tell(GUARDIAN, "pause()")
    world.tell(GUARDIAN, "revoke_keeper()")


def price_far_away(world: VaultWorld) -> None:
    world.push_to(get_sqrt_ratio_at_tick(30_000))


def pool_without_memory(world: VaultWorld) -> None:
    world.now -= 3600 + 1790


def keeper_failed(world: VaultWorld) -> None:
    with refuses("opens with too little"):
        world.rebalance(world.plan(closes=[HELD], opens=[VaultOpen(Range(-300, 300), UNIT, UNIT, 2 * UNIT, 0)]))


def keeper_hostile(world: VaultWorld) -> None:
    """Fifty positions, as many as there can be."""
    for start in (0, 24):
        world.pass_time(60)
        opens = [opening(-120 * (n + 2), 120, 10**15, 10**15) for n in range(start, start + 24)]
        world.rebalance(world.plan(opens=opens))
    assert len(world.positions()) == 50


def gifts(world: VaultWorld) -> None:
    world.add(-600, 600, 7, owner=world.vault)
    world.add(-60, 60, 7, owner=world.vault)
    world.call(OWNER, world.token0, "mint(address,uint256)", int(world.vault, 16), 12345)


def mute_tokens(world: VaultWorld) -> None:
    for token in (world.token0, world.token1):
        world.behave(token, mute=True)


@pytest.mark.parametrize(
    "trouble",
    [nothing, paused, price_far_away, pool_without_memory, keeper_failed, keeper_hostile, gifts, mute_tokens],
)
def test_the_owner_gets_everything_at_any_time(world: VaultWorld, trouble: Callable[[VaultWorld], None]) -> None:
    trouble(world)
    ranges = [p.range for p in world.positions()]
    got = received(world, lambda: world.tell(OWNER, "withdraw_all()"))
    assert world.balances(world.vault) == (0, 0) and world.positions() == []
    assert all(world.liquidity_of(world.vault, r.tick_lower, r.tick_upper) == 0 for r in ranges)
    assert sum(got) > 22 * UNIT - 100 and world.gas_used < 2**24


def test_withdrawing_twice_or_from_nothing_is_no_error(world: VaultWorld) -> None:
    world.tell(OWNER, "withdraw_all()")
    assert received(world, lambda: world.tell(OWNER, "withdraw_all()")) == (0, 0)
    for verb in ("withdraw_token(bool)", "claim_fees()"):
        assert received(world, lambda verb=verb: world.tell(OWNER, verb, 1)) == (0, 0)  # type: ignore[misc] # bound


@pytest.mark.parametrize("of_token0", [True, False])
def test_one_token_when_the_other_is_stuck(world: VaultWorld, *, of_token0: bool) -> None:
    """Blocked, or worse, answering False: in both ways what can be had is had, and the rest later."""
    expected = world.owned_if_closed()
    stuck = world.token1 if of_token0 else world.token0
    for habit in ({"blocked": True}, {"false": True}):
        with world.undone():
            world.behave(stuck, **habit)
            with pytest.raises(Reverted):
                world.tell(OWNER, "withdraw_all()")
            got = received(world, lambda: world.tell(OWNER, "withdraw_token(bool)", int(of_token0)))
            assert got == ((expected[0], 0) if of_token0 else (0, expected[1]))
            assert [p.liquidity for p in world.positions()] == [0, 0]
            world.behave(stuck)
            rest = received(world, lambda: world.tell(OWNER, "withdraw_all()"))
            assert (got[0] + rest[0], got[1] + rest[1]) == expected and world.positions() == []


def test_a_keeper_goes_on_after_half_a_withdrawal(world: VaultWorld) -> None:
    """What one token left behind in the pool is collected by the next plan that closes the emptied positions."""
    expected = world.owned_if_closed()
    world.tell(OWNER, "withdraw_token(bool)", 1)
    world.rebalance(world.plan(closes=[HELD, LOW], opens=[opening(-600, -60, 0, UNIT)]))
    assert world.logs[-1].data[5] <= 1  # no loss but a rounding
    assert [p.range for p in world.positions()] == [Range(-600, -60)]
    assert abs(world.owned_if_closed()[1] - expected[1]) <= 1


def test_what_half_a_withdrawal_left_is_not_for_losing() -> None:
    """Owed tokens are not in the worth before, so no share of that allows for losing any of them: not a wei."""
    world = VaultWorld(limits=LOOSE)
    world.deposit(10 * UNIT, 10 * UNIT)
    world.rebalance(world.plan(opens=[opening(-600, 600, 10 * UNIT, 10 * UNIT)]))
    world.pass_time(60)
    world.tell(OWNER, "withdraw_token(bool)", 1)
    assert world.balances(world.vault) == (0, 0) and world.ask("nav()") == [0, 0]
    with refuses("loss"):
        wanted = opening(600, 1200, 5 * UNIT, 0)
        world.rebalance(world.plan(closes=[HELD], swap=any_swap(False, 5 * UNIT), opens=[wanted]))
    world.rebalance(world.plan(closes=[HELD]))
    assert world.balances(world.vault) == (0, 10 * UNIT - 1)


def test_tokens_that_are_not_the_pools(world: VaultWorld) -> None:
    other = VaultWorld(evm=world.evm).token0  # a token of another pool
    world.call(OWNER, other, "mint(address,uint256)", int(world.vault, 16), 77)
    world.tell(OWNER, "sweep(address,uint256)", int(other, 16), 70)
    world.tell(OWNER, "sweep(address,uint256)", int(other, 16), 2**256 - 1)
    assert world.call(OWNER, other, "balanceOf(address)", int(world.vault, 16)) == [0]
    assert received(world, lambda: world.tell(OWNER, "sweep(address,uint256)", int(world.token1, 16), 5)) == (0, 5)


def test_a_range_that_others_opened_in_the_vaults_name(world: VaultWorld) -> None:
    world.add(-60, 60, 10**12, owner=world.vault)
    idle = world.balances(world.vault)
    world.tell(OWNER, "release(int24,int24)", -60, 60)
    assert world.liquidity_of(world.vault, -60, 60) == 0 and world.balances(world.vault) > idle
    world.tell(OWNER, "release(int24,int24)", -600, 600)
    assert [p.range for p in world.positions()] == [LOW]


def test_nothing_is_never_sent(world: VaultWorld) -> None:
    """Some tokens revert where an amount is 0: deposits, positions and withdrawals of one token alone go on."""
    mute_tokens(world)
    world.tell(OWNER, "withdraw_all()")
    world.deposit(0, UNIT)
    world.pass_time(60)
    world.rebalance(world.plan(opens=[opening(-1200, -300, 0, UNIT)]))
    assert received(world, lambda: world.tell(OWNER, "withdraw_all()")) == (0, UNIT - 1)


def test_a_dead_token_holds_nothing_back(world: VaultWorld) -> None:
    """Not even its balance can be asked: every call burns the gas that it is given."""
    expected = world.owned_if_closed()[0]
    world.evm.insert_account_info(world.token1, AccountInfo(code=bytes.fromhex("fe")))
    before = world.call(OWNER, world.token0, "balanceOf(address)", int(OWNER, 16))[0]
    world.tell(OWNER, "withdraw_token(bool)", 1)
    assert world.call(OWNER, world.token0, "balanceOf(address)", int(OWNER, 16))[0] - before == expected


def test_a_false_transfer_is_no_transfer(world: VaultWorld) -> None:
    world.call(OWNER, world.token0, "approve(address,uint256)", int(world.vault, 16), 1)
    world.behave(world.token0, false=True)
    with refuses("transfer"):
        world.tell(OWNER, "sweep(address,uint256)", int(world.token0, 16), 1)
    with refuses("transfer"):
        world.tell(OWNER, "deposit(uint256,uint256)", 1, 0)


def test_no_ether(world: VaultWorld) -> None:
    world.evm.set_balance(ATTACKER, UNIT)
    for data in (b"", selector("positions_hash()")):
        with pytest.raises(RuntimeError, match="Revert"):
            world.evm.message_call(ATTACKER, world.vault, calldata=data, value=1)


# --- Fees -------------------------------------------------------------------------------------------------------------


def test_fees_are_claimed_by_the_owner_or_compound(world: VaultWorld) -> None:
    with world.undone():
        got = received(world, lambda: world.tell(OWNER, "claim_fees()"))
        assert world.logs[0] == Log(topic("FeesClaimed(uint256,uint256)"), (), got)
        assert got[0] > 10**15 and got[1] > 10**15 and len(world.positions()) == 2
        assert received(world, lambda: world.tell(OWNER, "claim_fees()")) == (0, 0)
    idle = world.balances(world.vault)
    world.rebalance(world.plan(collects=[HELD, LOW]))
    after = world.balances(world.vault)
    assert (after[0] - idle[0], after[1] - idle[1]) == got


# --- Events -----------------------------------------------------------------------------------------------------------

SIGNATURES = {
    topic(s): s.split("(")[0]
    for s in (
        "Deposited(uint256,uint256)",
        "Withdrawn(address,uint256)",
        "FeesClaimed(uint256,uint256)",
        "Released(int24,int24,uint256,uint256)",
        "Closed(bytes32,int24,int24,uint128,uint256,uint256,uint256,uint256)",
        "Collected(bytes32,int24,int24,uint256,uint256)",
        "Swapped(bytes32,int256,int256)",
        "Opened(bytes32,int24,int24,uint128,uint256,uint256)",
        "Rebalanced(bytes32,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,bytes32)",
    )
}


def booked(world: VaultWorld, idle: list[int], logs: list[Log]) -> None:
    """Carry events into the idle balances, as an accountant would who sees nothing else."""
    for log in logs:
        name, data = SIGNATURES[log.topic], log.data
        if name in ("Deposited", "Released"):
            change = data
        elif name == "FeesClaimed":
            change = data  # collected; sent by the two Withdrawn that follow
        elif name == "Withdrawn":
            change = (-data[0], 0) if log.indexed[0] == int(world.token0, 16) else (0, -data[0])
        elif name == "Closed":
            change = (data[1] + data[3], data[2] + data[4])
        elif name == "Collected":
            change = data
        elif name == "Swapped":
            change = tuple(-signed(word, 256) for word in data)
        elif name == "Opened":
            change = (-data[1], -data[2])
        else:
            assert data[7:9] == tuple(idle) and data[9] == world.ask("positions_hash()")[0]
            continue
        idle[0] += change[0]
        idle[1] += change[1]


def test_the_books_follow_from_the_events() -> None:
    world, idle = VaultWorld(limits=LOOSE), [0, 0]

    def deed(act: Callable[[], object]) -> None:
        act()
        booked(world, idle, world.logs)
        assert world.balances(world.vault) == tuple(idle)

    world.deposit(10 * UNIT, 12 * UNIT)
    booked(world, idle, world.logs)
    first = world.plan(opens=[opening(-600, 600, 5 * UNIT, 5 * UNIT), opening(-1200, -300, 0, UNIT)])
    deed(lambda: world.rebalance(first))
    world.swap(True, 300 * UNIT)
    world.swap(False, 250 * UNIT)
    world.pass_time(3600)
    swap = any_swap(False, 3 * UNIT)
    second = world.plan(closes=[LOW], collects=[HELD], swap=swap, opens=[opening(600, 1200, 8 * UNIT, 0)])
    deed(lambda: world.rebalance(second))
    assert [SIGNATURES[log.topic] for log in world.logs] == ["Closed", "Collected", "Swapped", "Opened", "Rebalanced"]
    assert all(log.indexed[0] == 2 for log in world.logs)
    world.swap(True, 50 * UNIT)
    deed(lambda: world.tell(OWNER, "claim_fees()"))
    deed(lambda: world.tell(OWNER, "sweep(address,uint256)", int(world.token0, 16), 10**15))
    deed(lambda: world.tell(OWNER, "withdraw_token(bool)", 0))
    deed(lambda: world.tell(OWNER, "withdraw_all()"))
    assert idle == [0, 0]


def test_worth_is_that_of_what_is_there(world: VaultWorld) -> None:
    """At price 1, in token1: idle tokens and liquidity, the fees left out; gone when all is withdrawn."""
    fees = received(world, lambda: world.tell(OWNER, "claim_fees()"))
    assert sum(fees) > 0
    owned = sum(world.owned_if_closed())
    assert all(0 <= owned - nav <= 3 for nav in world.ask("nav()"))
    world.tell(OWNER, "withdraw_all()")
    assert world.ask("nav()") == [0, 0]


# --- The lock ---------------------------------------------------------------------------------------------------------


def test_everything_is_locked_while_something_runs(world: VaultWorld) -> None:
    """A token calls the owner in the middle of a plan, and he every function there is: refused without a word, which
    is the lock's; at any other time each of them answers, or says why not.
    """
    agent = world.deploy_agent()
    world.tell(OWNER, "propose_owner(address)", int(agent, 16))
    world.tell_agent(agent, "act", world.vault, selector("accept_ownership()"))
    world.behave(world.token0, to=agent)
    signatures = [signature for signature in vault_functions() if not signature.startswith("uniswapV3")]
    assert len(signatures) > 30
    for signature in signatures:
        verb, data = signature.split("(")[0], selector(signature) + words(*[0] * 20)
        with world.undone():
            world.tell_agent(agent, "arm", world.vault, data)
            world.rebalance(world.plan(closes=[HELD]), KEEPER)
            in_between = _outcome(world, agent)
        with world.undone():
            world.tell_agent(agent, "arm", world.vault, data)
            world.call(ATTACKER, agent, "nudge()")
            outside = _outcome(world, agent)
        immutable = verb in ("POOL", "TOKEN0", "TOKEN1", "TICK_SPACING")
        assert in_between == ((True, 32) if immutable else (False, 0)), verb
        assert outside != (False, 0) or verb in ("rebalance", "sweep"), verb  # of nothing


def _outcome(world: VaultWorld, agent: str) -> tuple[bool, int]:
    """Return whether the agent's call succeeded and how many bytes it answered."""
    assert world.call(ATTACKER, agent, "is_armed()") == [0]
    succeeded, (_, size, *_) = world.call(ATTACKER, agent, "succeeded()"), world.call(ATTACKER, agent, "answer()")
    return bool(succeeded[0]), size


def test_a_plan_is_no_call_of_the_owners(world: VaultWorld) -> None:
    with refuses("not the keeper"):
        world.send(OWNER, world.vault, rebalance_data(world.plan()))
