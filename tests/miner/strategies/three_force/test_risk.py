import pytest
from support.check_series import is_close

from miner.strategies.three_force import risk
from miner.strategies.three_force.risk import CashTriggers, RiskParams


@pytest.mark.parametrize(
    ("scores", "expected"), [((9000, 6400, 7200), 7457), ((), 0), ((4321,), 4321), ((5000, 0), 0), ((27, 64, 125), 60)]
)
def test_composite_score(scores: tuple[int, ...], expected: int) -> None:
    assert risk.c_score(scores) == expected


def test_a_score_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not within 0 and 10000"):
        risk.c_score((10_001, 5))


@pytest.mark.parametrize(("pools", "expected"), [(7, 3724), (9, 3172), (11, 2868), (13, 2702), (0, 10_000)])
def test_count_cap(pools: int, expected: int) -> None:
    assert risk.count_cap(pools) == expected


@pytest.mark.parametrize(
    ("scores", "max_bp", "amplification", "chain", "display"),
    [
        ((9000, 6000, 3000), 10000, 15000, [5758, 3134, 1108], [5758, 3134, 1108]),
        ((9000, 6000, 3000), 4500, 15000, [4501, 4063, 1436], [4500, 4063, 1437]),
        ((9000, 6000, 3000, 2500), 4000, 10000, [4001, 3130, 1565, 1304], None),
        ((7000, 0), 6000, 15000, [10000, 0], None),
        ((0, 0), 6000, 15000, [0, 0], [0, 0]),
    ],
)
def test_weights(
    scores: tuple[int, ...], max_bp: int, amplification: int, chain: list[int], display: list[int] | None
) -> None:
    assert risk.weights(scores, max_bp, amplification_bp=amplification) == chain
    if display is not None:
        assert risk.display_weights(scores, max_bp) == display


@pytest.mark.parametrize(("max_bp", "total_bp"), [(0, 10_000), (5001, 5000), (10_001, 10_001)])
def test_weights_refuse_what_reverts(max_bp: int, total_bp: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        risk.weights((1, 2), max_bp, total_bp)


def test_an_amount_is_split_to_the_last_unit() -> None:
    assert risk.split(500_000, (5758, 3134, 1108)) == [287_900, 156_700, 55_400]
    assert risk.split(7, (3333, 3333, 3334)) == [2, 2, 3]


@pytest.mark.parametrize(("tvl", "expected"), [(2500, 1803), (60_000, 1002), (750_000, 736), (20e6, 588), (0, 10_000)])
def test_cash_buffer(tvl: float, expected: int) -> None:
    assert risk.cash_buffer_bp(tvl) == expected


def test_cash_buffer_of_other_parameters() -> None:
    assert risk.cash_buffer_bp(750_000, RiskParams(cash_floor=0.10, cash_factor=0.2, cash_exponent=0.05)) == 5959
    assert risk.cash_buffer_bp(750_000, RiskParams(cash_floor=1.0)) == 10_000
    assert risk.cash_triggers(724) == CashTriggers(724, 362, 1086)


def test_how_a_flow_moves_the_ratio() -> None:
    vault, user, target = 500_000.0, 80_000.0, 5500.0
    after_deposit = (0.3 * vault + 0.9 * user) / (vault + user) * 1e4
    after_withdrawal = (0.3 * vault - 0.9 * user) / (vault - user) * 1e4
    assert is_close(risk.ratio_gain_bp(3000, after_deposit, target), 827.586206896552)
    assert is_close(risk.ratio_gain_bp(3000, after_withdrawal, target), -1142.85714285714)


@pytest.mark.parametrize(
    ("gain", "amplification", "expected"),
    [
        (-8200, 3500, 138),
        (-6000, 3500, 83),
        (600, 3500, 11),
        (3000, 3500, 4),
        (9100, 3500, 1),
        (1200, 5000, 89),
        (-700, 6500, 191),
        (4000, 6500, 152),
        (-10_000, 3500, 200),
        (10_000, 3500, 1),
    ],
)
def test_slippage(gain: float, amplification: int, expected: int) -> None:
    assert risk.slippage_bp(gain, RiskParams(slippage_amplification_bp=amplification)) == expected


def test_slippage_of_no_range() -> None:
    with pytest.raises(ValueError, match="no range"):
        risk.slippage_bp(0, RiskParams(min_slippage_bp=200))
