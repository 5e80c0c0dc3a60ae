"""Scores: one exact quotient."""

from __future__ import annotations

from dataclasses import fields

import pytest

from protocol.errors import SimulationError
from simulator.ledger import Ledger
from simulator.portfolio import Portfolio
from simulator.scoring import score_round

EMPTY = Portfolio(0, 0, ())


def ledger(w_open: int, w_close: int, delta: int = 0, **others: int) -> Ledger:
    """Return a ledger in which only values matter."""
    zeros = {f.name: 0 for f in fields(Ledger) if f.name not in ("opening", "closing")}
    values = {**zeros, "w_open_x192": w_open, "w_close_x192": w_close, "delta_x192": delta, **others}
    return Ledger(opening=EMPTY, closing=EMPTY, **values)


@pytest.mark.parametrize(
    ("mine", "benchmark", "score"),
    [
        (ledger(100, 100), ledger(100, 100), 0),
        (ledger(100, 101), ledger(100, 100), 10**16),
        (ledger(100, 99), ledger(100, 100), -(10**16)),
        (ledger(100, 101), ledger(100, 101), 0),  # what the benchmark earns, too, is no merit
        (ledger(100, 90), ledger(100, 80), 10**17),
        (ledger(100, 150, 50), ledger(100, 100), 0),  # the luck of direction is taken out
        (ledger(100, 150, 50), ledger(100, 130, 30), 0),
        (ledger(100, 150, 60), ledger(100, 130, 20), -2 * 10**17),
        (ledger(3 * 10**18, 3 * 10**18 + 2), ledger(3 * 10**18, 3 * 10**18), 0),  # 2/3, toward zero
        (ledger(3 * 10**18, 3 * 10**18 - 2), ledger(3 * 10**18, 3 * 10**18), 0),
        (ledger(3 * 10**18, 3 * 10**18 - 4), ledger(3 * 10**18, 3 * 10**18), -1),
    ],
)
def test_worked_numbers(mine: Ledger, benchmark: Ledger, score: int) -> None:
    assert score_round(mine, benchmark) == score


def test_only_the_balance_account_is_scored() -> None:
    """What a ledger calls fees, LVR or cost explains a score and does not make it."""
    plain = ledger(100, 105)
    told = ledger(100, 105, lvr_x192=9, fees_x192=9, swap_cost_x192=9, gas_x192=9, dust_x192=9, hold_x192=9, gas=9)
    assert score_round(told, ledger(100, 100)) == score_round(plain, ledger(100, 100)) == 5 * 10**16


def test_ledgers_of_different_openings_are_refused() -> None:
    with pytest.raises(SimulationError, match="different values"):
        score_round(ledger(101, 101), ledger(100, 100))


@pytest.mark.parametrize("w_open", [0, -1])
def test_an_opening_worth_nothing_is_refused(w_open: int) -> None:
    with pytest.raises(SimulationError, match="nothing to manage"):
        score_round(ledger(w_open, 0), ledger(w_open, 0))
