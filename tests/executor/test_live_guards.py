"""Each live guard alone: on its limit it allows, one beyond it refuses, by its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from executor.guards import Allowed, Refused
from executor.live_guards import LiveLimits, Situation, Used, check_opening, check_rest, check_situation
from executor.vault import VaultLimits

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
    plan=Used(200, 100),
    round=Used(50, 30),
    day=Used(300, 200),
    vault_limits=VaultLimits(max_loss_ppm=100, max_daily_loss_ppm=260),
    since_due_s=120,
    external_price_x96=9_996,  # 800 ppm in price
)


def test_on_every_limit_it_is_allowed() -> None:
    assert check_situation(ON_EVERY_LIMIT, LIMITS) == Allowed()
    assert check_situation(replace(ON_EVERY_LIMIT, external_price_x96=None), LIMITS) == Allowed()
    assert check_situation(replace(ON_EVERY_LIMIT, vault_limits=None), LIMITS) == Allowed()
    assert check_situation(replace(ON_EVERY_LIMIT, age_blocks=-3), LIMITS) == Allowed(), "before it takes effect"


@pytest.mark.parametrize(
    ("change", "reason", "is_plans"),
    [
        ({"vault": "0x" + "cd" * 20}, f"vault 0x{'cd' * 20} is not on the list of --allow", False),
        ({"age_blocks": 11}, "the decision is 11 blocks old, at most 10", False),
        ({"mean_tick": None}, "the pool does not remember its price of 600 s ago", False),
        ({"tick": 151}, "51 ticks between price and mean, at most 50", False),
        ({"tick": 49}, "51 ticks between price and mean, at most 50", False),
        ({"external_price_x96": 9_994}, "1201 ppm between price and external price, at most 1000", False),
        ({"external_price_x96": 10_006}, "1200 ppm between price and external price, at most 1000", False),
        ({"since_due_s": 119}, "1 seconds of rest left from its round's last plan, at most 0", True),
        ({"plan": Used(200, 101)}, "101 ppm of loss in one plan, at most 100", True),
        ({"plan": Used(201, 100)}, "251 ppm of turnover in a round, at most 250", True),
        ({"round": Used(51, 30)}, "251 ppm of turnover in a round, at most 250", True),
        ({"round": Used(50, 31)}, "131 ppm of loss in a round, at most 130", True),
        ({"round": Used(50, 51), "vault_limits": None}, "151 ppm of loss in a round, at most 150", True),
        ({"round": Used(50, 51), "vault_limits": VaultLimits()}, "151 ppm of loss in a round, at most 150", True),
        ({"day": Used(301, 200)}, "501 ppm of turnover in a day, at most 500", False),
        ({"day": Used(300, 201)}, "301 ppm of loss in a day, at most 300", False),
        ({"round": Used(51, 31), "day": Used(301, 201)}, "251 ppm of turnover in a round, at most 250", True),
    ],
)
def test_one_beyond_a_limit_is_refused(change: dict[str, Any], reason: str, *, is_plans: bool) -> None:
    expected = Refused(reason, is_plans=is_plans, is_passing="--allow" in reason)
    assert check_situation(replace(ON_EVERY_LIMIT, **change), LIMITS) == expected


def test_a_round_opens_while_half_of_each_budget_is_left() -> None:
    assert check_opening(Used(250, 150), LIMITS) == Allowed()
    for day, name in ((Used(251, 150), "turnover"), (Used(250, 151), "loss")):
        found = check_opening(day, LIMITS)
        assert isinstance(found, Refused) and found.is_passing and f" ppm of {name} in the last day" in found.reason


def test_a_vault_rests_for_its_cooldown_and_no_longer() -> None:
    assert check_rest(LIMITS.cooldown_s, LIMITS) == Allowed()
    assert check_rest(LIMITS.cooldown_s - 1, LIMITS) == Refused("the vault rests for 1 s more", is_passing=True)
