"""Each live guard alone: on its limit it allows, one beyond it refuses, by its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from executor.guards import Allowed, Refused
from executor.live_guards import LiveLimits, Situation, check_situation

VAULT = "0x" + "aB" * 20
LIMITS = LiveLimits(
    frozenset({VAULT.lower()}),
    max_age_blocks=10,
    max_deviation_ticks=50,
    max_external_ppm=1_000,
    max_daily_turnover_ppm=500,
    max_daily_loss_ppm=300,
)
ON_EVERY_LIMIT = Situation(
    vault=VAULT,
    age_blocks=10,
    tick=150,
    mean_tick=100,
    sqrt_price_x96=10_000,
    turnover_ppm=200,
    daily_turnover_ppm=300,
    loss_ppm=100,
    daily_loss_ppm=200,
    external_price_x96=9_996,  # 800 ppm in price
)


def test_on_every_limit_it_is_allowed() -> None:
    assert check_situation(ON_EVERY_LIMIT, LIMITS) == Allowed()
    assert check_situation(replace(ON_EVERY_LIMIT, external_price_x96=None), LIMITS) == Allowed()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vault": "0x" + "cd" * 20}, f"vault 0x{'cd' * 20} is not on the list of --allow"),
        ({"age_blocks": 11}, "the decision is 11 blocks old, at most 10"),
        ({"mean_tick": None}, "the pool does not remember its price of 600 s ago"),
        ({"tick": 151}, "51 ticks between price and mean, at most 50"),
        ({"tick": 49}, "51 ticks between price and mean, at most 50"),
        ({"external_price_x96": 9_994}, "1201 ppm between price and external price, at most 1000"),
        ({"external_price_x96": 10_006}, "1200 ppm between price and external price, at most 1000"),
        ({"turnover_ppm": 201}, "501 ppm of turnover in a day, at most 500"),
        ({"daily_turnover_ppm": 301}, "501 ppm of turnover in a day, at most 500"),
        ({"loss_ppm": 101}, "301 ppm of loss in a day, at most 300"),
        ({"daily_loss_ppm": 201}, "301 ppm of loss in a day, at most 300"),
    ],
)
def test_one_beyond_a_limit_is_refused(change: dict[str, Any], reason: str) -> None:
    expected = Refused(reason, is_plans="in a day" in reason, is_passing="--allow" in reason)
    assert check_situation(replace(ON_EVERY_LIMIT, **change), LIMITS) == expected
