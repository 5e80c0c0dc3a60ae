"""What is fixed when a round opens: its schedule, its settings, and their spelling in evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import START_BLOCK, make_opening, make_snapshot

from protocol.errors import ConfigError, SimulationError
from protocol.units import Hotkey
from simulator.gas import GasTable
from simulator.ledger import GasPolicy
from simulator.opening import Entrant, RoundOpening, Schedule
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.valuation import Numeraire, QuoteToken, Target

VAULT = VaultState(3, 5, (VaultPosition(Range(-60, 60), 7, 2**255, 11, 13, 17),), in_pool=True)


def opening(**changes: Any) -> RoundOpening:
    gas = GasPolicy(10**9, token_is_0=True, rate_numerator=10**30, rate_denominator=7, table=GasTable(1, 2, 3, 4, 5))
    made = make_opening(make_snapshot(), VAULT, target=Target.POL, quote_token=QuoteToken.TOKEN0, gas=gas)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("deadline_s", "block_time_s", "delay"),
    [(60, 12, 6), (12, 12, 2), (13, 12, 3), (11, 12, 2), (1, 12, 2), (60, 2, 31), (59, 2, 31), (61, 2, 32), (0, 2, 1)],
)
def test_the_delay_is_one_block_and_the_deadline_rounded_up(deadline_s: int, block_time_s: int, delay: int) -> None:
    schedule = Schedule(1000, 150, deadline_s, block_time_s)
    assert (schedule.delay_blocks, schedule.effective_block(500)) == (delay, 500 + delay)


@given(deadline_s=st.integers(0, 3600), block_time_s=st.integers(1, 60))
def test_no_block_of_the_thinking_time_is_traded_on(deadline_s: int, block_time_s: int) -> None:
    """Even an answer at the last moment has seen no event of the block in which it takes effect."""
    schedule = Schedule(10_000, 5_000, deadline_s, block_time_s)
    last_seen = 100 + deadline_s // block_time_s
    assert last_seen < schedule.effective_block(100) <= last_seen + 2


def test_the_end_is_the_last_block() -> None:
    assert Schedule(450, 150, 60, 2).end_block(1_000) == 1_450


def test_settings_become_a_schedule_that_restrikes_every_five_minutes() -> None:
    schedule = Schedule.from_settings(duration_s=901, checkpoint_interval_blocks=150, deadline_s=60, block_time_s=2)
    assert schedule == Schedule(450, 150, 60, 2, restrike_s=300)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"checkpoint_interval_blocks": 0}, "at least 1"),
        ({"checkpoint_interval_blocks": 30}, "shorter than the 31 blocks"),
        ({"duration_s": 60}, "use at least 62"),
    ],
)
def test_settings_that_do_not_fit_together(changes: dict[str, int], says: str) -> None:
    settings = {"duration_s": 900, "checkpoint_interval_blocks": 150, "deadline_s": 60, "block_time_s": 2}
    with pytest.raises(ConfigError, match=says):
        Schedule.from_settings(**{**settings, **changes})


def test_settings_that_only_just_fit() -> None:
    made = Schedule.from_settings(duration_s=62, checkpoint_interval_blocks=31, deadline_s=60, block_time_s=2)
    assert made.effective_block(START_BLOCK) == made.end_block(START_BLOCK)


def test_a_hotkey_takes_part_once() -> None:
    twice = (Entrant(Hotkey("a"), 0, 1), Entrant(Hotkey("b"), 1, 1), Entrant(Hotkey("a"), 2, 9))
    with pytest.raises(SimulationError, match="takes part twice"):
        opening(entrants=twice)


def test_participants_keep_the_order_of_the_entrants() -> None:
    assert opening(entrants=(Entrant(Hotkey("b"), 1, 1), Entrant(Hotkey("a"), 0, 1))).participants == ("b", "a")


def test_the_numeraire_takes_the_bundle_as_it_is_and_the_opening_price() -> None:
    made = opening()
    assert made.numeraire((3, 5)) == Numeraire(Target.POL, QuoteToken.TOKEN0, 3, 5, made.snapshot.sqrt_price_x96)


def test_an_opening_survives_json_whole() -> None:
    made = opening()
    read = RoundOpening.from_json(json.loads(json.dumps(made.to_json())))
    assert read == made
    assert read.snapshot_digest == made.snapshot.digest()


def test_a_malformed_opening_is_refused() -> None:
    value = opening().to_json()
    for path in (("market", "token0", "address"), ("gas", "price_wei"), ("schedule", "length_blocks"), ("vault",)):
        broken = json.loads(json.dumps(value))
        inner = broken
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        with pytest.raises(SimulationError, match="malformed"):
            RoundOpening.from_json(broken)
    with pytest.raises(SimulationError, match="malformed"):
        RoundOpening.from_json({**value, "target": "moon"})
