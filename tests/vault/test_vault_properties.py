"""Whatever a keeper and others do together, in whatever order: the owner loses no more than the budgets, and gets the
rest at any moment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.vault_world import (
    ATTACKER,
    GUARDIAN,
    KEEPER,
    LOOSE,
    OWNER,
    UNIT,
    Reverted,
    VaultWorld,
    any_swap,
    opening,
)

from executor.vault import VaultCall, VaultOpen, VaultSwap
from protocol.units import Q96
from simulator.chain.abi import topic
from simulator.fork import amounts_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick

LIMITS = replace(LOOSE, max_loss_ppm=8_000, max_daily_loss_ppm=10_000)  # both are to be met often
SWAPPED = topic("Swapped(bytes32,int256,int256)")
DUST = 10**6  # raw units, of 20 * UNIT: roundings
TICK = 1e-4  # at price 1 the pool may say tick -1, and the vault then counts at the price of that
TICKS = st.integers(-15, 15).map(lambda n: n * 60)
SHARES = st.floats(0, 1.2)
OPENS = st.lists(st.tuples(TICKS, st.integers(1, 12), SHARES, SHARES), max_size=3)


class Theft(RuleBasedStateMachine):
    """A keeper who means harm, others who push the price within a block, and the market that puts it back to 1."""

    outcomes: ClassVar[Counter[str]] = Counter()

    @initialize()
    def start(self) -> None:
        self.world = VaultWorld(limits=LIMITS, others=((-60_000, 60_000, 2000 * UNIT), (-900, 900, 1000 * UNIT)))
        self.world.deposit(10 * UNIT, 10 * UNIT)
        self.losses: list[tuple[int, float]] = []
        self.bystanders = self.world.balances(ATTACKER)

    @rule(seconds=st.sampled_from((2, 30, 60, 61, 600, 3600, 40_000, 86_400)))
    def pass_time(self, seconds: int) -> None:
        """The market puts the price back before the block ends."""
        self.world.push_to(Q96)
        self.world.pass_time(seconds)

    @rule(amount=st.integers(1, 20 * UNIT), zero_for_one=st.booleans())
    def trade(self, amount: int, zero_for_one: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """Others trade there and back; the vault's positions earn."""
        self.world.swap(zero_for_one, amount)

    @rule(tick_lower=TICKS, width=st.integers(1, 12), liquidity=st.integers(1, UNIT))
    def give(self, tick_lower: int, width: int, liquidity: int) -> None:
        """Somebody adds liquidity in the vault's name."""
        with_gift = self.fair_worth()
        self.world.add(tick_lower, tick_lower + 60 * width, liquidity, owner=self.world.vault)
        assert self.fair_worth() >= with_gift - DUST

    @precondition(lambda self: self.world.sqrt_price_x96 == Q96)
    @rule()
    def claim(self) -> None:
        """The owner takes the fees."""
        before = self.fair_worth()
        paid = self.world.balances(OWNER)
        self.world.tell(OWNER, "claim_fees()")
        gained = sum(self.world.balances(OWNER)) - sum(paid)
        assert abs(before - self.fair_worth() - gained) <= DUST

    @rule(
        seconds=st.sampled_from((0, 60, 60, 600, 40_000)),
        tick=st.integers(-330, 330),
        closing=st.sets(st.integers(0, 6)),
        swap=st.tuples(st.booleans(), SHARES),
        opens=OPENS,
        collects=st.booleans(),
    )
    def rebalance(
        self,
        seconds: int,
        tick: int,
        closing: set[int],
        swap: tuple[bool, float],
        opens: list[tuple[int, int, float, float]],
        collects: bool,  # noqa: FBT001 - hypothesis names it
    ) -> None:
        """Any plan at all, at a price that somebody has just made."""
        world = self.world
        if seconds:
            self.pass_time(seconds)
        world.push_to(get_sqrt_ratio_at_tick(tick))
        ranges = [p.range for p in world.positions()]
        closes = [r for n, r in enumerate(ranges) if n in closing]
        kept = [r for r in ranges if r not in closes] if collects else []
        self._attempt(world.plan(closes=closes, collects=kept, swap=_swap(*swap), opens=[_open(*o) for o in opens]))

    @rule(
        seconds=st.sampled_from((60, 60, 3600)),
        tick=st.integers(0, 320),
        buys0=st.booleans(),
        share=st.floats(0.05, 1),
        width=st.integers(2, 10),
    )
    def steal(self, seconds: int, tick: int, buys0: bool, share: float, width: int) -> None:  # noqa: FBT001 - as above
        """Make a token dear, have the vault buy it with what it has of the other, in one range beside the price."""
        world, sign = self.world, 1 if buys0 else -1
        self.pass_time(seconds)
        world.push_to(get_sqrt_ratio_at_tick(sign * tick))
        closes = [p.range for p in world.positions()]
        has0, has1 = world.owned_if_closed()
        out = int((has1 if buys0 else has0) * share * 0.95)
        lower = 600 if buys0 else -600 - 60 * width
        wanted = opening(lower, lower + 60 * width, has0 + out if buys0 else 0, 0 if buys0 else has1 + out)
        self._attempt(world.plan(closes=closes, swap=any_swap(not buys0, out), opens=[wanted]))

    def _attempt(self, call: VaultCall) -> None:
        """Carry out a plan and book what it cost, or see that a refused one cost nothing."""
        world, before = self.world, self.fair_worth()
        try:
            world.rebalance(call)
        except Reverted as refusal:
            self.outcomes[str(refusal)] += 1
            assert self.fair_worth() == before
            return
        self.outcomes["done"] += 1
        self.outcomes["swapped"] += any(log.topic == SWAPPED for log in world.logs)
        loss = (before - self.fair_worth() - DUST) / before
        assert loss <= LIMITS.max_loss_ppm / 10**6 + TICK, loss
        self.losses.append((world.now, max(loss, 0)))
        day = [lost for at, lost in self.losses if at > world.now - 86_400]
        assert sum(day) <= LIMITS.max_daily_loss_ppm / 10**6 + TICK * len(day), day

    def fair_worth(self) -> int:
        """Return all that the vault owns, counted at the price 1 whatever the pool's is."""
        world = self.world
        with world.undone():
            before = world.balances(OWNER)
            world.tell(OWNER, "claim_fees()")
            fees = sum(world.balances(OWNER)) - sum(before)
        inside = sum(sum(amounts_for_liquidity(Q96, p.range, p.liquidity)) for p in world.positions())
        return sum(world.balances(world.vault)) + inside + fees

    @invariant()
    def the_owner_gets_everything(self) -> None:
        """At once, at the present price; at price 1 it is what was counted."""
        world, worth = self.world, self.fair_worth()
        with world.undone():
            world.tell(GUARDIAN, "pause()")
            got = world.owned_if_closed()
            world.push_to(Q96)
            assert sum(world.owned_if_closed()) >= worth - DUST
            ranges = [p.range for p in world.positions()]
            world.tell(OWNER, "withdraw_all()")
            assert world.balances(world.vault) == (0, 0)
            assert not any(world.liquidity_of(world.vault, r.tick_lower, r.tick_upper) for r in ranges)
        assert sum(got) > 0

    @invariant()
    def nobody_else_is_paid(self) -> None:
        """No token ever goes to the keeper, the guardian or a stranger."""
        assert self.world.balances(KEEPER) == self.world.balances(GUARDIAN) == (0, 0)
        assert self.world.balances(ATTACKER) == self.bystanders


def _open(lower: int, width: int, share0: float, share1: float) -> VaultOpen:
    return opening(lower, lower + 60 * width, int(10 * UNIT * share0), int(10 * UNIT * share1))


def _swap(zero_for_one: bool, share: float) -> VaultSwap:  # noqa: FBT001 - the contract's order
    return any_swap(zero_for_one, int(10 * UNIT * share))


def test_no_sequence_takes_more_than_the_budgets() -> None:
    Theft.outcomes.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call] # hypothesis ships it untyped
        Theft,
        settings=settings(
            max_examples=70,
            stateful_step_count=30,
            derandomize=True,
            phases=(Phase.generate,),  # a shorter example of a theft would take minutes to find
            suppress_health_check=list(HealthCheck),
        ),
    )
    seen = Theft.outcomes
    assert min(seen["done"], seen["swapped"]) > 10 and min(seen["loss"], seen["daily loss"]) > 0, seen
