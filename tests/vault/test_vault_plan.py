"""A plan becomes a call that does on chain what the simulator does on its fork, and is refused where it should be."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from support.vault_attacks import refuses
from support.vault_twin import VaultTwin
from support.vault_world import KEEPER, UNIT, opening

from executor.guards import Refused
from executor.vault import ListedPosition, VaultCall, VaultSwap
from executor.vault_abi import positions_hash
from executor.vault_plan import PriceInterval, Ticket, interval_around, make_call
from protocol.units import MAX_TICK, MIN_TICK
from simulator.math.tick_math import (
    MAX_SQRT_RATIO,
    MIN_SQRT_RATIO,
    get_sqrt_ratio_at_tick,
    get_tick_at_sqrt_ratio,
)
from simulator.plan import Desired, Plan, execute_plan, make_plan
from simulator.portfolio import Range

SPACING = 60


def ticket(twin: VaultTwin, number: int) -> Ticket:
    listed = twin.world.positions()
    return Ticket(number.to_bytes(32, "big"), twin.world.now + 60, positions_hash(listed))


def wish(rng: random.Random, twin: VaultTwin) -> list[Desired]:
    """Return what a miner might want: some of what there is, some new, often more of a token than there is."""
    portfolio = twin.fork.portfolio()
    keeps = [Desired(h.range, h.amount0, h.amount1) for h in portfolio.holdings if rng.random() < 0.4]
    has0 = portfolio.total[0] - sum(d.amount0 for d in keeps)
    has1 = portfolio.total[1] - sum(d.amount1 for d in keeps)
    if rng.random() < 0.5:  # another mixture: the price stays near 1
        share, part = rng.random(), rng.uniform(0.8, 0.99)
        has0, has1 = int((has0 + has1) * share * part), int((has0 + has1) * (1 - share) * part)
    centre, count = twin.fork.pool.tick // SPACING, rng.randint(0, 4)
    lowers = [centre + rng.randint(-12, 8) for _ in range(count)]
    news = [Range(lower * SPACING, (lower + rng.randint(2, 14)) * SPACING) for lower in lowers]
    if rng.random() < 0.3:  # each token in one position alone
        return keeps + [Desired(r, has0 * (n == 0), has1 * (n == 1)) for n, r in enumerate(news[:2])]
    return keeps + [Desired(r, has0 // count, has1 // count) for r in news]


@pytest.mark.parametrize("seed", range(4))
def test_the_vault_does_what_the_fork_does(seed: int, fuzz_seed: int) -> None:
    """At the price at which the call was made, and at any other that it allows."""
    rng, twin, seen = random.Random(f"{fuzz_seed}/{seed}"), VaultTwin(), Counter[str]()
    for number in range(1, 61):
        for _ in range(rng.randint(1, 3)):
            twin.trade(rng.random() < 0.5, rng.randint(1, 12 * UNIT))
        twin.push_to(get_sqrt_ratio_at_tick(max(-900, min(900, twin.fork.pool.tick))))
        twin.settle()
        plan = make_plan(twin.fork, wish(rng, twin))
        if not isinstance(plan, Plan):
            seen["invalid"] += 1
            continue
        interval = interval_around(twin.fork.pool.tick, rng.randint(0, 60))
        call = make_call(twin.fork, plan, interval, ticket(twin, number))
        if isinstance(call, Refused):
            seen[call.reason] += 1
            continue
        if rng.random() < 0.6:
            twin.push_to(rng.randint(interval.lower_x96, interval.upper_x96))
            seen["moved"] += 1
        seen[carry_out(twin, plan, call, interval)] += 1
        seen[f"swap {plan.swap.zero_for_one}" if plan.swap else "no swap"] += 1
        seen["collect"] += bool(plan.collect)
        seen["keep"] += bool(plan.keep)
        assert twin.difference() is None, (number, plan)
    assert seen["done"] >= 20 and min(seen[k] for k in ("swap True", "swap False", "keep", "moved", "collect")) >= 4, (
        seen
    )


def carry_out(twin: VaultTwin, plan: Plan, call: VaultCall, interval: PriceInterval) -> str:
    """Carry out a plan on both, unless its own swap now leaves the interval: the vault must refuse that."""
    ahead = twin.fork.copy()
    execute_plan(ahead, plan)
    if ahead.pool.sqrt_price_x96 in interval:
        twin.execute(plan, call)
        return "done"
    with refuses("swap not filled", "costs too much", "SPL"):
        twin.world.rebalance(call)
    return "refused on chain"


def opened_twin() -> tuple[VaultTwin, Range]:
    """Return a twin with one position and idle tokens."""
    twin, wide = VaultTwin(), Range(-600, 600)
    call = twin.world.plan(opens=[opening(-600, 600, 5 * UNIT, 5 * UNIT)])
    plan = Plan((), (), (), None, (Desired(wide, 5 * UNIT, 5 * UNIT),))
    twin.execute(plan, call)
    assert twin.difference() is None
    twin.settle()
    return twin, wide


def test_a_call_as_it_is_written_down() -> None:
    """All figures of one call: token0 at the highest price, token1 at the lowest, a wei less for what is opened."""
    twin, wide = opened_twin()
    desired = [Desired(Range(-120, 120), 2 * UNIT, 2 * UNIT), Desired(Range(60, 600), 11 * UNIT, 0)]
    plan = make_plan(twin.fork, desired)
    assert isinstance(plan, Plan) and plan.swap is not None
    low, high = get_sqrt_ratio_at_tick(-30), get_sqrt_ratio_at_tick(59)
    made = make_call(twin.fork, plan, PriceInterval(low, high), ticket(twin, 7))
    assert isinstance(made, VaultCall)
    [held] = twin.fork.portfolio().holdings
    a, b = get_sqrt_ratio_at_tick(-600), get_sqrt_ratio_at_tick(600)
    least0, least1 = held.liquidity * (b - high) * 2**96 // b // high, held.liquidity * (low - a) >> 96
    [close] = made.closes
    assert (close.range, close.amount0_min, close.amount1_min) == (wide, least0, least1)
    net = -(-plan.swap.amount_out * high**2 // 2**192)
    cost = -(-net * 10**6 // 997_000)
    assert made.swap == VaultSwap(False, plan.swap.amount_out, cost, high)
    assert made.collects == () and made.deadline_s == twin.world.now + 60 and made.plan_id == (7).to_bytes(32, "big")
    # What is left when each token is at its own worst, and what that buys.
    owned0 = twin.fork.idle0 + least0 + held.fees0 + plan.swap.amount_out
    narrow, above = made.opens
    assert (above.amount0, above.amount1, above.amount1_min) == (11 * UNIT, 0, 0)
    assert 0 < above.amount0_min <= 11 * UNIT * owned0 // (13 * UNIT) < 11 * UNIT
    assert 0 < narrow.amount0_min < 2 * UNIT and 0 < narrow.amount1_min < 2 * UNIT


def test_what_a_swap_may_cost_is_not_counted_on() -> None:
    twin, _ = opened_twin()
    desired = [Desired(Range(-600, -60), 0, 9 * UNIT), Desired(Range(60, 600), 10_990 * UNIT // 1000, 0)]
    plan = make_plan(twin.fork, desired)
    assert isinstance(plan, Plan) and plan.swap is not None and plan.swap.zero_for_one
    low, high = get_sqrt_ratio_at_tick(-59), get_sqrt_ratio_at_tick(59)
    made = make_call(twin.fork, plan, PriceInterval(low, high), ticket(twin, 7))
    assert isinstance(made, VaultCall) and made.swap is not None
    [held] = twin.fork.portfolio().holdings
    certain = twin.fork.idle0 + made.closes[0].amount0_min + held.fees0 - made.swap.amount_in_max
    assert certain - 10 <= made.opens[1].amount0_min <= certain < desired[1].amount0


def test_what_is_not_turned_into_a_call() -> None:
    twin, _ = opened_twin()
    keep = make_plan(twin.fork, [Desired(h.range, h.amount0, h.amount1) for h in twin.fork.portfolio().holdings])
    swap = make_plan(twin.fork, [Desired(Range(60, 600), 14 * UNIT, 0)])
    assert isinstance(keep, Plan) and isinstance(swap, Plan)
    here, anywhere = interval_around(0, 5), PriceInterval(MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1)
    away = PriceInterval(get_sqrt_ratio_at_tick(1), get_sqrt_ratio_at_tick(200))
    poor = twin.fork.copy()
    poor.idle1 = 0
    for fork, plan, interval, reason, is_plans in (
        (twin.fork, keep, anywhere, "the plan keeps everything", False),
        (twin.fork, swap, away, "the price is outside the allowed interval", False),
        (twin.fork, swap, here, "the plan's own swap moves the price out of the allowed interval", True),
        (poor, replace(swap, close=()), anywhere, "what the opens lack costs more than is owned", True),
    ):
        assert make_call(fork, plan, interval, ticket(twin, 1)) == Refused(reason, is_plans)


def test_an_interval_is_whole_ticks() -> None:
    interval = interval_around(-7, 3)
    assert get_tick_at_sqrt_ratio(interval.lower_x96) == -10 and get_tick_at_sqrt_ratio(interval.upper_x96) == -4
    assert interval.lower_x96 - 1 not in interval and interval.upper_x96 + 1 not in interval
    assert (
        get_tick_at_sqrt_ratio(interval.lower_x96 - 1) == -11 and get_tick_at_sqrt_ratio(interval.upper_x96 + 1) == -3
    )
    whole = PriceInterval(MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1)
    assert interval_around(MIN_TICK, 2 * MAX_TICK) == whole == interval_around(MAX_TICK - 1, 2 * MAX_TICK)


def test_the_hash_is_the_vaults() -> None:
    twin, _ = opened_twin()
    twin.world.rebalance(twin.world.plan(opens=[opening(-887220, 887220, UNIT, UNIT)]), KEEPER)
    listed = twin.world.positions()
    assert [p.range for p in listed] == [Range(-600, 600), Range(-887220, 887220)]
    assert positions_hash(listed) == twin.world.ask("positions_hash()")[0].to_bytes(32, "big")
    assert positions_hash(listed[::-1]) != positions_hash(listed)
    assert positions_hash([ListedPosition(p.range, p.liquidity + 1) for p in listed]) != positions_hash(listed)
