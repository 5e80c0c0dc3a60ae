"""What no market and no behaviour of others can change: abstaining is keeping, and a score is one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from support.arena import ATTACKER, HONEST, INTERVAL, UNIT, Arena, Strategy, keep
from support.worlds import Chain

from protocol.units import Hotkey
from simulator.answers import Answer, Malformed, NoAnswer, Positions, Refusal
from simulator.fork import Inventory
from simulator.participant import Outcome
from simulator.plan import Desired
from simulator.portfolio import Range
from simulator.round import Ask
from simulator.valuation import QuoteToken, Target

RANGES = [
    Range(-6000, 6000),
    Range(-120, 120),
    Range(0, 60),
    Range(240, 600),
    Range(-600, -240),
    Range(-887220, 887220),
]
EMPTY = Arena(inventory=Inventory(20 * UNIT, 20 * UNIT))
HOLDING = Arena(inventory=Inventory(20 * UNIT, 20 * UNIT, ((RANGES[0], 5 * UNIT, 5 * UNIT), (RANGES[1], UNIT, UNIT))))


@dataclass(frozen=True, slots=True)
class Market:
    """What others do, block by block: swaps, and liquidity that comes and goes again."""

    swaps: tuple[tuple[int, bool, int], ...]
    liquidity: tuple[tuple[int, Range, int], ...]

    def __call__(self, chain: Chain, block: int) -> None:
        for at, held, amount in self.liquidity:
            if block in (at, at + INTERVAL):
                chain.change_liquidity(held.tick_lower, held.tick_upper, amount if block == at else -amount)
        for at, zero_for_one, amount in self.swaps:
            if block == at:
                chain.swap(zero_for_one, amount)


@dataclass(frozen=True, slots=True)
class Planner:
    """An honest strategy: at each checkpoint, keep some of what is held and divide what is free among other ranges.

    Where more than all of token0 is wanted, the rest of it is bought with what is left of token1.
    """

    turns: tuple[tuple[frozenset[Range], tuple[tuple[Range, int, int], ...]], ...]

    def __call__(self, ask: Ask, me: Hotkey) -> Answer:
        kept, shares = self.turns[ask.index % len(self.turns)]
        portfolio = ask.shown[me].portfolio
        keeping = [h for h in portfolio.holdings if h.range in kept]
        closing = [h for h in portfolio.holdings if h.range not in kept]
        free0 = portfolio.idle0 + sum(h.amount0 + h.fees0 for h in closing)
        free1 = portfolio.idle1 + sum(h.amount1 + h.fees1 for h in closing)
        return Positions(
            (
                *(Desired(h.range, h.amount0, h.amount1) for h in keeping),
                *(Desired(r, free0 * a // 20, free1 * b // 20) for r, a, b in shares if r not in kept),
            )
        )


blocks = st.integers(1, 4 * INTERVAL)
markets = st.builds(
    Market,
    st.lists(st.tuples(blocks, st.booleans(), st.integers(1, 2000 * UNIT)), max_size=20).map(tuple),
    st.lists(st.tuples(blocks, st.sampled_from(RANGES), st.integers(1, 10**24)), max_size=3).map(tuple),
)
turns = st.tuples(
    st.frozensets(st.sampled_from(RANGES), max_size=2),
    st.lists(
        st.tuples(st.sampled_from(RANGES), st.integers(1, 14), st.integers(1, 6)), max_size=3, unique_by=lambda t: t[0]
    ).map(tuple),
)
planners = st.builds(Planner, st.lists(turns, min_size=1, max_size=4).map(tuple))
arenas = st.sampled_from([EMPTY, HOLDING])
silences = st.sampled_from(
    [Refusal("no"), NoAnswer("timeout"), Malformed("}"), Positions((Desired(RANGES[0], -1, 0),))]
)
anything = st.one_of(
    planners,
    silences.map(lambda answer: lambda _ask, _me: answer),
    st.just(lambda _ask, _me: Positions((Desired(Range(-1, 7), 10**40, 0),) * 60)),
)


def until(checkpoint: int, first: Strategy, then: Strategy) -> Strategy:
    return lambda ask, me: first(ask, me) if ask.index < checkpoint else then(ask, me)


@settings(max_examples=40)
@given(market=markets, arena=arenas, honest=planners, silence=silences, checkpoint=st.integers(1, 3))
def test_abstaining_later_is_worth_exactly_the_frozen_portfolio(
    market: Market, arena: Arena, honest: Planner, silence: Answer, checkpoint: int
) -> None:
    """Whoever stops answering, and however, is scored as if it had asked to keep: no better and no worse."""
    contest = replace(arena, script=market).play(
        {HONEST: until(checkpoint, honest, keep), ATTACKER: until(checkpoint, honest, lambda _ask, _me: silence)}
    )
    frozen, silent = contest.of(HONEST), contest.of(ATTACKER)
    assert (silent.score_e18, silent.ledger, silent.is_over_share) == (
        frozen.score_e18,
        frozen.ledger,
        frozen.is_over_share,
    )
    is_fault = isinstance(silence, Malformed | Positions)
    assert silent.can_win == (frozen.can_win and not is_fault)


@settings(max_examples=30)
@given(market=markets, arena=arenas, silence=silences)
def test_abstaining_from_the_first_ask_on_never_wins(market: Market, arena: Arena, silence: Answer) -> None:
    contest = replace(arena, script=market).play({HONEST: keep, ATTACKER: lambda _ask, _me: silence})
    assert not contest.of(ATTACKER).can_win
    assert contest.of(ATTACKER).score_e18 in (None, 0), "absent, or exactly the benchmark"
    assert contest.winner() == HONEST


@settings(max_examples=40)
@given(market=markets, arena=arenas, honest=planners, others=st.lists(anything, max_size=3))
def test_nobodys_score_depends_on_anothers_answers(
    market: Market, arena: Arena, honest: Planner, others: list[Strategy]
) -> None:
    stage = replace(arena, script=market)
    crowd: Mapping[Hotkey, Strategy] = {Hotkey(f"other {i}"): other for i, other in enumerate(others)}
    together, alone = stage.play({**crowd, HONEST: honest}), stage.play({HONEST: honest})
    assert together.of(HONEST) == alone.of(HONEST)
    assert together.result.benchmark == alone.result.benchmark


@settings(max_examples=30)
@given(market=markets, arena=arenas, honest=planners, target=st.sampled_from(Target), quote=st.sampled_from(QuoteToken))
def test_two_miners_that_answer_alike_score_alike_and_keeping_scores_nothing(
    market: Market, arena: Arena, honest: Planner, target: Target, quote: QuoteToken
) -> None:
    stage = replace(arena, script=market, target=target, quote_token=quote)
    contest = stage.play({HONEST: honest, ATTACKER: honest, Hotkey("keeper"): keep})
    assert replace(contest.of(ATTACKER), hotkey=HONEST) == contest.of(HONEST)
    keeper = contest.of(Hotkey("keeper"))
    assert (keeper.outcome, keeper.score_e18, keeper.ledger) == (Outcome.KEPT, 0, contest.result.benchmark)
