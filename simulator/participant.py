"""Who takes part in a round or a replay: a fork with its account, what was answered, and the plan that waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from simulator.engine import AnyPool
from simulator.fork import Fork
from simulator.ledger import Account
from simulator.plan import Desired, InvalidPlan, Plan, make_plan
from simulator.pool import PoolRevert
from simulator.portfolio import Portfolio
from simulator.recovery import Happening
from simulator.valuation import Prices

Name = TypeVar("Name")  # of a participant: a hotkey in a round, its place in a replay


class Outcome(StrEnum):
    """How a participant's round went, by whose fault (design §4.9)."""

    ACCEPTED = "accepted"  # at least one plan was carried out
    KEPT = "kept"  # answered, and never changed anything
    REFUSED = "refused"  # at the first ask: not part of the round
    TIMEOUT = "timeout"  # at the first ask: not part of the round
    INVALID = "invalid"  # some answer was invalid: scored, cannot win


class Noted(StrEnum):
    """What one answer to one ask came to."""

    PLANNED = "planned"
    KEPT = "kept"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class AnswerNote:
    """The verdict on one answer; `plan` where it changes something."""

    noted: Noted
    detail: str
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What one participant is shown at a checkpoint."""

    portfolio: Portfolio
    rebalances: int
    foreign_liquidity: int  # in range on this participant's fork, its own excluded
    opening_total: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PoolView:
    """The real pool at a checkpoint, as the base fork holds it."""

    sqrt_price_x96: int
    tick: int
    liquidity: int

    @classmethod
    def of(cls, pool: AnyPool) -> PoolView:
        """Return a pool as it stands."""
        return cls(pool.sqrt_price_x96, pool.tick, pool.liquidity)


@dataclass(frozen=True, slots=True)
class Checkpoint(Generic[Name]):
    """A checkpoint: whom to ask, about which block, and what to show. `block_hash` is empty in a replayed flow."""

    index: int
    block_number: int
    block_hash: str
    timestamp: int
    effective_block: int
    pool: PoolView
    shown: Mapping[Name, Shown]


@dataclass(slots=True)
class Participant:
    """One participant's fork and standing. On chain the fork is the real vault: it changes as that does, and plans are
    the executor's to carry out.
    """

    account: Account
    is_on_chain: bool = False
    is_asked: bool = True
    is_out: bool = False
    is_withdrawn: bool = False
    outcome: Outcome = Outcome.KEPT
    pending: Plan | None = None

    def shown(self) -> Shown:
        """Return what is shown to it now."""
        account, fork = self.account, self.fork_shown()
        return Shown(fork.portfolio(), account.rebalances, fork.foreign_liquidity(), account.opening.total)

    def fork_shown(self) -> Fork:
        """Return the fork as it is shown and judged: what gifts have paid for is not owed to anybody."""
        fork = self.account.fork
        if fork.idle0 >= 0 and fork.idle1 >= 0:
            return fork
        shown = fork.copy()
        shown.idle0, shown.idle1 = max(fork.idle0, 0), max(fork.idle1, 0)
        return shown

    def desire(self, desired: Sequence[Desired]) -> AnswerNote:
        """Take what it wants to hold from the next effective block on, judged on its fork as it stands."""
        plan = make_plan(self.fork_shown(), desired)
        if isinstance(plan, InvalidPlan):
            self.outcome = Outcome.INVALID
            return AnswerNote(Noted.INVALID, plan.reason)
        if plan.is_keep:
            return AnswerNote(Noted.KEPT, "")
        self.pending = None if self.is_on_chain else plan
        if self.outcome is Outcome.KEPT:
            self.outcome = Outcome.ACCEPTED
        return AnswerNote(Noted.PLANNED, "", plan)

    def settle(self, prices: Prices, *, is_effective: bool) -> None:
        """Mark its account at these base prices; at an effective block, carry out the plan that waits."""
        if is_effective and self.pending is not None:
            plan, self.pending = self.pending, None
            self.account.rebalance(plan, prices)
        else:
            self.account.mark(prices)

    def live_through(self, happening: Happening, timestamp: int, prices: Callable[[], Prices]) -> None:
        """Let what another party did happen on its fork; `prices` are the base's afterwards."""
        try:
            self.account.fork.apply_foreign(happening, timestamp)
        except PoolRevert:
            self.withdraw(prices())

    def withdraw(self, prices: Prices) -> None:
        """Close everything: on its fork something has become impossible that did happen. A fork in which it is
        impossible has made itself so: its sender's fault. Its positions are withdrawn at its own cost and it is scored
        to the end, or losers would leave this way.
        """
        self.is_asked, self.is_withdrawn, self.pending = False, True, None
        self.outcome = Outcome.INVALID
        self.account.rebalance(Plan((), self.account.fork.ranges, (), None, ()), prices)
