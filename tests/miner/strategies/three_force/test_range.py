import pytest
from support.check_series import check_series, is_close

from miner.strategies.three_force import forces
from miner.strategies.three_force import range as ranges
from miner.strategies.three_force.range import RangeParams

DEFAULTS = RangeParams()
OTHER = RangeParams(
    critical_force=10,
    confidence_exp=-0.05,
    bias_exp=0.02,
    bias_divider=2,
    confidence_divider=4,
    base_min=0.001,
    base_max=0.05,
    alpha_r=-0.8,
    d=200,
    oversold=35,
    overbought=65,
    bearish_from=42,
    bullish_from=58,
)


@pytest.mark.parametrize(
    ("price", "vmt", "params", "lower", "upper", "confidence", "bias", "kind"),
    [
        (2000, (8, 50, 50), DEFAULTS, 1944.583548873, 2055.416451127, 100, 0, "neutral"),
        (2000, (8, 72, 55), DEFAULTS, 1950.669361512, 2062.253057118, 1.121525509052, 0.1233678059957, "neutral"),
        (2000, (8, 50, 59.9999), DEFAULTS, 1955.550671477, 2069.089526378, 100, 0.2467331446352, "neutral"),
        (2000, (30, 50, 60), DEFAULTS, 1947.893465335, 2055.638199792, 12.75256303244, 0.03333333333333, "bullish"),
        (2000, (30, 66, 71), DEFAULTS, 1957.501957054, 2068.217583332, 63.76281516218, 0.2669623215675, "bullish"),
        (2000, (30, 34, 71), DEFAULTS, 1946.391119698, 2054.078984112, 0.7970351895272, 0.004375, "bullish"),
        (2000, (30, 28, 22), DEFAULTS, 1925.186126455, 2038.751018344, 63.76281516218, -0.3894710759699, "bearish"),
        (1, (20, 62, 40), DEFAULTS, 0.9726478742314, 1.027200800329, 1.434513294042, -0.002777777777778, "bearish"),
        (150, (12, 70, 64), OTHER, 144.0807370396, 158.6500055246, 90.4837418036, 0.2088554576698, "bullish"),
        (
            2019.358,
            tuple(forces.composite(check_series(9000, 60, 2000, 0.002, 1e-6))),
            DEFAULTS,
            1964.963823533,
            2075.604190437,
            1.203245604749,
            0.01688151684413,
            "neutral",
        ),
    ],
)
def test_ranges_of_the_reference(
    price: float,
    vmt: tuple[float, float, float],
    params: RangeParams,
    lower: float,
    upper: float,
    confidence: float,
    bias: float,
    kind: str,
) -> None:
    found = ranges.compute(price, vmt, params)
    assert is_close(found.lower, lower)
    assert is_close(found.upper, upper)
    assert is_close(found.confidence, confidence)
    assert is_close(found.bias, bias)
    assert found.type == kind
    assert (found.C, found.b) == (found.confidence, found.bias)
    assert is_close(found.breadth, (upper - lower) / price)


@pytest.mark.parametrize(
    ("v", "width"),
    [
        (3, 0.02789021970696),
        (17, 0.02738367803641),
        (42, 0.02650232623699),
        (63, 0.02578435954262),
        (88, 0.02495543963999),
    ],
)
def test_the_base_width_falls_as_volatility_rises(v: float, width: float) -> None:
    assert is_close(ranges.base_width(v), width)


@pytest.mark.parametrize(
    ("current", "target", "expected"),
    [
        ((1900, 2100), (1950, 2150), 0.25),
        ((1900, 2100), (1950, 2100), 0.375),
        ((1900, 2100), (2500, 2900), 1),
        ((5, 5), (7, 7), 0),
        ((5, 5), (6, 7), 1),
    ],
)
def test_divergence(current: tuple[float, float], target: tuple[float, float], expected: float) -> None:
    assert is_close(ranges.divergence(current, target), expected)


@pytest.mark.parametrize(
    ("price", "tick", "spacing", "lower", "upper"),
    [(3141.59, 80528, 60, 80520, 80580), (0.99931, -7, 10, -10, 0), (-1, -414487, 1, -414487, -414487)],
)
def test_ticks(price: float, tick: int, spacing: int, lower: int, upper: int) -> None:
    assert ranges.price_to_tick(price) == tick
    assert ranges.align_ticks(price, price, spacing) == (lower, upper)


@pytest.mark.parametrize(("spacing", "expected"), [(60, (75720, 76320)), (10, (75730, 76290))])
def test_a_range_is_aligned_outward(spacing: int, expected: tuple[int, int]) -> None:
    found = ranges.compute(2000, (8, 50, 50))
    assert ranges.align_ticks(found.lower, found.upper, spacing) == expected


def test_the_published_defects_are_kept() -> None:
    """A lower edge below 0, and a jump where the trend enters a regime."""
    assert ranges.compute(1, (12, 50.002, 28)).lower < 0
    assert is_close(ranges.compute(1, (12, 49.98, 70)).upper, 1.119, 1e-3)
    assert round(ranges.compute(1, (12, 70, 59.99)).bias, 4) == 0.2186
    assert round(ranges.compute(1, (12, 70, 60)).bias, 4) == 0.1350
