from dataclasses import replace

import pytest
from support.check_series import is_close

from miner.strategies.three_force.decision import Decision, OpenPosition, decide

HOUR_MS = 3_600_000
FIRST = OpenPosition(6000, 0.11, -280, 280)
SECOND = OpenPosition(4000, 0.07, -60, 900)
GOOD = ((0.6, 0.13), (0.4, 0.09))
MODEST = ((0.6, 0.10), (0.4, 0.09))
CALM = (8, 50, 50)


def choose(targets: tuple[tuple[float, float], ...], *, gas: float = 0.0, hours_since: float | None = None) -> Decision:
    last = None if hours_since is None else int(-hours_since * HOUR_MS)
    return decide([FIRST, SECOND], targets, 1.0, CALM, now_ms=0, gas=gas, last_rebalance_ms=last)


def test_a_better_portfolio_is_taken() -> None:
    found = choose(GOOD)
    assert found.action == "PRA"
    assert is_close(found.current_apr, 0.094)
    assert is_close(found.optimal_apr, 0.114)


@pytest.mark.parametrize(("hours", "action"), [(11, "HOLD"), (12, "PRA")])
def test_twelve_hours_must_pass(hours: float, action: str) -> None:
    assert choose(GOOD, hours_since=hours).action == action
    aged = replace(FIRST, entry_time_ms=int(-hours * HOUR_MS))
    found = decide([aged, replace(SECOND, entry_time_ms=-99 * HOUR_MS)], GOOD, 1.0, CALM, now_ms=0)
    assert found.action == action


@pytest.mark.parametrize(("gas", "action"), [(4.0, "HOLD"), (3.8356 / 1.5, "PRA"), (3.8357 / 1.5, "HOLD")])
def test_gas_stops_a_reallocation_and_no_shift_is_tried(gas: float, action: str) -> None:
    found = choose(GOOD, gas=gas)
    assert (found.action, found.shifts, found.divergences) == (action, (), ())


@pytest.mark.parametrize(("gas", "action", "shifts"), [(0.0, "RS", (1,)), (1.5, "RS", (1,)), (4.0, "HOLD", ())])
def test_only_what_diverges_shifts(gas: float, action: str, shifts: tuple[int, ...]) -> None:
    found = choose(MODEST, gas=gas)
    assert (found.action, found.shifts) == (action, shifts)
    assert is_close(found.improvement, 0.02127659574468)
    first, second = found.divergences
    assert first is not None and is_close(first, 0.01749951699947)
    assert second is not None and is_close(second, 0.8869444259644)


def test_positions_in_bins_never_shift() -> None:
    found = decide([replace(SECOND, is_bin=True)], ((1.0, 0.07),), 1.0, CALM, now_ms=0)
    assert (found.action, found.divergences) == ("HOLD", (None,))


@pytest.mark.parametrize(("apr", "action"), [(0.004, "HOLD"), (0.006, "PRA")])
def test_with_nothing_held_a_small_gain_is_not_enough(apr: float, action: str) -> None:
    assert decide([], ((1.0, apr),), 1.0, CALM, now_ms=0).action == action
