import pytest
from support.check_series import check_series, is_close, mulberry32

from miner.strategies.three_force.candles import H1_MS, M15_MS, Candle, aggregate, frames, merge


def test_the_check_series_is_the_reference_s() -> None:
    bars = check_series(60, 900, 2000, 0.004, 2e-5)
    assert [round(x, 9) for x in bars[0][1:]] == [2000, 2000, 1992, 1992, 10]
    assert [round(x, 9) for x in bars[1][1:]] == [1992, 1999.558368, 1990.008, 1997.96, 11]
    assert is_close(bars[59][4], 2004.28)
    draw = mulberry32(2024)
    assert [round(draw(), 13) for _ in range(3)] == [0.8117623738945, 0.7108214949258, 0.650525885867]


def test_venues_merge_by_weight_in_prices_and_not_in_extremes() -> None:
    venue_a: list[Candle] = [(60_500, 100, 101, 99, 100.5, 7)]
    venue_b: list[Candle] = [(60_000, 100.2, 102, 99.5, 100.9, 3)]
    (merged,) = merge([venue_a, venue_b])
    assert merged[0] == 60_000
    assert [round(x, 12) for x in merged[1:]] == [100.076923076923, 102, 99, 100.653846153846, 10]


def test_a_minute_without_weight_is_dropped_and_minutes_ascend() -> None:
    venue: list[Candle] = [(120_000, 1, 1, 1, 1, 1), (60_000, 2, 2, 2, 2, 1)]
    assert [bar[0] for bar in merge([venue], [1.0])] == [60_000, 120_000]
    assert merge([venue], [0.0]) == []
    with pytest.raises(ValueError, match="2 venues, but 1 weights"):
        merge([venue, venue], [1.0])


def test_frames_of_the_check_series() -> None:
    found = frames(check_series(9000, 60, 2000, 0.002, 1e-6))
    assert (len(found.m15), len(found.h1), len(found.h4)) == (96, 151, 39)
    bars = aggregate(check_series(9000, 60, 2000, 0.002, 1e-6), M15_MS)
    assert len(bars) == 601
    assert [round(x, 9) for x in bars[0]] == [1699999200000, 2000, 2000, 1995.002, 1998.962, 21]
    assert [round(x, 9) for x in bars[1]] == [1700000100000, 1998.962, 2004.3374144, 1995.0642428, 2002.992, 233]
    assert [round(x, 9) for x in found.h4[-1]] == [1700539200000, 2021.252, 2022.524757, 2012.3668176, 2019.358, 208]


def test_a_gap_leaves_no_bucket() -> None:
    bars: list[Candle] = [(0, 1, 3, 1, 2, 1), (5 * H1_MS, 4, 5, 4, 4, 1)]
    assert aggregate(bars, H1_MS) == bars
