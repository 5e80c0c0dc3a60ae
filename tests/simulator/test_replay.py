"""A replay is the round: ledger for ledger, on either engine, with any number of threads, shared or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from support.what_ifs import FAR, GAS, HOW, UNIT, assert_same, random_world
from support.worlds import START_TIME, Chain, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Q192
from simulator.course import Course
from simulator.engine import Engine
from simulator.events import LiquidityEvent
from simulator.flow import Flow
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.ledger import Account, Ledger
from simulator.math.liquidity_amounts import get_amount0_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.opening import Schedule
from simulator.participant import Checkpoint, Outcome
from simulator.plan import Desired, Plan, make_plan
from simulator.portfolio import Range
from simulator.recovery import RecoveredCall
from simulator.replay import Candidate, Terms, columns_of, replay, replay_all
from simulator.valuation import Numeraire, QuoteToken, Target

WIDE, ABOVE = Range(-1200, 1200), Range(600, 900)
SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_world_is_replayed_as_the_round_played_it(seed: int) -> None:
    what_if = random_world(seed)
    result = what_if.in_a_round()
    for engine, threads in HOW:
        for sharing in (True, False):
            assert_same(what_if.replayed(engine=engine, threads=threads, sharing=sharing), result)
        assert what_if.in_a_round(engine) == result


def test_the_random_worlds_hold_everything_that_a_replay_must_get_right() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        what_if = random_world(seed)
        replayed = what_if.replayed(engine=HOW[-1][0])
        seen.update(replayed.outcomes)
        seen["not run"] += replayed.steps * len(replayed.ledgers) - replayed.steps_run
        seen["run"] += replayed.steps_run
        seen["withdrawn"] += replayed.outcomes[1] is Outcome.INVALID and not replayed.ledgers[1].closing.holdings
        for ledger in replayed.ledgers:
            seen["swapped"] += ledger.swap_cost_x192 != 0
            seen["sometimes in range"] += 0 < ledger.in_range_s < ledger.duration_s
    assert min(seen[outcome] for outcome in ("accepted", "kept", "invalid")) >= 20
    assert seen["withdrawn"] >= 10 and seen["swapped"] >= 30 and seen["sometimes in range"] >= 50
    assert min(seen["run"], seen["not run"]) > 1000


def small_flow(swaps: int = 30) -> Flow:
    """Return a market that goes up and down by some 60 ticks, a swap in each of its blocks."""
    snapshot = make_snapshot()
    chain = Chain(snapshot)
    blocks = []
    for step in range(swaps):
        chain.swap(step % 4 < 2, 2 * UNIT)
        blocks.append(chain.block())
    return Flow.recover(snapshot, blocks)


def terms(flow: Flow, schedule: Schedule | None = None) -> Terms:
    opening = flow.snapshot.sqrt_price_x96
    return Terms(Numeraire(Target.MAX_VALUE, QuoteToken.TOKEN1, 0, 0, opening), GAS, schedule)


def test_a_candidate_is_turned_into_what_it_desires_before_the_first_block() -> None:
    """By the same account as everything else: gas, swap cost and dust are booked."""
    flow = small_flow()
    vault = virtual_vault(flow.snapshot, Inventory(UNIT, 9 * UNIT))
    desired = (Desired(WIDE, 2 * UNIT, 2 * UNIT), Desired(ABOVE, UNIT // 2, 0))
    replayed = replay(flow, [Candidate(vault), Candidate(vault, desired)], terms(flow))
    fork = Fork.from_opening(flow.snapshot, vault)
    prices = terms(flow).numeraire.prices(flow.snapshot.sqrt_price_x96)
    account = Account(fork, GAS, prices, START_TIME)
    plan = make_plan(fork, desired)
    assert isinstance(plan, Plan) and plan.swap is not None
    account.rebalance(plan, prices)
    for block in flow.blocks:
        account.tick_clock(block.timestamp)
        if (block.timestamp - START_TIME) % 300 == 0:
            account.mark(terms(flow).numeraire.prices(base_price(flow, block.number)))
        for happening in block.happenings:
            fork.apply_foreign(happening, block.timestamp)
    end = terms(flow).numeraire.prices(base_price(flow, flow.blocks[-1].number + 1))
    assert replayed.ledgers[1] == account.close(end)
    assert replayed.outcomes == (Outcome.KEPT, Outcome.ACCEPTED)
    assert replayed.ledgers[1].swap_cost_x192 > 0 and replayed.ledgers[1].in_range_s == 360
    assert replayed.scores()[0] == 0 != replayed.scores()[1]
    with pytest.raises(SimulationError, match="no candidate 2 among 2"):
        replayed.scores(2)


def base_price(flow: Flow, before_block: int) -> int:
    """Return the base fork's price before a block's first event."""
    fork = Fork.from_opening(flow.snapshot, virtual_vault(flow.snapshot, Inventory(1, 1)))
    for block in flow.blocks:
        if block.number < before_block:
            for happening in block.happenings:
                fork.apply_foreign(happening, block.timestamp)
    return fork.pool.sqrt_price_x96


@pytest.mark.parametrize(("engine", "threads"), HOW)
def test_a_fork_that_leaves_others_no_room_is_withdrawn_at_once_and_left_alone(engine: Engine, threads: int) -> None:
    """The mint that is impossible on it happens in block 8; at the checkpoint after that only the other is asked."""
    snapshot = make_snapshot()
    chain, blocks = Chain(snapshot), []
    for step in range(1, 13):
        chain.swap(True, UNIT)
        if step == 8:
            chain.change_liquidity(FAR.tick_lower, FAR.tick_upper, 10**22)
        blocks.append(chain.block())
    flow = Flow.recover(snapshot, blocks)
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT))
    room = chain.pool.max_liquidity_per_tick - 10**21
    dust = get_amount0_for_liquidity(*map(get_sqrt_ratio_at_tick, (FAR.tick_lower, FAR.tick_upper)), room)
    candidates = [Candidate(vault, (Desired(WIDE, UNIT, UNIT), Desired(FAR, dust, 0))), Candidate(vault)]
    asked: list[list[int]] = []

    def decide(checkpoint: Checkpoint[int]) -> dict[int, tuple[Desired, ...]]:
        asked.append(list(checkpoint.shown))
        return {}

    settings = terms(flow, Schedule(12, 5, 12, 12))
    how = {"engine": engine, "threads": threads}
    replayed = replay(flow, candidates, settings, decide=decide, sharing=False, **how)  # type: ignore[arg-type]
    assert asked == [[0, 1], [0, 1], [1]]
    assert replayed.faults == ("its own liquidity left others no room", "")
    assert replayed.outcomes == (Outcome.INVALID, Outcome.KEPT)
    withdrawn = replayed.ledgers[0]
    assert (withdrawn.closing.holdings, withdrawn.rebalances, withdrawn.in_range_s) == ((), 2, 8 * 12)
    impossible = next(i for i, (_, what) in enumerate(Course.of(flow, settings.schedule).steps) if is_far(what))
    assert replayed.steps_run == replayed.steps + impossible


def is_far(what: object) -> bool:
    return isinstance(what, LiquidityEvent) and what.tick_lower == FAR.tick_lower


def test_a_fork_that_sleeps_is_shown_the_liquidity_of_the_moment() -> None:
    snapshot = make_snapshot()
    chain = Chain(snapshot)
    chain.change_liquidity(-6000, 6000, 10**21)
    chain.swap(True, UNIT)
    flow = Flow.recover(snapshot, [chain.block() for _ in range(12)])
    seen = []

    def decide(checkpoint: Checkpoint[int]) -> dict[int, tuple[Desired, ...]]:
        seen.append((checkpoint.shown[0].foreign_liquidity, checkpoint.pool.liquidity))
        return {}

    idle = Candidate(virtual_vault(snapshot, Inventory(UNIT, UNIT)))
    replayed = replay(flow, [idle], terms(flow, Schedule(12, 4, 12, 12)), decide=decide)
    assert seen == [(10**21, 10**21), (2 * 10**21, 2 * 10**21), (2 * 10**21, 2 * 10**21)]
    assert replayed.steps_run == 0


def test_a_schedule_shorter_than_the_flow_ends_the_replay_and_without_one_nobody_is_asked() -> None:
    flow = small_flow(30)
    vault = virtual_vault(flow.snapshot, Inventory(2 * UNIT, 2 * UNIT, ((WIDE, UNIT, UNIT),)))
    short = replace(flow, blocks=flow.blocks[:12])
    settings = terms(flow, Schedule(12, 4, 12, 12))
    assert replay(flow, [Candidate(vault)], settings) == replay(short, [Candidate(vault)], settings)

    def nobody(_: Checkpoint[int]) -> dict[int, tuple[Desired, ...]]:
        raise AssertionError

    assert replay(flow, [Candidate(vault)], terms(flow), decide=nobody).ledgers[0].duration_s == 30 * 12


def test_scores_are_against_the_candidate_named() -> None:
    flow = small_flow(12)
    vault = virtual_vault(flow.snapshot, Inventory(2 * UNIT, 2 * UNIT, ((WIDE, UNIT, UNIT),)))
    replayed = replay(flow, [Candidate(vault), Candidate(vault, ())], terms(flow))
    first, second = replayed.scores(benchmark=0), replayed.scores(benchmark=1)
    assert first[0] == second[1] == 0 and first[1] == -second[0] != 0


def test_what_cannot_be_desired_leaves_the_candidate_as_it_is() -> None:
    flow = small_flow()
    vault = virtual_vault(flow.snapshot, Inventory(UNIT, UNIT))
    replayed = replay(flow, [Candidate(vault, (Desired(WIDE, 9 * UNIT, 9 * UNIT),))], terms(flow))
    assert replayed.outcomes == (Outcome.INVALID,) and "more than is owned" in replayed.faults[0]
    assert replayed.ledgers[0].closing.holdings == () and replayed.ledgers[0].gas == 0


def test_decisions_are_asked_for_as_in_a_round() -> None:
    flow = small_flow(12)
    vault = virtual_vault(flow.snapshot, Inventory(2 * UNIT, 2 * UNIT, ((WIDE, UNIT, UNIT),)))
    asked: list[Checkpoint[int]] = []

    def decide(checkpoint: Checkpoint[int]) -> dict[int, tuple[Desired, ...]]:
        asked.append(checkpoint)
        return {1: ()} if checkpoint.index == 1 else {}

    schedule = Schedule(12, 4, 12, 12)
    replayed = replay(flow, [Candidate(vault)] * 2, terms(flow, schedule), decide=decide)
    assert [(a.index, a.block_number, a.effective_block) for a in asked] == [
        (0, 1000, 1002),
        (1, 1004, 1006),
        (2, 1008, 1010),
    ]
    assert asked[1].timestamp == START_TIME + 48 and asked[1].pool.sqrt_price_x96 == base_price(flow, 1005)
    assert asked[2].shown[0].portfolio.holdings != asked[2].shown[1].portfolio.holdings == ()
    assert [ledger.rebalances for ledger in replayed.ledgers] == [0, 1]
    assert replayed.ledgers[1].in_range_s == 6 * 12


def test_a_decision_for_nobody_is_refused() -> None:
    flow = small_flow(12)
    vault = virtual_vault(flow.snapshot, Inventory(UNIT, UNIT))
    with pytest.raises(SimulationError, match="not shown"):
        replay(flow, [Candidate(vault)], terms(flow, Schedule(12, 4, 12, 12)), decide=lambda _: {1: ()})


def test_a_flow_must_reach_the_end_of_the_schedule_and_be_possible() -> None:
    flow = small_flow(12)
    candidates = [Candidate(virtual_vault(flow.snapshot, Inventory(UNIT, UNIT)))]
    with pytest.raises(SimulationError, match="ends before"):
        replay(flow, candidates, terms(flow, Schedule(13, 4, 12, 12)))
    nothing = RecoveredCall(zero_for_one=True, amount_specified=0, sqrt_price_limit_x96=None)
    impossible = replace(flow.blocks[3], happenings=(nothing,))
    broken = replace(flow, blocks=(*flow.blocks[:3], impossible, *flow.blocks[4:]))
    with pytest.raises(SimulationError, match="impossible on its own snapshot"):
        replay(broken, candidates, terms(flow))


def test_an_empty_replay_is_one() -> None:
    flow = small_flow(1)
    assert replay(flow, [], terms(flow)).ledgers == ()
    still = replace(flow, blocks=())
    vault = virtual_vault(flow.snapshot, Inventory(UNIT, UNIT, ((WIDE, UNIT, UNIT),)))
    [ledger] = replay(still, [Candidate(vault)], terms(still)).ledgers
    assert (ledger.duration_s, ledger.fees_x192, ledger.opening) == (0, 0, ledger.closing)


def test_several_futures_are_replays_of_their_own() -> None:
    flows = [small_flow(12), small_flow(30)]
    candidates = [Candidate(virtual_vault(flows[0].snapshot, Inventory(UNIT, UNIT, ((WIDE, UNIT, UNIT),))))]
    both = replay_all(flows, candidates, terms(flows[0]))
    assert both == tuple(replay(flow, candidates, terms(flow)) for flow in flows)
    assert both[0] != both[1]


def test_columns_are_the_ledgers_in_the_units_of_the_numeraire() -> None:
    flow = small_flow()
    vault = virtual_vault(flow.snapshot, Inventory(4 * UNIT, 4 * UNIT, ((WIDE, UNIT, UNIT),)))
    candidates = [Candidate(vault), Candidate(vault, (Desired(ABOVE, UNIT, 0),)), Candidate(vault, ())]
    replayed = replay(flow, candidates, terms(flow))
    columns = replayed.columns()
    assert {array.shape for array in columns.values()} == {(3,)}
    assert {name for name, array in columns.items() if array.dtype == np.int64} == {
        "gas", "rebalances", "in_range_s", "duration_s", "max_share_ppm",
    }  # fmt: skip
    for index, ledger in enumerate(replayed.ledgers):
        for field in fields(Ledger):
            if field.name not in ("opening", "closing"):
                exact = Fraction(getattr(ledger, field.name), Q192 if "_x192" in field.name else 1)
                assert columns[field.name.replace("_x192", "_value")][index] == float(exact)
        assert columns["excess_value"][index] == ledger.excess_x192 / Q192
        assert columns["closing_amount1"][index] == float(ledger.closing.total[1])
        assert columns["opening_amount0"][index] == float(ledger.opening.total[0])
    assert columns_of([])["fees_value"].shape == (0,)
