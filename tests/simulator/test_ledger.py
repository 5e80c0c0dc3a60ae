"""Ledgers: two independent accounts that agree to the wei, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.worlds import FREE_GAS, Chain, make_opening, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Q192, Hotkey
from simulator.answers import Answer, NoAnswer, Positions
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.gas import GasTable
from simulator.ledger import Account, GasPolicy, Ledger
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Desired, Plan, make_plan
from simulator.portfolio import Range
from simulator.round import Ask, Round, RoundResult
from simulator.scoring import SCORE_UNIT, score_round
from simulator.valuation import QuoteToken, Target, quote_prices

Decide = Callable[[Ask, Hotkey], Answer]

A, B = Hotkey("a"), Hotkey("b")
UNIT = 10**18
WIDE, NARROW, ABOVE, BELOW = Range(-6000, 6000), Range(-120, 120), Range(240, 600), Range(-600, -240)
TABLE = GasTable(base=21_000, open=300_000, close=200_000, collect=90_000, swap=120_000)


def run(
    chain: Chain,
    engine: Round,
    answers: Mapping[tuple[Hotkey, int], Answer | Decide],
    swaps: list[tuple[bool, int]],
    *,
    liquidity: dict[int, tuple[int, int, int]] | None = None,
) -> RoundResult:
    """Run a round: one swap a block; a missing answer keeps."""
    step = 0
    while not engine.is_finished:
        ask = engine.pending_ask()
        if ask is not None:
            engine.answer({h: _answer(answers.get((h, ask.index), keep), ask, h) for h in ask.shown})
            continue
        if liquidity and step in liquidity:
            chain.change_liquidity(*liquidity[step])
        if step < len(swaps):
            chain.swap(*swaps[step])
        engine.advance(chain.block())
        step += 1
    return engine.result()


def _answer(answer: Answer | Decide, ask: Ask, hotkey: Hotkey) -> Answer:
    return answer(ask, hotkey) if callable(answer) else answer


def keep(ask: Ask, hotkey: Hotkey) -> Positions:
    return Positions(tuple(Desired(h.range, h.amount0, h.amount1) for h in ask.shown[hotkey].portfolio.holdings))


@st.composite
def wishes(draw: st.DrawFn) -> Positions:
    ranges = draw(st.lists(st.sampled_from([WIDE, NARROW, ABOVE, BELOW]), unique=True, max_size=3))
    amount = st.one_of(st.just(0), st.integers(1, 3 * UNIT))
    return Positions(tuple(Desired(r, draw(amount), draw(amount)) for r in ranges))


@st.composite
def additions(draw: st.DrawFn) -> Decide:
    """Keep some of what is shown and open other ranges with shares of what is free: idle tokens, and all fees owed."""
    kept = draw(st.sets(st.sampled_from([WIDE, NARROW, ABOVE, BELOW])))
    shares = draw(st.dictionaries(st.sampled_from([WIDE, NARROW, ABOVE, BELOW]), st.tuples(*[st.integers(0, 6)] * 2)))

    def decide(ask: Ask, hotkey: Hotkey) -> Answer:
        shown = ask.shown[hotkey].portfolio
        keeping = [Desired(h.range, h.amount0, h.amount1) for h in shown.holdings if h.range in kept]
        free0, free1 = shown.idle0 + shown.fees[0], shown.idle1 + shown.fees[1]
        opening = [
            Desired(r, free0 * share0 // 6, free1 * share1 // 6)
            for r, (share0, share1) in shares.items()
            if r not in kept and share0 + share1 > 0
        ]
        return Positions((*keeping, *opening))

    return decide


swap_lists = st.lists(st.tuples(st.booleans(), st.integers(1, 40 * UNIT)), max_size=12)


@settings(max_examples=60)
@given(
    answers=st.dictionaries(st.tuples(st.sampled_from([A, B]), st.integers(0, 2)), st.one_of(wishes(), additions())),
    swaps=swap_lists,
    target=st.sampled_from(list(Target)),
    quote=st.sampled_from(list(QuoteToken)),
    gas_price=st.sampled_from([0, 10**9]),
    tick=st.sampled_from([0, -76_020, 199_020]),
)
def test_balance_and_attribution_agree_to_the_wei(
    answers: dict[tuple[Hotkey, int], Answer | Decide],
    swaps: list[tuple[bool, int]],
    target: Target,
    quote: QuoteToken,
    gas_price: int,
    tick: int,
) -> None:
    """`Account.close` raises unless the residual is 0; here whatever miners and the market do."""
    snapshot = make_snapshot(tick=tick)
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT, ((WIDE, 3 * UNIT, 3 * UNIT), (NARROW, UNIT, UNIT))))
    gas = GasPolicy(gas_price, token_is_0=True, rate_numerator=3, rate_denominator=7, table=TABLE)
    opening = make_opening(snapshot, vault, target=target, quote_token=quote, gas=gas)
    liquidity = {3: (-600, 600, 10**20), 7: (-600, 600, -(10**20))}
    result = run(Chain(snapshot), Round(opening), answers, swaps, liquidity=liquidity)
    for ledger in (result.benchmark, *(p.ledger for p in result.participants if p.ledger)):
        assert ledger.residual_x192 == 0
        assert ledger.fees0 >= 0 and ledger.fees1 >= 0 and ledger.dust_x192 >= 0 and ledger.gas_x192 >= 0
        assert ledger.w_close_x192 - ledger.hold_x192 == (
            ledger.fees_x192 - ledger.divergence_loss_x192 - ledger.swap_cost_x192 - ledger.gas_x192 - ledger.dust_x192
        )
    assert result.benchmark.rebalances == result.benchmark.gas == result.benchmark.turnover_x192 == 0


def test_lvr_and_drift_of_a_pool_follow_the_closed_form() -> None:
    """Two price steps struck like the example of strategy reference C3, against the closed form at those prices."""
    lower, upper = 75_480, 76_740
    snapshot = make_snapshot(tick=76_020, positions=((-887220, 887220, 10**28),))
    position = Range(lower, upper)
    vault = virtual_vault(snapshot, Inventory(10**21, 10**25, ((position, 10**21, 10**25),)))
    fork = Fork.from_opening(snapshot, vault)
    account = Account(fork, FREE_GAS, quote_prices(fork.pool.sqrt_price_x96, QuoteToken.TOKEN1), 0)
    liquidity = fork.portfolio().holdings[0].liquidity
    roots = [fork.pool.sqrt_price_x96]
    for target_tick in (76_200, 75_900):
        limit = get_sqrt_ratio_at_tick(target_tick)
        fork.pool.swap(limit < fork.pool.sqrt_price_x96, 10**40, limit)
        roots.append(fork.pool.sqrt_price_x96)
        account.mark(quote_prices(fork.pool.sqrt_price_x96, QuoteToken.TOKEN1))
    ledger = account.close(quote_prices(fork.pool.sqrt_price_x96, QuoteToken.TOKEN1))
    low, high = (get_sqrt_ratio_at_tick(t) / 2**96 for t in (lower, upper))
    prices = [(root / 2**96) ** 2 for root in roots]
    x = [liquidity * (1 / p**0.5 - 1 / high) for p in prices]
    y = [liquidity * (p**0.5 - low) for p in prices]
    lvr = sum(-(x[i + 1] - x[i]) * prices[i + 1] - (y[i + 1] - y[i]) for i in range(2))
    assert ledger.lvr_x192 / Q192 == pytest.approx(lvr, rel=1e-9)
    assert ledger.fees_x192 > 0
    drift_of_fees = ledger.inventory_drift_x192 / Q192 - (x[1] - x[0]) * (prices[2] - prices[1])
    assert 0 > drift_of_fees > -ledger.fees_x192 / Q192, (
        "fees held while the price falls lose with it, and nothing else does"
    )


def test_idle_tokens_earn_and_lose_nothing_whatever_the_price_does() -> None:
    """Price drift is not skill: two portfolios that hold different tokens idle score the same 0."""
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT))
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), {}, [(False, 400 * UNIT)] * 12)
    assert result.benchmark.w_close_x192 > result.benchmark.w_open_x192 * 2
    assert [p.score_e18 for p in result.participants] == [0, 0]
    assert result.benchmark.excess_x192 == 0


def test_turning_everything_into_the_rising_token_is_not_paid() -> None:
    """A miner that swaps into the token that rises gains value, and scores exactly what its swap cost it: a loss."""
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT))
    buy = Positions((Desired(Range(60_000, 66_000), 15 * UNIT, 0),))
    swaps = [(False, 1)] * 2 + [(False, 400 * UNIT)] * 10
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), {(A, 0): buy}, swaps)
    buyer, holder = (p.ledger for p in result.participants)
    assert buyer is not None and holder is not None
    assert buyer.w_close_x192 > holder.w_close_x192, "it did get richer"
    assert result.participants[0].score_e18 is not None and result.participants[0].score_e18 < 0
    assert buyer.excess_x192 == -buyer.swap_cost_x192 - buyer.dust_x192 - buyer.lvr_x192 + buyer.fees_x192


def test_the_swap_cost_is_the_fee_and_the_impact() -> None:
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(0, 10 * UNIT))
    answers: dict[tuple[Hotkey, int], Answer] = {(A, 0): Positions((Desired(ABOVE, 5 * UNIT, 0),))}
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), answers, [])
    ledger = result.participants[0].ledger
    assert ledger is not None
    cost = Fraction(ledger.swap_cost_x192, Q192) / (5 * UNIT)
    assert Fraction(3, 1000) < cost < Fraction(12, 1000)
    assert ledger.turnover_x192 == ledger.swap_cost_x192 + 5 * UNIT * Q192


def test_gas_is_charged_by_operation_at_the_jobs_price() -> None:
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(2 * UNIT, 2 * UNIT, ((WIDE, UNIT, UNIT),)))
    gas = GasPolicy(10**9, token_is_0=False, rate_numerator=1, rate_denominator=1, table=TABLE)
    answers: dict[tuple[Hotkey, int], Answer] = {
        (A, 0): Positions((Desired(NARROW, UNIT // 2, UNIT // 2),)),
        (A, 1): Positions(()),
    }
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault, gas=gas)), answers, [])
    ledger = result.participants[0].ledger
    assert ledger is not None
    units = (21_000 + 200_000 + 300_000) + (21_000 + 200_000)
    assert (ledger.gas, ledger.gas_x192, ledger.rebalances) == (units, units * 10**9 * Q192, 2)


def test_every_operation_of_a_plan_costs_its_own_gas() -> None:
    """One close, one collection from a kept position, one swap, two opens; and the standing shows it at once."""
    table = GasTable(base=1, open=10, close=100, collect=1_000, swap=10_000)
    snapshot = make_snapshot()
    inventory = Inventory(30 * UNIT, 30 * UNIT, ((WIDE, 20 * UNIT, 20 * UNIT), (NARROW, UNIT, UNIT)))
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, inventory))
    prices = quote_prices(snapshot.sqrt_price_x96, QuoteToken.TOKEN1)
    account = Account(
        fork, GasPolicy(1, token_is_0=False, rate_numerator=1, rate_denominator=1, table=table), prices, 0
    )
    for step in range(4):
        fork.pool.swap(step % 2 == 0, 5 * UNIT, None)
    wide = next(h for h in fork.portfolio().holdings if h.range == WIDE)
    short = fork.portfolio().total[0] - wide.amount0 + UNIT
    opens = (Desired(ABOVE, short - UNIT, 0), Desired(Range(600, 660), UNIT, UNIT))
    plan = make_plan(fork, (Desired(WIDE, wide.amount0, wide.amount1), *opens))
    assert isinstance(plan, Plan) and plan.swap is not None
    execution = account.rebalance(plan, prices)
    assert [len(part) for part in (execution.closed, execution.collected, execution.opened)] == [1, 1, 2]
    assert account.value(prices) == prices.value(*fork.portfolio().total) - 11_121 * Q192
    ledger = account.close(prices)
    assert (ledger.gas, ledger.gas_x192, ledger.rebalances) == (11_121, 11_121 * Q192, 1)


def test_gas_is_rounded_up() -> None:
    policy = GasPolicy(1, token_is_0=True, rate_numerator=1, rate_denominator=1000, table=TABLE)
    assert (policy.cost(0), policy.cost(1), policy.cost(1000), policy.cost(1001)) == ((0, 0), (1, 0), (1, 0), (2, 0))


def test_fees_are_the_pools_own_to_the_wei() -> None:
    """What the ledger calls fees is what collecting pays, less what was owed before."""
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(5 * UNIT, 5 * UNIT, ((WIDE, 5 * UNIT, 5 * UNIT),)))
    swaps = [(i % 2 == 0, (7 + i % 2) * UNIT) for i in range(12)]
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), {}, swaps)
    twin = Fork.from_opening(snapshot, vault)
    for call in swaps:
        twin.pool.swap(*call, None)
    closed = twin.close(WIDE)
    assert (result.benchmark.fees0, result.benchmark.fees1) == (closed.fees0, closed.fees1)
    assert 0 < closed.fees0 < closed.fees1


def test_time_in_range_counts_seconds_between_blocks() -> None:
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(UNIT, UNIT, ((Range(-60, 60), UNIT, UNIT),)))
    out_after_three = [(True, 1), (True, 1), (True, 100 * UNIT)]
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), {}, out_after_three)
    assert (result.benchmark.in_range_s, result.benchmark.duration_s) == (3 * 12, 12 * 12)


def test_the_share_of_the_pool_is_recorded_at_its_largest() -> None:
    """It is highest at the opening here, because others add liquidity later."""
    snapshot = make_snapshot(positions=((-887220, 887220, 10**18),))
    vault = virtual_vault(snapshot, Inventory(UNIT, UNIT, ((WIDE, UNIT, UNIT),)))
    later = {5: (-887220, 887220, 10**21)}
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), {}, [], liquidity=later)
    own = result.benchmark.opening.holdings[0].liquidity
    assert result.benchmark.max_share_ppm == own * 10**6 // (own + 10**18)
    assert result.participants[0].is_over_share


def test_fees_that_a_plans_own_swap_pays_to_a_kept_position_are_fees() -> None:
    """They come back as fees and stand in the swap's cost: told apart, and the sum is what was really lost."""
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(30 * UNIT, 30 * UNIT, ((WIDE, 20 * UNIT, 20 * UNIT),)))
    fork = Fork.from_opening(snapshot, vault)
    prices = quote_prices(snapshot.sqrt_price_x96, QuoteToken.TOKEN1)
    account = Account(fork, FREE_GAS, prices, 0)
    [wide] = fork.portfolio().holdings
    plan = make_plan(
        fork, (Desired(WIDE, wide.amount0, wide.amount1), Desired(Range(-660, -600), fork.idle0 + 5 * UNIT, UNIT))
    )
    assert isinstance(plan, Plan) and plan.swap is not None
    account.rebalance(plan, prices)
    ledger = account.close(prices)
    owed = fork.pool.fees_owed("vault", WIDE.tick_lower, WIDE.tick_upper)
    assert (ledger.fees0, ledger.fees1) == owed and owed[0] == 0 < owed[1]
    share = Fraction(wide.liquidity, wide.liquidity + 10**21)
    assert 0 <= 5 * UNIT * share * Fraction(3, 1000) * Fraction(102, 100) - owed[1] < UNIT // 1000
    assert ledger.excess_x192 == ledger.fees_x192 - ledger.lvr_x192 - ledger.swap_cost_x192 - ledger.dust_x192 < 0


def test_an_account_that_does_not_add_up_is_refused() -> None:
    """Take a wei from the fork behind the account's back: the residual must show it."""
    snapshot = make_snapshot()
    fork = Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(UNIT, UNIT, ((WIDE, UNIT, UNIT),))))
    prices = quote_prices(snapshot.sqrt_price_x96, QuoteToken.TOKEN1)
    account = Account(fork, FREE_GAS, prices, snapshot.timestamp)
    fork.idle1 -= 1
    with pytest.raises(SimulationError, match="disagree"):
        account.close(prices)


def test_the_pol_bundle_itself_never_gains() -> None:
    """Under `pol` holding the opening tokens is worth the same at any price, up to one floor per price."""
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 5 * UNIT))
    opening = make_opening(snapshot, vault, target=Target.POL)
    result = run(Chain(snapshot), Round(opening), {}, [(False, 100 * UNIT)] * 12)
    change = abs(result.benchmark.w_close_x192 - result.benchmark.w_open_x192)
    assert change <= 14 * UNIT


@given(first=st.integers(-(10**40), 10**40), second=st.integers(-(10**40), 10**40), w_open=st.integers(1, 10**45))
def test_scores_are_antisymmetric_and_exact(first: int, second: int, w_open: int) -> None:
    one, two = make_ledger(w_open, first), make_ledger(w_open, second)
    assert score_round(one, two) == -score_round(two, one)
    exact = Fraction((first - second) * SCORE_UNIT, w_open)
    assert abs(score_round(one, two)) == int(abs(exact))


def make_ledger(w_open: int, excess: int) -> Ledger:
    snapshot = make_snapshot()
    empty = Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(1, 1))).portfolio()
    zeros = {name: 0 for name in Ledger.__dataclass_fields__ if name not in ("opening", "closing")}
    return Ledger(
        **{**zeros, "opening": empty, "closing": empty, "w_open_x192": w_open, "w_close_x192": w_open + excess}
    )


def test_scores_of_different_openings_are_not_compared() -> None:
    with pytest.raises(SimulationError, match="different values"):
        score_round(make_ledger(5, 0), make_ledger(6, 0))
    with pytest.raises(SimulationError, match="nothing to manage"):
        score_round(make_ledger(0, 0), make_ledger(0, 0))


def test_an_unanswered_round_has_only_the_benchmark() -> None:
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(UNIT, UNIT))
    silent: dict[tuple[Hotkey, int], Answer] = {(h, 0): NoAnswer("") for h in (A, B)}
    result = run(Chain(snapshot), Round(make_opening(snapshot, vault)), silent, [(True, UNIT)])
    assert [p.ledger for p in result.participants] == [None, None]
    assert result.benchmark.opening.total == result.benchmark.closing.total == (UNIT, UNIT)


def test_keep_is_a_plan_that_does_nothing() -> None:
    assert Plan((WIDE,), (), (), None, ()).is_keep
