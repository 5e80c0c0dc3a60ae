"""Attacks inside a round on what a score is made of: direction, fees, own liquidity, gas, timing, and borrowed names.

As in `test_round_attacks`: first without the one defence, where the attack pays, then with it, where it does not, and
where the honest miner's result is bit-identical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.arena import (
    ATTACKER,
    GAS,
    HONEST,
    INTERVAL,
    UNIT,
    Arena,
    calm,
    defended,
    keep,
    once,
    rising,
    shown,
    undefended,
)
from support.rows import CHAIN_TIME, make_finish, make_score, open_round
from support.signed_rounds import MINER_KEYS, narrow, play, signed_opening
from support.worlds import FREE_GAS, Chain

import simulator.query
from db.store import Store
from protocol.messages import RebalanceQuery
from protocol.units import Q192, BlockNumber, Hotkey, JobId
from simulator.answers import Answer, Positions
from simulator.fork import Fork, Inventory
from simulator.ledger import Account, GasPolicy, Ledger
from simulator.opening import Schedule
from simulator.participant import Outcome
from simulator.plan import Desired, Execution, Plan, execute_plan
from simulator.portfolio import Range
from simulator.recovery import Happening
from simulator.round import Ask, Round
from simulator.valuation import Prices
from validator.metagraph import Identity
from validator.reputation import advance
from validator.weights import JobStandings, compute_weights, standings

WIDE, NARROW, BELOW = Range(-6000, 6000), Range(-120, 120), Range(-60_000, -54_000)


def fees_of_traders(script: Any, blocks: int = 24) -> int:
    """Return what all swaps of a script pay in fees, at price 1, in X192."""
    chain = Chain(Arena(script).opening().snapshot)
    paid = 0
    for block in range(1, blocks + 1):
        script(chain, block)
        paid += sum(max(e.amount0, e.amount1) for e in chain.block().events)  # type: ignore[type-var, operator] # swaps only
    return paid * 3 * Q192 // 1000


# --- Luck ------------------------------------------------------------------------------------------------------------


def test_price_drift_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn everything into the token that rises. It gets richer, and that is no merit."""
    attack = once(Desired(BELOW, 38 * UNIT, 0))  # no liquidity there for token0: bought, and held idle
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "excess_x192", property(lambda ledger: ledger.w_close_x192 - ledger.w_open_x192))
        contest = undefended(Arena(rising), attack)
        assert contest.winner() == ATTACKER and contest.score(ATTACKER) > 10**16
    contest = defended(Arena(rising), attack, keep)
    assert contest.ledger(ATTACKER).w_close_x192 > contest.ledger(HONEST).w_close_x192
    assert contest.score(ATTACKER) < 0 and contest.winner() == HONEST
    mine = contest.ledger(ATTACKER)
    assert mine.excess_x192 == -mine.swap_cost_x192 - mine.gas_x192, "what it is left with is the price of its swap"


# --- Liquidity -------------------------------------------------------------------------------------------------------


def test_own_liquidity_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the pool's own depth, credited with fees as if it did not dilute them: more than all traders pay."""
    edges = ((-887220, 887220, 10**23), (-120, 120, 1))  # so that the range's ticks exist without the vault
    arena = Arena(inventory=Inventory(3000 * UNIT, 3000 * UNIT), foreign=edges)
    attack = once(Desired(NARROW, 2900 * UNIT, 2900 * UNIT))

    def as_if_alone(fork: Fork, happening: Happening, timestamp: int) -> None:
        held = fork.portfolio().holdings
        for h in held:
            fork.pool.apply_liquidity(h.range.tick_lower, h.range.tick_upper, -h.liquidity)
        real(fork, happening, timestamp)
        for h in held:
            fork.pool.apply_liquidity(h.range.tick_lower, h.range.tick_upper, h.liquidity)

    real = Fork.apply_foreign
    everything = fees_of_traders(calm)
    with monkeypatch.context() as patch:
        patch.setattr(Fork, "apply_foreign", as_if_alone)
        assert undefended(arena, attack).ledger(ATTACKER).fees_x192 > 3 * everything
    contest = defended(arena, attack)
    mine = contest.ledger(ATTACKER)
    own = mine.closing.holdings[0].liquidity
    share = Fraction(own, own + 10**23 + 1)
    assert 0 < mine.fees_x192 < everything * share
    assert contest.of(ATTACKER).is_over_share


def test_one_spacing_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrowest range earns the most a token while the price is there; what it then loses belongs to it, too."""
    arena = Arena(rising, tick=30)
    attack = once(Desired(Range(60, 120), 18 * UNIT, 0), Desired(Range(120, 180), 2 * UNIT, 0))

    def without_lvr(ledger: Ledger) -> int:
        return ledger.fees_x192 - ledger.swap_cost_x192 - ledger.gas_x192 - ledger.dust_x192

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "excess_x192", property(without_lvr))
        assert undefended(arena, attack, keep).winner() == ATTACKER
    contest = defended(arena, attack, keep)
    assert contest.ledger(ATTACKER).fees_x192 > 0
    assert contest.score(ATTACKER) < 0 and contest.winner() == HONEST


def test_principal_counted_as_fees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close and reopen at every checkpoint: if what a close pays out were income, principal would be earned again."""

    def attack(ask: Ask, me: Hotkey) -> Answer:
        return Positions((Desired(Range(-600 - 60 * ask.index, 600), 15 * UNIT, 15 * UNIT),))

    def careless(account: Account, plan: Plan, prices: Prices) -> Execution:
        account.mark(prices)
        execution = execute_plan(account.fork, plan)
        for closed in execution.closed:
            income = prices.value(closed.principal0, closed.principal1)
            account._sums.fees += income
            account._sums.lvr += income  # so that the two accounts still agree
        account._charge(execution)
        account._remember(account.fork.read())
        return execution

    with monkeypatch.context() as patch:
        patch.setattr(Account, "rebalance", careless)
        assert undefended(Arena(), attack).ledger(ATTACKER).fees_x192 > 50 * UNIT * Q192
    contest = defended(Arena(), attack)
    mine = contest.ledger(ATTACKER)
    assert mine.rebalances == 4
    assert 0 < mine.fees_x192 < fees_of_traders(calm) * mine.max_share_ppm // 10**6


# --- Costs -----------------------------------------------------------------------------------------------------------


def churn(ask: Ask, me: Hotkey) -> Answer:
    """Place everything around the price again, at every checkpoint."""
    middle = ask.pool.tick // 60 * 60
    total0, total1 = ask.shown[me].portfolio.total
    return Positions((Desired(Range(middle - 600, middle + 660), total0, total1),))


def test_free_rebalances(monkeypatch: pytest.MonkeyPatch) -> None:
    """With expensive gas a plan at every checkpoint costs more than it earns."""
    arena = Arena(gas=replace(GAS, price_wei=10**11))
    with monkeypatch.context() as patch:
        patch.setattr(GasPolicy, "cost", lambda *_: (0, 0))
        assert undefended(arena, churn, keep).winner() == ATTACKER
    contest = defended(arena, churn, keep)
    assert contest.score(ATTACKER) < 0 and contest.winner() == HONEST
    assert contest.ledger(ATTACKER).rebalances == 4


def test_dust_spam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty positions of a unit each, replaced at every checkpoint: work for everybody, unless it is paid for."""

    def attack(ask: Ask, me: Hotkey) -> Answer:
        return Positions(tuple(Desired(Range(60 * i, 60 * i + 60 * (ask.index + 1)), 1, 1) for i in range(50)))

    with monkeypatch.context() as patch:
        patch.setattr(GasPolicy, "cost", lambda *_: (0, 0))
        assert undefended(Arena(), attack).score(ATTACKER) > -100, "of 10**18"
    contest = defended(Arena(), attack)
    assert contest.score(ATTACKER) < -(10**16)
    assert contest.ledger(ATTACKER).gas > 3 * 50 * 300_000


def wash(ask: Ask, me: Hotkey) -> Answer:
    """Swap 100 there and back through one's own position, which is kept: the fees of one's own swaps come home."""
    idle0 = ask.shown[me].portfolio.idle0
    wish = Desired(BELOW, idle0 + 100 * UNIT, 0) if ask.index % 2 == 1 else None
    if ask.index % 2 == 0 and ask.index > 0:
        wish = Desired(Range(54_000, 60_000), 0, ask.shown[me].portfolio.idle1 + 100 * UNIT)
    opened = [d for d in shown(ask, me) if d.range == Range(-600, 600)]
    if ask.index == 0:
        return Positions((Desired(Range(-600, 600), 1000 * UNIT, 1000 * UNIT),))
    return Positions((*opened, wish)) if wish is not None else Positions(tuple(opened))


def test_wash_trading_through_ones_own_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nineteen twentieths of the pool are its own, and still every round trip costs more than it brings."""
    arena = Arena(lambda _chain, _block: None, Inventory(2000 * UNIT, 2000 * UNIT), FREE_GAS, 0, ((-600, 600, 10**21),))

    def at_no_cost(fork: Fork, *, zero_for_one: bool, amount_specified: int) -> tuple[int, int]:
        """The pool sees the swap and pays its fees; the vault is charged the bare value, at the price of 1."""
        bought = -amount_specified
        fork.pool.swap(zero_for_one, amount_specified, None)
        amounts = (bought, -bought) if zero_for_one else (-bought, bought)
        fork.idle0, fork.idle1 = fork.idle0 - amounts[0], fork.idle1 - amounts[1]
        return amounts

    with monkeypatch.context() as patch:
        patch.setattr(Fork, "swap", at_no_cost)
        contest = undefended(arena, wash, keep)
        assert contest.winner() == ATTACKER and contest.ledger(ATTACKER).turnover_x192 > 250 * UNIT * Q192
    contest = defended(arena, wash, keep)
    mine = contest.ledger(ATTACKER)
    assert mine.turnover_x192 > 250 * UNIT * Q192 and mine.fees_x192 > UNIT * Q192 // 2, "it did trade with itself"
    assert mine.swap_cost_x192 > mine.fees_x192 - mine.lvr_x192
    assert contest.score(ATTACKER) < 0 and contest.winner() == HONEST


# --- Time ------------------------------------------------------------------------------------------------------------


def burst(chain: Chain, block: int) -> None:
    """All the trade there is happens in the block after every other checkpoint."""
    if block % (2 * INTERVAL) == 1:
        for zero_for_one in (True, False, True, False):
            chain.swap(zero_for_one, 500 * UNIT)


def just_in_time(ask: Ask, me: Hotkey) -> Answer:
    """Answer at the last moment of the deadline, one block later, having seen that block; then get out."""
    seen = ask.block_number + 1 - 1000
    return Positions((Desired(NARROW, 18 * UNIT, 18 * UNIT),) if seen % (2 * INTERVAL) == 1 else ())


def test_trading_on_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that took effect right after its checkpoint would be there for trade that its author has already seen."""
    with monkeypatch.context() as patch:
        patch.setattr(Schedule, "delay_blocks", property(lambda _schedule: 1))
        contest = undefended(Arena(burst), just_in_time, keep)
        assert contest.winner() == ATTACKER and contest.score(ATTACKER) > 0
    contest = defended(Arena(burst), just_in_time, keep)
    assert contest.ledger(ATTACKER).fees_x192 == 0
    assert contest.score(ATTACKER) < 0 and contest.winner() == HONEST


@dataclass(frozen=True, slots=True)
class Early(Positions):
    """An answer that arrived at once."""


def test_answering_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """If plans took effect when they arrive, the faster of two equal miners would have earned more."""

    def attack(ask: Ask, me: Hotkey) -> Answer:
        answer = once(Desired(Range(-600, 600), 18 * UNIT, 18 * UNIT))(ask, me)
        assert isinstance(answer, Positions)
        return Early(answer.desired)

    def on_arrival(engine: Round, participant: Any, answer: Answer, *, is_first: bool) -> Any:
        note = real(engine, participant, answer, is_first=is_first)
        if isinstance(answer, Early) and participant.pending is not None:
            participant.account.rebalance(participant.pending, participant.account.prices)
            participant.pending = None
        return note

    real = Round._note
    with monkeypatch.context() as patch:
        patch.setattr(Round, "_note", on_arrival)
        contest = undefended(Arena(), attack)
        assert contest.score(ATTACKER) > contest.score(HONEST) and contest.winner() == ATTACKER
    contest = defended(Arena(), attack)
    assert replace(contest.of(ATTACKER), hotkey=HONEST) == contest.of(HONEST)


# --- Names -----------------------------------------------------------------------------------------------------------


def test_answers_to_another_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat, properly signed, what somebody else answered. Every ask has an id of its own, and the answer names it."""
    overheard: list[bytes] = []

    def speak(query: RebalanceQuery) -> bytes:
        overheard.append(narrow(query))
        return overheard[-1]

    def parrot(_query: RebalanceQuery) -> bytes:
        return overheard[-1]

    def outcomes() -> Sequence[tuple[Outcome, bool]]:
        run = play(signed_opening(), (speak, parrot))
        return [(p.outcome, p.can_win) for p in run.engine.result().participants]

    assert len(MINER_KEYS) == 2
    with monkeypatch.context() as patch:
        patch.setattr(simulator.query, "request_id", lambda *_: "0" * 32)
        assert outcomes() == [(Outcome.ACCEPTED, True), (Outcome.ACCEPTED, True)]
    assert outcomes() == [(Outcome.ACCEPTED, True), (Outcome.INVALID, False)]
    alone = play(signed_opening(), (speak, lambda _query: None)).engine.result()
    assert alone.participants[0] == play(signed_opening(), (speak, parrot)).engine.result().participants[0]


@pytest.mark.parametrize(("registered_anew", "inherits"), [(100, True), (900, False)])
async def test_a_recycled_hotkey_inherits_nothing(tmp_path: Path, registered_anew: int, *, inherits: bool) -> None:
    """A miner leaves with a reputation; its hotkey comes back as somebody else's and does nothing.

    The defence is the block of registration that goes with a hotkey everywhere. Were it the same for both (the first
    case), the newcomer would be paid for what the old one did.
    """
    today = date(2023, 11, 14)
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True, clock=lambda: CHAIN_TIME) as store:
        for number, registered, score in ((1, 100, 10**17), (2, registered_anew, 0)):
            start = await open_round(store, number)
            played = make_score("recycled", score, registered_at_block=registered)
            honest = make_score("honest", 10**15)
            await store.finish_round(make_finish(start, played, honest), advance)
        reputations = await store.reputations(JobId("weth-usdc"))
        days = await store.participation(JobId("weth-usdc"), since_day=today)
    weights = compute_weights([JobStandings(1, standings(reputations, days, today=today))])
    assert (Identity(Hotkey("recycled"), BlockNumber(registered_anew)) in weights) == inherits
    assert weights[Identity(Hotkey("honest"), BlockNumber(100))] == (1 if not inherits else Fraction(19, 919))
