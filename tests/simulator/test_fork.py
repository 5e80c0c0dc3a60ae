"""Forks: a vault inside a private pool, to the wei of what the contract's own verbs give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import Chain, make_snapshot

from protocol.errors import SimulationError
from protocol.units import MAX_UINT128
from simulator.events import LiquidityEvent
from simulator.fork import Closed, Fork, Inventory, Opened, amounts_for_liquidity, virtual_vault
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.pool import Pool, PoolRevert
from simulator.portfolio import Holding, Portfolio, Range, VaultPosition, VaultState
from simulator.recovery import RecoveredCall
from simulator.snapshot import PoolSnapshot

UNIT = 10**18
WIDE, NARROW, ABOVE = Range(-6000, 6000), Range(-60, 60), Range(600, 1200)
OWNER = "vault of the real pool"


def virtual(*positions: tuple[Range, int, int], idle0: int = 5 * UNIT, idle1: int = 5 * UNIT) -> Fork:
    snapshot = make_snapshot()
    total0, total1 = idle0 + sum(p[1] for p in positions), idle1 + sum(p[2] for p in positions)
    return Fork.from_opening(snapshot, virtual_vault(snapshot, Inventory(total0, total1, positions)))


def trade(pool: Pool, times: int = 6) -> None:
    """Swap there and back, so that whoever is in range earns fees."""
    for step in range(times):
        pool.swap(step % 2 == 0, 5 * UNIT, None)


def real_vault() -> tuple[Pool, PoolSnapshot, VaultState]:
    """Return a pool in which a vault already holds positions and is owed fees, its snapshot, and the vault."""
    pool = Pool.from_snapshot(make_snapshot())
    for held, liquidity in ((WIDE, 10**20), (NARROW, 10**21)):
        pool.mint(OWNER, held.tick_lower, held.tick_upper, liquidity)
    trade(pool)
    pool.burn(OWNER, NARROW.tick_lower, NARROW.tick_upper, 10**20)  # some fees and principal are owed already
    trade(pool, 3)
    taken = pool.to_snapshot(chain_id=1, pair_address="0x", block_number=1, block_hash="0x", timestamp=1)
    positions = []
    for held in (WIDE, NARROW):
        info = pool.positions[(OWNER, held.tick_lower, held.tick_upper)]
        positions.append(
            VaultPosition(
                held,
                info.liquidity,
                info.fee_growth_inside_0_last_x128,
                info.fee_growth_inside_1_last_x128,
                info.tokens_owed_0,
                info.tokens_owed_1,
            )
        )
    return pool, taken, VaultState(3, 4, tuple(positions), in_pool=True)


def test_a_real_vault_is_attached_to_the_liquidity_that_is_there_already() -> None:
    """Its fork and the pool itself give the same tokens, however the market goes on."""
    pool, snapshot, vault = real_vault()
    fork = Fork.from_opening(snapshot, vault)
    assert (fork.pool.liquidity, fork.pool.ticks) == (pool.liquidity, Pool.from_snapshot(snapshot).ticks)
    assert fork.pool.liquidity == 10**21 + fork.active_liquidity()
    for party in (pool, fork.pool):
        trade(party, 5)
    for held in (NARROW, WIDE):
        lower, upper = held.tick_lower, held.tick_upper
        principal = pool.burn(OWNER, lower, upper, pool.positions[(OWNER, lower, upper)].liquidity)
        paid = pool.collect(OWNER, lower, upper, MAX_UINT128, MAX_UINT128)
        closed = fork.close(held)
        assert (closed.principal0, closed.principal1) == principal
        assert (closed.fees0, closed.fees1) == (paid[0] - principal[0], paid[1] - principal[1])
    assert (fork.pool.liquidity, fork.ranges) == (10**21, ())


def test_a_virtual_vault_is_added_to_the_pool_and_pays_for_it() -> None:
    fork = virtual((NARROW, UNIT, UNIT))
    [holding] = fork.portfolio().holdings
    assert fork.pool.liquidity == 10**21 + holding.liquidity
    assert (fork.active_liquidity(), fork.foreign_liquidity()) == (holding.liquidity, 10**21)
    assert (holding.fees0, holding.fees1) == (0, 0)
    for idle, inside in ((fork.idle0, holding.amount0), (fork.idle1, holding.amount1)):
        assert 6 * UNIT - 1 <= idle + inside <= 6 * UNIT, "minting rounds up by at most a unit"


def test_a_virtual_vault_keeps_what_its_positions_could_not_take() -> None:
    vault = virtual_vault(make_snapshot(), Inventory(7, 9, ((ABOVE, 0, 5),)))
    assert vault == VaultState(7, 9, (), in_pool=False)


def test_a_virtual_vault_cannot_place_more_than_its_inventory() -> None:
    with pytest.raises(SimulationError, match="not covered"):
        virtual_vault(make_snapshot(), Inventory(7, 9, ((ABOVE, 8, 0),)))


def test_a_position_is_in_range_from_its_lower_tick_up_to_before_its_upper_one() -> None:
    fork = virtual((Range(0, 60), UNIT, 0))
    liquidity = fork.portfolio().holdings[0].liquidity
    seen = {}
    for tick in (0, 30, 59, 60, -1):
        limit = get_sqrt_ratio_at_tick(tick)
        if limit != fork.pool.sqrt_price_x96:
            fork.pool.swap(limit < fork.pool.sqrt_price_x96, 10**30, limit)
        seen[fork.pool.tick] = (fork.active_liquidity(), fork.foreign_liquidity())
    inside, outside = (liquidity, 10**21), (0, 10**21)
    assert seen == {0: inside, 30: inside, 59: inside, 60: outside, -1: outside}


def test_closing_tells_principal_from_fees_and_moves_both_to_idle() -> None:
    fork = virtual((WIDE, 5 * UNIT, 5 * UNIT), (NARROW, UNIT, UNIT))
    trade(fork.pool)
    wide = next(h for h in fork.portfolio().holdings if h.range == WIDE)
    assert wide.fees0 > 0 and wide.fees1 > 0
    idle0, idle1 = fork.idle0, fork.idle1
    assert fork.close(WIDE) == Closed(WIDE, wide.liquidity, wide.amount0, wide.amount1, wide.fees0, wide.fees1)
    assert (fork.idle0, fork.idle1) == (idle0 + wide.amount0 + wide.fees0, idle1 + wide.amount1 + wide.fees1)
    assert fork.ranges == (NARROW,)


def test_collecting_fees_takes_them_all_once_and_leaves_the_liquidity() -> None:
    fork = virtual((WIDE, 5 * UNIT, 5 * UNIT))
    trade(fork.pool)
    [before] = fork.portfolio().holdings
    idle0 = fork.idle0
    assert fork.collect_fees(WIDE) == (before.fees0, before.fees1) != (0, 0)
    assert fork.collect_fees(WIDE) == (0, 0)
    assert fork.portfolio().holdings == (replace(before, fees0=0, fees1=0),)
    assert fork.idle0 == idle0 + before.fees0


def test_opening_pays_the_mints_price_from_idle() -> None:
    fork, twin = virtual(), Pool.from_snapshot(make_snapshot())
    opened = fork.open(NARROW, UNIT, 2 * UNIT)
    assert opened is not None
    assert twin.mint("anyone", -60, 60, opened.liquidity) == (opened.amount0, opened.amount1)
    assert opened == Opened(NARROW, opened.liquidity, UNIT, UNIT)
    assert (fork.idle0, fork.idle1) == (4 * UNIT, 4 * UNIT)
    assert fork.portfolio().holdings[0].amount0 == UNIT - 1, "a burn would return a unit less"


@pytest.mark.parametrize(("offer0", "offer1"), [(5 * UNIT + 1, 0), (0, 5 * UNIT + 1)])
def test_opening_more_than_idle_tokens_cover_is_our_own_fault(offer0: int, offer1: int) -> None:
    with pytest.raises(SimulationError, match="not covered"):
        virtual().open(WIDE, offer0, offer1)


def test_opening_a_range_twice_is_our_own_fault() -> None:
    fork = virtual((WIDE, UNIT, UNIT))
    with pytest.raises(SimulationError, match="exists already"):
        fork.open(WIDE, UNIT, UNIT)


def test_an_open_that_the_pool_refuses_changes_nothing() -> None:
    """No liquidity for one unit; and more liquidity than a tick can hold."""
    fork = virtual()
    assert fork.open(ABOVE, 0, UNIT) is None
    assert fork.open(Range(887160, 887220), UNIT, 0) is None
    assert fork.portfolio() == Portfolio(5 * UNIT, 5 * UNIT, ())
    assert fork.pool.ticks == Pool.from_snapshot(make_snapshot()).ticks


@pytest.mark.parametrize("zero_for_one", [True, False])
@pytest.mark.parametrize("amount_specified", [UNIT, -UNIT])
def test_a_swap_of_the_vault_is_the_pools_own(zero_for_one: bool, amount_specified: int) -> None:  # noqa: FBT001 - a test table
    fork, twin = virtual(), Pool.from_snapshot(make_snapshot())
    amounts = twin.swap(zero_for_one, amount_specified, None)
    assert fork.swap(zero_for_one=zero_for_one, amount_specified=amount_specified) == amounts
    assert (fork.idle0, fork.idle1) == (5 * UNIT - amounts[0], 5 * UNIT - amounts[1])


def test_a_swap_that_costs_more_than_is_owned_is_our_own_fault() -> None:
    with pytest.raises(SimulationError, match="spent more than was owned"):
        virtual().swap(zero_for_one=True, amount_specified=6 * UNIT)


def test_somebody_elses_swap_repeats_what_was_asked_not_where_it_went() -> None:
    """With own liquidity in range the same input moves the price less; the fork must not be dragged to the chain's."""
    fork, chain = virtual((NARROW, 5 * UNIT, 5 * UNIT)), Chain(make_snapshot())
    event = chain.swap(True, 3 * UNIT)
    fork.apply_foreign(RecoveredCall(True, 3 * UNIT, None), 9)
    expected = virtual((NARROW, 5 * UNIT, 5 * UNIT))
    expected.pool.swap(True, 3 * UNIT, None)
    assert fork.pool.sqrt_price_x96 == expected.pool.sqrt_price_x96 > event.sqrt_price_x96
    assert fork.pool.timestamp == 9


def test_somebody_elses_limit_is_kept_and_skipped_once_passed() -> None:
    fork = virtual((NARROW, 5 * UNIT, 5 * UNIT))
    limit = get_sqrt_ratio_at_tick(-10)
    call = RecoveredCall(True, 10**30, limit)
    fork.apply_foreign(call, 9)
    assert fork.pool.sqrt_price_x96 == limit
    before = fork.portfolio()
    fork.apply_foreign(call, 9)
    assert (fork.portfolio(), fork.pool.sqrt_price_x96) == (before, limit)


def test_somebody_elses_liquidity_comes_and_goes_as_it_was() -> None:
    fork = virtual((NARROW, UNIT, UNIT))
    own = fork.portfolio()
    fork.apply_foreign(LiquidityEvent(0, -60, 120, 10**20, 1, 1), 9)
    assert fork.foreign_liquidity() == 10**21 + 10**20
    fork.apply_foreign(LiquidityEvent(1, -60, 120, -(10**20), 1, 1), 9)
    assert (fork.foreign_liquidity(), fork.portfolio()) == (10**21, own)
    with pytest.raises(PoolRevert):
        fork.apply_foreign(LiquidityEvent(2, -60, 120, 2**127 - 1, 1, 1), 9)


def test_a_copy_lives_its_own_life_and_liquidating_changes_nothing() -> None:
    fork = virtual((WIDE, UNIT, UNIT), (NARROW, UNIT, UNIT))
    trade(fork.pool)
    before = fork.portfolio()
    twin = fork.copy()
    twin.close(WIDE)
    trade(twin.pool, 3)
    assert fork.portfolio() == before and fork.ranges == (WIDE, NARROW)
    assert fork.liquidate() == before.total
    assert fork.portfolio() == before


def test_a_portfolio_adds_up() -> None:
    portfolio = Portfolio(1, 2, (Holding(WIDE, 9, 10, 20, 100, 200), Holding(NARROW, 9, 1000, 2000, 10_000, 20_000)))
    assert (portfolio.principal, portfolio.fees, portfolio.total) == ((1010, 2020), (10_100, 20_200), (11_111, 22_222))


@given(
    tick=st.integers(-100_000, 100_000),
    lower=st.integers(-100_000, 99_999),
    width=st.integers(1, 50_000),
    liquidity=st.integers(1, 2**100),
)
def test_what_a_position_holds_is_what_burning_it_returns(tick: int, lower: int, width: int, liquidity: int) -> None:
    pool = Pool(3000, 1)
    pool.initialize(get_sqrt_ratio_at_tick(tick))
    held = Range(lower, lower + width)
    paid = pool.mint("a", held.tick_lower, held.tick_upper, liquidity)
    inside = amounts_for_liquidity(pool.sqrt_price_x96, held, liquidity)
    assert all(0 <= p - i <= 1 for p, i in zip(paid, inside, strict=True))
    assert pool.burn("a", held.tick_lower, held.tick_upper, liquidity) == inside


def test_a_price_at_either_end_of_the_scale_values_a_position() -> None:
    full = Range(-887220, 887220)
    assert amounts_for_liquidity(MIN_SQRT_RATIO, full, 10**18)[1] == 0
    assert amounts_for_liquidity(MAX_SQRT_RATIO - 1, full, 10**18)[0] == 0


@pytest.mark.parametrize(
    "vault",
    [
        VaultState(-1, 0, (), in_pool=False),
        VaultState(0, -1, (), in_pool=False),
        VaultState(0, 0, (VaultPosition(Range(-60, 61), 1, 0, 0, 0, 0),), in_pool=True),
        VaultState(0, 0, (VaultPosition(Range(60, -60), 1, 0, 0, 0, 0),), in_pool=True),
        VaultState(0, 0, (VaultPosition(WIDE, 0, 0, 0, 0, 0),), in_pool=True),
        VaultState(0, 0, (VaultPosition(WIDE, 1, 0, 0, 0, 0),) * 2, in_pool=True),
    ],
)
def test_a_vault_that_cannot_be_is_refused(vault: VaultState) -> None:
    with pytest.raises(SimulationError):
        Fork.from_opening(make_snapshot(), vault)
