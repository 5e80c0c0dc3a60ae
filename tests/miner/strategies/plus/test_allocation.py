from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close

from miner.strategies.plus.allocation import Pool, water_fill

POOLS = [Pool(0.30, 0.8e6), Pool(0.28, 4e6), Pool(0.27, 15e6)]


def agrees(found: tuple[float, ...], expected: tuple[float, ...]) -> bool:
    return all(is_close(a, b) for a, b in zip(found, expected, strict=True))


def test_the_last_unit_earns_the_same_everywhere() -> None:
    found = water_fill(POOLS, 1e6)
    assert agrees(found.shares, (0.080674127957, 0.254060192950, 0.665265679092))
    assert is_close(found.level, 0.24755445861)
    assert is_close(found.income, 0.260867260906)


def test_caps_are_exact_and_what_they_leave_is_cash() -> None:
    found = water_fill([replace(pool, cap=0.4) for pool in POOLS], 1e6)
    assert agrees(found.shares, (0.2, 0.4, 0.4)) and is_close(found.level, 0.192)
    found = water_fill([replace(pool, cap=0.3) for pool in POOLS], 1e6)
    assert found.shares == (0.3, 0.3, 0.3) and is_close(found.cash, 0.1)


def test_losses_count_against_rates_and_cash_may_be_better() -> None:
    pools = [replace(pool, lvr=lvr) for pool, lvr in zip(POOLS, (0.10, 0.12, 0.20), strict=True)]
    found = water_fill(pools, 1e6, cash_rate=0.04)
    assert agrees(found.shares, (0.239502321977, 0.760497678023, 0)) and is_close(found.level, 0.077684809565)
    assert water_fill(pools, 1e6, cash_rate=0.5).shares == (0.0, 0.0, 0.0)


def test_a_move_must_pay_for_itself() -> None:
    pools = [replace(p, held=held, move_cost=0.001) for p, held in zip(POOLS, (0.2, 0.3, 0.5), strict=True)]
    assert agrees(water_fill(pools, 1e6).shares, (0.121759275486, 0.3, 0.578240724514))
    held = [replace(pool, move_cost=9.0) for pool in pools]
    assert agrees(water_fill(held, 1e6).shares, (0.2, 0.3, 0.5))


def test_dust_is_dropped_and_the_rest_solved_again() -> None:
    pools = [*POOLS, Pool(0.2476, 2e6)]
    found = water_fill(pools, 1e6)
    assert found.shares[3] == 0.0
    assert found.shares[:3] == water_fill(POOLS, 1e6).shares


def test_little_capital_concentrates_and_much_spreads() -> None:
    assert water_fill(POOLS, 1.0).shares == (1.0, 0.0, 0.0)
    spread = water_fill(POOLS, 1e12).shares
    assert all(share > 0.02 for share in spread)


@pytest.mark.parametrize(("capital", "horizon"), [(0.0, 30.0), (-1.0, 30.0), (1.0, 0.0)])
def test_no_capital_or_time_is_refused(capital: float, horizon: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        water_fill(POOLS, capital, horizon_days=horizon)


def test_fees_below_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be below 0"):
        water_fill([Pool(-0.1, 1e6)], 1.0)


def test_pools_that_earn_nothing_get_nothing() -> None:
    assert water_fill([Pool(0.0, 0.0), Pool(0.0, 1e6), Pool(0.0, 1e6)], 1.0).shares == (0.0, 0.0, 0.0)
    assert water_fill([Pool(0.0, 1e6, held=0.5, move_cost=0.01)], 1.0).shares == (
        0.5,
    )  # leaving costs, staying does not


pools_drawn = st.lists(
    st.builds(
        Pool,
        apr=st.floats(0, 5),
        tvl=st.floats(0, 1e9),
        lvr=st.floats(0, 1),
        cap=st.floats(0, 1),
        held=st.floats(0, 0.2),
        move_cost=st.sampled_from([0.0, 1e-4, 0.01]),
    ),
    min_size=1,
    max_size=5,
)


@given(pools_drawn, st.floats(1, 1e9))
def test_shares_keep_caps_and_add_up_to_one_at_most(pools: list[Pool], capital: float) -> None:
    found = water_fill(pools, capital)
    assert sum(found.shares) <= 1 + 1e-9
    assert all(0 <= share <= pool.cap for share, pool in zip(found.shares, pools, strict=True))
    assert is_close(sum(found.shares) + found.cash, 1.0)


@given(pools_drawn, st.floats(1, 1e9))
def test_the_order_of_pools_does_not_matter(pools: list[Pool], capital: float) -> None:
    there, back = water_fill(pools, capital), water_fill(pools[::-1], capital)
    assert all(abs(a - b) < 1e-6 for a, b in zip(there.shares, back.shares[::-1], strict=True)) or len(
        {(p.apr, p.tvl, p.lvr) for p in pools}
    ) < len(pools)


@given(st.floats(0.01, 1), st.floats(1.01, 3))
def test_a_better_rate_gets_no_less(apr: float, factor: float) -> None:
    rest = [Pool(0.2, 1e6), Pool(0.1, 5e6)]
    low = water_fill([Pool(apr, 1e6), *rest], 1e6).shares[0]
    assert water_fill([Pool(apr * factor, 1e6), *rest], 1e6).shares[0] >= low - 1e-9


def test_nothing_else_earns_more() -> None:
    """Moving a little from any pool to any other never helps."""
    found, capital, step = water_fill(POOLS, 1e6), 1e6, 1e-4

    def income(shares: tuple[float, ...]) -> float:
        return sum(s * p.apr * p.tvl / (p.tvl + s * capital) for s, p in zip(shares, POOLS, strict=True))

    for a in range(3):
        for b in range(3):
            shares = [share + step * ((i == a) - (i == b)) for i, share in enumerate(found.shares)]
            assert income(tuple(shares)) <= income(found.shares) + 1e-12
