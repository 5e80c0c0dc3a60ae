"""The round machine: what fires when, for whom, and what it is worth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from support.worlds import START_BLOCK, Chain, make_opening, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Hotkey
from simulator.answers import Answer, Malformed, NoAnswer, Positions, Refusal
from simulator.base_fork import Divergence
from simulator.events import Block, SwapEvent
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.gas import GasTable
from simulator.ledger import GasPolicy
from simulator.math.liquidity_amounts import get_amount0_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.opening import RoundOpening
from simulator.participant import Noted, Outcome
from simulator.plan import Desired
from simulator.portfolio import Range
from simulator.round import Ask, Round, RoundResult
from simulator.valuation import Prices, QuoteToken, Target

A, B = Hotkey("a"), Hotkey("b")
UNIT = 10**18
WIDE, NARROW, FAR = Range(-6000, 6000), Range(-120, 120), Range(887160, 887220)


def keep(ask: Ask, hotkey: Hotkey) -> Positions:
    return Positions(tuple(Desired(h.range, h.amount0, h.amount1) for h in ask.shown[hotkey].portfolio.holdings))


def world(inventory: Inventory | None = None) -> tuple[Chain, RoundOpening]:
    snapshot = make_snapshot()
    inventory = inventory or Inventory(20 * UNIT, 20 * UNIT, ((WIDE, 10 * UNIT, 10 * UNIT),))
    return Chain(snapshot), make_opening(snapshot, virtual_vault(snapshot, inventory))


def play(chain: Chain, engine: Round, *, asks: list[Ask] | None = None, **answers: object) -> RoundResult:
    """Run a round to its end, a swap in every block; `answers` maps a hotkey to answer(ask, hotkey) or an answer."""
    step = 0
    while not engine.is_finished:
        ask = engine.pending_ask()
        if ask is not None:
            if asks is not None:
                asks.append(ask)
            given: dict[Hotkey, Answer] = {}
            for hotkey in ask.shown:
                answer = answers.get(hotkey, keep)
                given[hotkey] = answer(ask, hotkey) if callable(answer) else answer  # type: ignore[assignment] # test tables
            engine.answer(given)
            continue
        chain.swap(step % 2 == 0, 3 * UNIT + step * UNIT // 7)
        engine.advance(chain.block())
        step += 1
    return engine.result()


def test_checkpoints_fire_once_each_at_their_block_and_none_past_the_end() -> None:
    chain, opening = world()
    asks: list[Ask] = []
    play(chain, Round(opening), asks=asks)
    assert [(a.index, a.block_number, a.effective_block) for a in asks] == [
        (0, START_BLOCK, START_BLOCK + 2),
        (1, START_BLOCK + 4, START_BLOCK + 6),
        (2, START_BLOCK + 8, START_BLOCK + 10),
    ]


def test_a_checkpoint_whose_effective_block_is_past_the_end_is_not_asked() -> None:
    chain, opening = world()
    asks: list[Ask] = []
    schedule = replace(opening.schedule, length_blocks=9)
    play(chain, Round(replace(opening, schedule=schedule)), asks=asks)
    assert [a.block_number for a in asks] == [START_BLOCK, START_BLOCK + 4]
    chain, opening = world()
    asks.clear()
    schedule = replace(opening.schedule, length_blocks=10)
    play(chain, Round(replace(opening, schedule=schedule)), asks=asks)
    assert [a.block_number for a in asks] == [START_BLOCK, START_BLOCK + 4, START_BLOCK + 8]


def test_keeping_scores_exactly_zero_and_equals_the_benchmark() -> None:
    chain, opening = world()
    result = play(chain, Round(opening))
    assert [(p.hotkey, p.outcome, p.score_e18) for p in result.participants] == [
        (A, Outcome.KEPT, 0),
        (B, Outcome.KEPT, 0),
    ]
    assert result.participants[0].ledger == result.benchmark
    assert result.benchmark.fees0 > 0 and result.benchmark.lvr_x192 > 0


def test_a_plan_takes_effect_at_its_block_before_the_first_event() -> None:
    chain, opening = world()
    engine = Round(opening)
    engine.answer({A: Positions(())})
    chain.swap(True, UNIT)
    engine.advance(chain.block())
    before = engine._participants[A].account.fork.portfolio()
    assert len(before.holdings) == 1
    chain.swap(True, UNIT)
    engine.advance(chain.block())
    after = engine._participants[A].account.fork.portfolio()
    assert after.holdings == ()
    assert (after.idle0, after.idle1) == before.total, "the block's own swap must not have reached the closed position"


def test_a_plan_waits_for_its_block_through_a_restrike() -> None:
    """Accounts are struck anew at block 5; a plan of the checkpoint at block 4 is due at 6."""
    chain, opening = world()
    engine, held = Round(opening), []
    while engine.block_number < START_BLOCK + 6:
        ask = engine.pending_ask()
        if ask is not None:
            engine.answer({A: keep(ask, A) if ask.index == 0 else Positions(()), B: keep(ask, B)})
            continue
        chain.swap(True, UNIT)
        engine.advance(chain.block())
        held.append(len(engine._participants[A].account.fork.portfolio().holdings))
    assert held == [1, 1, 1, 1, 1, 0]


def test_first_refusal_or_silence_leaves_the_round() -> None:
    chain, opening = world()
    result = play(chain, Round(opening), a=Refusal("not my pair"), b=NoAnswer("timeout"))
    assert [(p.outcome, p.score_e18, p.ledger, p.can_win) for p in result.participants] == [
        (Outcome.REFUSED, None, None, False),
        (Outcome.TIMEOUT, None, None, False),
    ]


def test_quitting_later_does_not_stop_the_score() -> None:
    def narrow_then_quit(ask: Ask, hotkey: Hotkey) -> Answer:
        if ask.index == 0:
            return Positions((Desired(Range(-60, 60), 5 * UNIT, 5 * UNIT),))
        return Refusal("I see that I lose")

    chain, opening = world()
    asks: list[Ask] = []
    quitter = play(chain, Round(opening), asks=asks, a=narrow_then_quit)
    assert [A in ask.shown for ask in asks] == [True, True, False], "a quitter is not asked again"

    def narrow_then_keep(ask: Ask, hotkey: Hotkey) -> Answer:
        return narrow_then_quit(ask, hotkey) if ask.index == 0 else keep(ask, hotkey)

    chain, opening = world()
    stayer = play(chain, Round(opening), a=narrow_then_keep)
    assert quitter.participants[0].score_e18 == stayer.participants[0].score_e18 != 0


def test_an_invalid_answer_is_scored_and_cannot_win() -> None:
    def greedy(ask: Ask, hotkey: Hotkey) -> Answer:
        return Positions((Desired(WIDE, 10**30, 10**30),))

    chain, opening = world()
    result = play(chain, Round(opening), a=greedy, b=Malformed("not JSON"))
    assert [(p.outcome, p.score_e18, p.can_win) for p in result.participants] == [(Outcome.INVALID, 0, False)] * 2


def test_one_invalid_answer_taints_the_round_whatever_follows() -> None:
    def first_bad(ask: Ask, hotkey: Hotkey) -> Answer:
        return Malformed("x") if ask.index == 0 else Positions(())

    chain, opening = world()
    result = play(chain, Round(opening), a=first_bad)
    assert result.participants[0].outcome is Outcome.INVALID
    assert result.participants[0].ledger is not None and result.participants[0].ledger.rebalances == 1


def test_participants_never_touch_each_other() -> None:
    def narrow(ask: Ask, hotkey: Hotkey) -> Answer:
        return Positions((Desired(Range(-120, 120), 9 * UNIT, 9 * UNIT),))

    chain, opening = world()
    alone = play(chain, Round(opening), a=keep, b=NoAnswer(""))
    chain, opening = world()
    together = play(chain, Round(opening), a=keep, b=narrow)
    assert alone.participants[0] == together.participants[0]
    assert together.participants[1].score_e18 != 0


def fills_a_tick(ask: Ask, hotkey: Hotkey) -> Answer:
    """Take all the liquidity that a far tick can hold, for a thousandth of a cent, beside a position that loses."""
    room = Chain(make_snapshot()).pool.max_liquidity_per_tick
    low, high = get_sqrt_ratio_at_tick(FAR.tick_lower), get_sqrt_ratio_at_tick(FAR.tick_upper)
    dust = get_amount0_for_liquidity(low, high, room)
    if ask.index:
        return keep(ask, hotkey)
    return Positions((Desired(NARROW, 9 * UNIT, 9 * UNIT), Desired(FAR, dust, 0)))


def test_a_fork_that_leaves_others_no_room_is_withdrawn_and_scored_to_the_end() -> None:
    """The mint of somebody else is impossible on its fork only: nobody else notices, and it cannot leave a loss so."""
    results = {}
    for mint in (False, True):
        chain, opening = world(Inventory(20 * UNIT, 20 * UNIT))
        engine = Round(opening)
        while not engine.is_finished:
            if (ask := engine.pending_ask()) is not None:
                engine.answer({A: fills_a_tick(ask, A), B: keep(ask, B)} if A in ask.shown else {B: keep(ask, B)})
                continue
            chain.swap(True, 3 * UNIT)
            if mint and chain.number == START_BLOCK + 6:
                chain.change_liquidity(-887220, 887220, 10**21)
            engine.advance(chain.block())
        results[mint] = engine.result()
    stayed, left = results[False].participants[0], results[True].participants[0]
    assert (stayed.outcome, left.outcome, left.can_win) == (Outcome.ACCEPTED, Outcome.INVALID, False)
    assert left.score_e18 is not None and stayed.score_e18 is not None and left.score_e18 < 0 and stayed.score_e18 < 0
    assert left.ledger is not None and left.ledger.rebalances == 2
    assert left.ledger.closing.holdings == ()
    assert results[True].participants[1].score_e18 == 0


def test_a_mint_that_the_virtual_vault_itself_leaves_no_room_for_voids_the_round() -> None:
    snapshot = make_snapshot()
    room = Chain(snapshot).pool.max_liquidity_per_tick
    low, high = get_sqrt_ratio_at_tick(FAR.tick_lower), get_sqrt_ratio_at_tick(FAR.tick_upper)
    dust = get_amount0_for_liquidity(low, high, room)
    vault = virtual_vault(snapshot, Inventory(UNIT, UNIT, ((FAR, dust, 0),)))
    chain, engine = Chain(snapshot), Round(make_opening(snapshot, vault))
    engine.answer({})
    chain.change_liquidity(-887220, 887220, 10**21)
    with pytest.raises(Divergence) as caught:
        engine.advance(chain.block())
    assert caught.value.kind == "impossible_beside_the_vault"


def test_answers_are_taken_only_when_asked_and_blocks_only_when_streaming() -> None:
    chain, opening = world()
    engine = Round(opening)
    with pytest.raises(SimulationError, match="while the round is asking"):
        engine.advance(chain.block())
    engine.answer({})
    with pytest.raises(SimulationError, match="no checkpoint is waiting"):
        engine.answer({})
    with pytest.raises(SimulationError, match="not finished"):
        engine.result()


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("missed_block", lambda block: replace(block, number=block.number + 1)),
        ("reorg", lambda block: replace(block, parent_hash="0x" + "f" * 64)),
        ("clock_went_back", lambda block: replace(block, timestamp=5)),
    ],
)
def test_a_block_that_does_not_follow_is_a_divergence(kind: str, spoil: object) -> None:
    chain, opening = world()
    engine = Round(opening)
    engine.answer({})
    block: Block = spoil(chain.block())  # type: ignore[operator] # a table of lambdas
    with pytest.raises(Divergence) as caught:
        engine.advance(block)
    assert caught.value.kind == kind


def test_the_tripwire_stops_at_a_swap_that_cannot_be_reproduced() -> None:
    chain, opening = world()
    engine = Round(opening)
    engine.answer({})
    event = chain.swap(True, UNIT)
    block = replace(chain.block(), events=(replace(event, amount1=event.amount1 - 1),))
    with pytest.raises(Divergence) as caught:
        engine.advance(block)
    assert caught.value.where["log_index"] == 0


def test_a_dropped_event_is_noticed_at_the_next_swap() -> None:
    chain, opening = world()
    engine = Round(opening)
    engine.answer({})
    chain.change_liquidity(-600, 600, 10**20)
    chain.swap(False, UNIT)
    block = chain.block()
    with pytest.raises(Divergence):
        engine.advance(replace(block, events=tuple(e for e in block.events if isinstance(e, SwapEvent))))


def test_the_vault_is_absent_from_the_base_fork() -> None:
    _chain, opening = world()
    engine = Round(opening)
    assert engine.pool.liquidity == opening.snapshot.liquidity
    assert engine._benchmark.fork.pool.liquidity > opening.snapshot.liquidity


def test_exposure_is_struck_at_shared_marks_only_and_at_base_prices() -> None:
    """Delta by hand: tokens held at each mark times the base price's change to the next. Marks are the effective blocks
    (2, 6, 10) and every 60 s, which is every 5 blocks; a swap in between strikes nothing.
    """
    for target, quote in product(Target, QuoteToken):
        chain, opening = world()
        opening = replace(opening, target=target, quote_token=quote)
        engine, twin = Round(opening), Fork.from_opening(opening.snapshot, opening.vault)
        numeraire = opening.numeraire(twin.portfolio().total)
        engine.answer({})
        delta, struck, exposure = 0, numeraire.prices(chain.pool.sqrt_price_x96), twin.portfolio().total
        for step in range(1, 13):
            if step in (2, 5, 6, 10):
                delta += moved(struck, numeraire.prices(chain.pool.sqrt_price_x96), exposure)
                struck, exposure = numeraire.prices(chain.pool.sqrt_price_x96), twin.portfolio().total
            amount = (step * 7 % 5 + 1) * UNIT
            chain.swap(step % 3 == 0, amount)
            twin.pool.swap(step % 3 == 0, amount, None)
            engine.advance(chain.block())
        delta += moved(struck, numeraire.prices(chain.pool.sqrt_price_x96), exposure)
        assert twin.pool.sqrt_price_x96 != chain.pool.sqrt_price_x96, "the fork has prices of its own"
        ledger = engine.result().benchmark
        assert ledger.delta_x192 == delta != 0
        closing = numeraire.prices(chain.pool.sqrt_price_x96).value(*twin.portfolio().total)
        assert ledger.w_close_x192 == closing


def moved(before: Prices, after: Prices, exposure: tuple[int, int]) -> int:
    return after.value(*exposure) - before.value(*exposure)


def test_silence_later_keeps_the_portfolio_and_one_is_asked_again() -> None:
    def silent_once(ask: Ask, hotkey: Hotkey) -> Answer:
        if ask.index == 1:
            return NoAnswer("timeout")
        return Positions(()) if ask.index == 2 else keep(ask, hotkey)

    chain, opening = world()
    asks: list[Ask] = []
    result = play(chain, Round(opening), asks=asks, a=silent_once)
    assert [A in ask.shown for ask in asks] == [True, True, True]
    assert result.participants[0].outcome is Outcome.ACCEPTED
    assert result.participants[0].ledger is not None and result.participants[0].ledger.rebalances == 1


def test_a_missing_answer_is_a_timeout() -> None:
    _chain, opening = world()
    notes = Round(opening).answer({B: Positions(())})
    assert {h: n.noted for h, n in notes.items()} == {A: Noted.TIMEOUT, B: Noted.PLANNED}


@pytest.mark.parametrize(("above", "is_over"), [(0, False), (1, True)])
def test_a_share_above_the_jobs_limit_is_flagged(above: int, is_over: bool) -> None:  # noqa: FBT001 - a test table
    chain, opening = world()
    share = play(chain, Round(opening)).benchmark.max_share_ppm
    chain, opening = world()
    result = play(chain, Round(replace(opening, max_pool_share_ppm=share - above)))
    assert [p.is_over_share for p in result.participants] == [is_over, is_over]


def test_what_is_shown() -> None:
    """Each its own portfolio; the real pool; the block it is about; the portfolio at the opening."""
    chain, opening = world()
    asks: list[Ask] = []
    play(chain, Round(opening), asks=asks, a=Positions(()))
    later = asks[1]
    assert (later.block_number, later.effective_block, later.timestamp) == (1004, 1006, opening.snapshot.timestamp + 48)
    assert later.shown[A].portfolio.holdings == () != later.shown[B].portfolio.holdings
    assert (later.shown[A].rebalances, later.shown[B].rebalances) == (1, 0)
    assert later.shown[A].foreign_liquidity == later.shown[B].foreign_liquidity == later.pool.liquidity == 10**21
    assert later.shown[A].opening_total == asks[0].shown[A].portfolio.total


def test_the_standing_of_the_moment_is_value_against_the_untouched_portfolio() -> None:
    chain, opening = world(Inventory(10 * UNIT, 10 * UNIT))
    gas = GasPolicy(UNIT, token_is_0=False, rate_numerator=1, rate_denominator=2, table=GasTable(1, 0, 0, 0, 0))
    engine = Round(replace(opening, gas=gas))
    engine.answer({A: Positions((Desired(Range(-1200, -600), 15 * UNIT, 0),))})  # buys 5 token0, holds them idle
    for _ in range(2):
        engine.advance(chain.block())
    standing = engine.values_against_benchmark()
    assert list(standing) == [A], "who never answered has no standing"
    assert -4 * 10**16 < standing[A] < -25 * 10**15, "gas is 1/40 of all; then the swap's fee and impact"


def test_time_in_range_runs_from_block_to_block() -> None:
    """In range until the third block's swap: three intervals of 12 s, of the whole round's twelve."""
    chain, opening = world(Inventory(UNIT, UNIT, ((Range(-60, 60), UNIT, UNIT),)))
    engine = Round(opening)
    engine.answer({})
    for step in range(12):
        chain.swap(True, 100 * UNIT if step == 2 else 1)
        engine.advance(chain.block())
    benchmark = engine.result().benchmark
    assert (benchmark.in_range_s, benchmark.duration_s) == (36, 144)


def test_noted_verdicts() -> None:
    _chain, opening = world()
    engine = Round(opening)
    ask = engine.pending_ask()
    assert ask is not None
    notes = engine.answer({A: keep(ask, A), B: Positions(())})
    assert {h: n.noted for h, n in notes.items()} == {A: Noted.KEPT, B: Noted.PLANNED}
