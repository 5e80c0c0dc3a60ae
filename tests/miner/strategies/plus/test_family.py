from dataclasses import replace

import pytest
from support.check_series import is_close

from miner.strategies.plus.allocation import Pool
from miner.strategies.plus.family import FamilyPool, Settings, spread

POOLS = [
    FamilyPool("a", Pool(0.30, 0.8e6), (9000, 6400, 7200)),
    FamilyPool("b", Pool(0.28, 4e6), (6000,)),
    FamilyPool("c", Pool(0.27, 15e6), (3000,)),
]


def test_the_marginal_method_is_the_water_fill() -> None:
    found = spread(POOLS, 1e6, Settings())
    assert [round(row.share, 9) for row in found.rows] == [0.080674128, 0.254060193, 0.665265679]
    assert is_close(found.income, 0.260867260906)
    assert is_close(found.rows[2].amount, 665265.679092)
    assert [row.c_score for row in found.rows] == [7457, 6000, 3000]


def test_one_cap_for_all_and_the_published_one() -> None:
    assert [row.share for row in spread(POOLS, 1e6, Settings(max_share_bp=3000)).rows] == [0.3, 0.3, 0.3]
    published = spread(POOLS, 1e6, Settings(max_share_bp=None))
    assert {row.cap for row in published.rows} == {0.3334}
    own = [replace(p, pool=replace(p.pool, cap=0.1)) for p in POOLS]
    assert {row.cap for row in spread(own, 1e6, Settings(max_share_bp=3000)).rows} == {0.1}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("waterfill", [0.1227356747017, 0.3060998151889, 0.5711645101094]),
        ("score", [0.3332, 0.3334, 0.3334]),
        ("cscore", [0.4824, 0.3824, 0.1352]),
    ],
)
def test_other_methods(method: str, expected: list[float]) -> None:
    settings = Settings(method=method, max_share_bp=4823 if method == "cscore" else 10_000)  # type: ignore[arg-type]
    found = spread(POOLS, 1e6, settings)
    assert [round(row.share, 4) for row in found.rows] == [round(share, 4) for share in expected]


def test_a_cash_buffer_stays_out_of_every_pool() -> None:
    found = spread(POOLS, 750_000, Settings(keeps_cash=True))
    assert found.cash_buffer_bp == 736
    assert is_close(found.cash, 0.0736)
    assert is_close(sum(row.share for row in found.rows), 0.9264)
    alone = spread(POOLS, 750_000 * 0.9264, Settings())
    assert all(is_close(a.amount, b.amount) for a, b in zip(found.rows, alone.rows, strict=True))


def test_losses_are_taken_off_what_is_shown() -> None:
    (row,) = spread([FamilyPool("a", Pool(0.3, 1e6, lvr=0.1))], 1e6, Settings(max_share_bp=5000)).rows
    assert (row.share, is_close(row.rate, 0.3 / 1.5 - 0.1)) == (0.5, True)
