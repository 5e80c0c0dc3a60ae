"""What if: any number of portfolios through the same flow, each on a fork of its own, with the round's own accounts.

A replay is a round without the chain: the same participants, timetable, plans and ledgers, driven in long stretches
between decisions, so that the native engine takes a stretch on all forks in one call. The base fork gives the prices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import SimulationError
from protocol.units import Q192
from simulator.course import Asking, Course
from simulator.engine import AnyPool, Engine, default_engine, engine_for, pool_from_snapshot
from simulator.flow import Flow
from simulator.fork import Fork
from simulator.ledger import Account, GasPolicy, Ledger
from simulator.opening import Schedule
from simulator.participant import Checkpoint, Noted, Outcome, Participant, PoolView
from simulator.plan import Desired
from simulator.pool import PoolRevert
from simulator.portfolio import VaultState
from simulator.scoring import score_round
from simulator.sharing import Reach, Trail, reach_of
from simulator.stretch import Changes, Lived, Mark, Step, steps_on, take_step
from simulator.valuation import Numeraire, Prices

Decide: TypeAlias = Callable[[Checkpoint[int]], Mapping[int, Sequence[Desired]]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A portfolio to be tried: the vault at the snapshot and, where given, what it is turned into there and then."""

    vault: VaultState
    desired: tuple[Desired, ...] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How candidates are measured, the same for all: the unit of value and the price of gas, as in a job's rounds, and
    the schedule of checkpoints, marks and the end. Without one the whole flow is played and nobody is asked.
    """

    numeraire: Numeraire
    gas: GasPolicy
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """What every candidate came to, in their order. `faults` say what made an outcome invalid, "" where nothing did.
    Each fork has `steps` to take; `steps_run` were taken by all together, in the others forks went where the base went.
    """

    ledgers: tuple[Ledger, ...]
    outcomes: tuple[Outcome, ...]
    faults: tuple[str, ...]
    steps: int
    steps_run: int

    def scores(self, benchmark: int = 0) -> tuple[int, ...]:
        """Return each candidate's score (1e-18) against one of them, which opened with the same value.

        Raises SimulationError where there is no such candidate.
        """
        if not 0 <= benchmark < len(self.ledgers):
            raise SimulationError(f"there is no candidate {benchmark} among {len(self.ledgers)} to score against")
        return tuple(score_round(ledger, self.ledgers[benchmark]) for ledger in self.ledgers)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the ledgers as arrays of shape (n_candidates,); see `columns_of`."""
        return columns_of(self.ledgers)


def replay(
    flow: Flow,
    candidates: Sequence[Candidate],
    terms: Terms,
    *,
    decide: Decide | None = None,
    engine: Engine | None = None,
    threads: int = 1,
    sharing: bool = True,
) -> Replay:
    """Return what portfolios come to over a flow, each alone with it.

    Parameters: decide  is shown every candidate at each checkpoint and returns, for those (by index) that are to
                change, all they are to hold from the effective block on   ·   engine  None: the fastest there is
                threads  of the native engine   ·   sharing  False: forks that go where the base goes are run, too
    Returns:    ledgers equal to those of a round with the same decisions, whatever the engine, threads and sharing
    Rounding:   the ledger's
    Raises:     SimulationError when the flow is impossible on its own snapshot or ends before the schedule
    Source:     design §4
    """
    run = _Run(flow, candidates, terms, engine or default_engine(), threads=threads, sharing=sharing)
    run.start(candidates)
    for stop in run.course.stops:
        run.live_until(stop.step)
        if stop.asking is None:
            run.carry_out()
        elif decide is not None:
            run.ask(stop.asking, decide)
    run.live_until(len(run.course.steps))
    return run.close()


class _Run:
    """A replay under way: the base fork and every candidate's stand before step `_at`."""

    def __init__(
        self, flow: Flow, candidates: Sequence[Candidate], terms: Terms, engine: Engine, *, threads: int, sharing: bool
    ) -> None:
        self.course = Course.of(flow, terms.schedule)
        self._steps = steps_on(engine_for(flow.snapshot, engine), self.course.steps, threads=threads)
        self._numeraire = terms.numeraire
        self._base = pool_from_snapshot(flow.snapshot, engine=engine)
        self._at = 0
        self._steps_run = 0
        self._checkpoints = 0
        self._participants = self._open(candidates, terms.gas)
        self._may_share = [sharing and not candidate.vault.in_pool for candidate in candidates]
        self._asleep: dict[int, Reach] = {}
        self._faults = [""] * len(candidates)

    def _open(self, candidates: Sequence[Candidate], gas: GasPolicy) -> list[Participant]:
        prices = self._prices()
        opened: dict[VaultState, Fork] = {}
        participants = []
        for candidate in candidates:
            if candidate.vault not in opened:
                opened[candidate.vault] = Fork.with_vault(self._base.copy(), candidate.vault)
            fork = opened[candidate.vault].copy()
            participants.append(Participant(Account(fork, gas, prices, self._base.timestamp)))
        return participants

    def start(self, candidates: Sequence[Candidate]) -> None:
        """Turn every candidate into what it desires at the opening."""
        for index, candidate in enumerate(candidates):
            if candidate.desired is not None:
                self._desire(index, candidate.desired)
                self._participants[index].settle(self._prices(), is_effective=True)
            self._fall_asleep(index)

    def _desire(self, index: int, desired: Sequence[Desired]) -> None:
        note = self._participants[index].desire(desired)
        if note.noted is Noted.INVALID:
            self._faults[index] = self._faults[index] or note.detail

    def _prices(self) -> Prices:
        return self._numeraire.prices(self._base.sqrt_price_x96)

    def _fall_asleep(self, index: int) -> None:
        reach = reach_of(self._participants[index].account.fork, self._base) if self._may_share[index] else None
        if reach is not None:
            self._asleep[index] = reach

    def live_until(self, end: int) -> None:
        """Let all steps up to `end` happen: on the base first, then on the forks that cannot follow it."""
        before = self._base.copy()
        trail = self._move_base(self.course.steps[self._at : end])
        starts = {i: 0 for i, p in enumerate(self._participants) if not p.is_withdrawn and i not in self._asleep}
        starts |= self._wake(before, trail)
        forks = [self._participants[index].account.fork for index in starts]
        marks = {
            self._at + at: self._numeraire.prices(price)
            for at, ((_, what), price) in enumerate(zip(trail.steps, trail.sqrt_prices_x96, strict=True))
            if isinstance(what, Mark)
        }
        prices = [*marks.values(), *list(marks.values())[-1:]]  # nothing changes after the last
        changes = {step: after.less(now) for step, (now, after) in zip(marks, pairwise(prices), strict=True)}
        lives = self._steps.run(forks, [self._at + start for start in starts.values()], end, changes)
        for (index, start), life in zip(starts.items(), lives, strict=True):
            self._book(index, life, [step for step in marks if step >= self._at + start], marks, changes, trail)
            self._steps_run += (end if life.stopped_at is None else life.stopped_at) - self._at - start
        self._at = end

    def _move_base(self, steps: Sequence[Step]) -> Trail:
        prices_x96 = []
        for step in steps:
            try:
                take_step(self._base, step)
            except PoolRevert as revert:
                raise SimulationError(
                    "the flow is impossible on its own snapshot", timestamp=step[0], reason=revert.reason
                ) from revert
            prices_x96.append(self._base.sqrt_price_x96)
        return Trail(steps, prices_x96)

    def _wake(self, walker: AnyPool, trail: Trail) -> dict[int, int]:
        """Move every fork that can follow the base no further to the step where that is so; return it by index.

        `walker` stands where the trail begins, and is moved.
        """
        found = ((index, trail.first_outside(reach)) for index, reach in self._asleep.items())
        woken = sorted((step, index) for index, step in found if step is not None)
        at = 0
        for step, index in woken:
            for passed in trail.steps[at:step]:
                take_step(walker, passed)
            at = step
            self._participants[index].account.fork.rejoin(walker)
            del self._asleep[index]
        return {index: step for step, index in woken}

    def _book(
        self, index: int, life: Lived, steps: Sequence[int], marks: Mapping[int, Prices], changes: Changes, trail: Trail
    ) -> None:
        """Book what a fork lived through, in which it came to the first of the marks at these steps or to all."""
        account = self._participants[index].account
        if life.marks.count:
            last = steps[life.marks.count - 1]
            account.mark_all(life.marks, marks[steps[0]], marks[last], changes[last])
        account.let_pass(account.fork.pool.timestamp, life.in_range_s)
        if life.stopped_at is not None:
            price_x96 = trail.sqrt_prices_x96[life.stopped_at - self._at]
            self._participants[index].withdraw(self._numeraire.prices(price_x96))
            self._faults[index] = self._faults[index] or "its own liquidity left others no room"

    def carry_out(self) -> None:
        """Carry out the plans that wait. All accounts were marked at this step; doing that again changes nothing."""
        prices = self._prices()
        for index, participant in enumerate(self._participants):
            if participant.pending is not None:
                if self._asleep.pop(index, None) is not None:
                    participant.account.fork.rejoin(self._base)
                participant.settle(prices, is_effective=True)
                self._fall_asleep(index)

    def ask(self, now: Asking, decide: Decide) -> None:
        """Show every fork that still takes part as it stands, and take what is decided."""
        for index in self._asleep:
            self._participants[index].account.fork.rejoin(self._base)
        shown = {index: p.shown() for index, p in enumerate(self._participants) if p.is_asked}
        where = (now.block_number, "", now.timestamp, now.effective_block)
        decided = decide(Checkpoint(self._checkpoints, *where, PoolView.of(self._base), shown))
        self._checkpoints += 1
        if not decided.keys() <= shown.keys():
            raise SimulationError("a decision is for a fork that is not shown", block=now.block_number)
        for index, desired in decided.items():
            self._desire(index, desired)

    def close(self) -> Replay:
        """Close every account at the base's price."""
        prices = self._prices()
        for participant in self._participants:
            participant.account.let_pass(self.course.end_timestamp, 0)
        return Replay(
            tuple(participant.account.close(prices) for participant in self._participants),
            tuple(participant.outcome for participant in self._participants),
            tuple(self._faults),
            len(self.course.steps),
            self._steps_run,
        )


def replay_all(
    flows: Sequence[Flow],
    candidates: Sequence[Candidate],
    terms: Terms,
    *,
    decide: Decide | None = None,
    engine: Engine | None = None,
    threads: int = 1,
) -> tuple[Replay, ...]:
    """Return `replay` for every flow: what the same decisions come to in each of several futures."""
    return tuple(replay(flow, candidates, terms, decide=decide, engine=engine, threads=threads) for flow in flows)


def columns_of(ledgers: Sequence[Ledger]) -> dict[str, NDArray[Any]]:
    """Return ledgers as arrays.

    Parameters: ledgers  of one numéraire
    Returns:    arrays of shape (n_ledgers,), named as the ledger's fields. Values (`_x192` there, `_value` here) are
                float64 in whole units of the numéraire, tokens float64 in raw units, all others int64
    Rounding:   to the nearest float; the ledgers stay the exact ones
    Source:     design §4.7
    """
    columns: dict[str, NDArray[Any]] = {}
    for name in (*(f.name for f in fields(Ledger)), "excess_x192", "divergence_loss_x192"):
        if name in ("opening", "closing"):
            totals = [getattr(ledger, name).total for ledger in ledgers]
            for token in (0, 1):
                columns[f"{name}_amount{token}"] = np.array([total[token] for total in totals], dtype=np.float64)
        elif name.endswith("_x192"):
            values = [getattr(ledger, name) / Q192 for ledger in ledgers]
            columns[name.replace("_x192", "_value")] = np.array(values, dtype=np.float64)
        else:
            kind = np.float64 if name in ("fees0", "fees1") else np.int64
            columns[name] = np.array([getattr(ledger, name) for ledger in ledgers], dtype=kind)
    return columns
