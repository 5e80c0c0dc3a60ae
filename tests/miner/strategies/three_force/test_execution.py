import pytest
from support.check_series import is_close

from miner.strategies.three_force.execution import (
    bin_id,
    epoch_pnl,
    impermanent_loss,
    min_amount,
    mint_amount,
    needs_swap,
    scale,
    split_over_bins,
)
from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.tick_math import get_sqrt_ratio_at_tick


def test_amounts() -> None:
    assert min_amount(10001) == 9951
    assert scale(10**18, 1 / 3) == 333333333 * 10**9
    assert mint_amount(10**18, 0.6) == 57 * 10**16


def test_a_swap_is_worth_it_from_five_per_cent() -> None:
    assert needs_swap(55, 45)
    assert not needs_swap(54.9, 45.1)


@pytest.mark.parametrize(
    ("tick", "expected"),
    [(100, 32926473838644223848), (-900, 15195037733011751542), (900, 30208290004063652015)],
)
def test_liquidity_is_the_position_manager_s(tick: int, expected: int) -> None:
    """The engine's own function is the published arithmetic: there is no second one."""
    lower, upper = get_sqrt_ratio_at_tick(-600), get_sqrt_ratio_at_tick(720)
    assert get_liquidity_for_amounts(get_sqrt_ratio_at_tick(tick), lower, upper, 10**18, 2 * 10**18) == expected


def test_prices_of_ticks() -> None:
    assert get_sqrt_ratio_at_tick(76012) == 3543044998928785369221364274881
    assert get_sqrt_ratio_at_tick(-777) == 76209320027539164299860229598


def test_bins() -> None:
    assert bin_id(1.07, 20) == 8388642
    assert split_over_bins(10**18, 10**18, [-1, 0, 1, 2]) == [
        (0, 5 * 10**17),
        (333333333333333333, 5 * 10**17),
        (333333333333333333, 0),
        (333333333333333334, 0),
    ]
    assert split_over_bins(5, 5, [1]) == [(5, 0)]


@pytest.mark.parametrize(("ratio", "loss"), [(1.2, 20.70402268031), (0.7, 78.4704321525)])
def test_the_published_loss_is_that_of_a_full_range(ratio: float, loss: float) -> None:
    assert is_close(impermanent_loss(2000 * ratio, 2000, 5000), loss)


def test_the_published_pnl_takes_all_losses_so_far_off_one_epoch() -> None:
    found = epoch_pnl(current_apr=0.35064, value=10_000, epochs_per_year=35_064, gas=0.02, cumulative_il=0.05)
    assert is_close(found.fees, 0.1)
    assert is_close(found.net, 0.03)
