"""Replaying files: real markets come out bit for bit, and whatever was altered is found where it stands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ConfigError
from simulator import records
from simulator.file_replay import EndState, FirstDivergence, ReplayReport, replay_file

DATA = Path(__file__).parent.parent / "data"
SAMPLE = DATA / "three_young_pools.jsonl"
POOL = "0x7bea39867e4169dbe237d55c8242a8f2fcdcc387"

EXACT = ReplayReport(
    swaps=15, liquidity_changes=18, mismatches=0, not_replayed=0, end_state=EndState.MATCH, first_divergence=None
)


def rows() -> list[Any]:
    return [json.loads(text) for text in SAMPLE.read_text().splitlines()]


def replay_rows(tmp_path: Path, changed: list[Any]) -> ReplayReport:
    path = tmp_path / "changed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in changed))
    return replay_file(path)


def test_a_shipped_day_of_usdc_weth_replays_bit_for_bit() -> None:
    with records.locate("usdc-weth-005") as path:
        report = replay_file(path)
    assert report == replace(EXACT, swaps=6045, liquidity_changes=109, end_state=EndState.ABSENT)
    assert report.is_exact


def test_the_shipped_days_of_wbtc_weth_replay_bit_for_bit() -> None:
    with records.locate("wbtc-weth-03") as path:
        assert replay_file(path) == replace(EXACT, swaps=725, liquidity_changes=178, end_state=EndState.ABSENT)


def test_the_first_165_pools_replay_from_nothing() -> None:
    report = replay_file(DATA / "ethereum_genesis_165_pools.jsonl.gz")
    assert report == replace(EXACT, swaps=1001, liquidity_changes=987, end_state=EndState.ABSENT)


def test_end_states_are_compared() -> None:
    assert replay_file(SAMPLE) == EXACT


def test_progress_is_told_every_thousand_lines() -> None:
    told: list[int] = []
    replay_file(DATA / "ethereum_genesis_165_pools.jsonl.gz", told.append)
    assert told == [1000, 2000]


@pytest.mark.parametrize(
    ("field", "index"), [("amount0", 6), ("amount1", 7), ("sqrt_price_x96", 8), ("liquidity", 9), ("tick", 10)]
)
def test_an_altered_swap_is_found_at_its_line(tmp_path: Path, field: str, index: int) -> None:
    changed = rows()
    recorded = int(changed[3][index])
    changed[3][index] = recorded + 1
    changed[3] += [1_620_000_000, 77]
    report = replay_rows(tmp_path, changed)
    assert report == ReplayReport(
        swaps=15,
        liquidity_changes=18,
        mismatches=1,
        not_replayed=sum(row[1] == POOL for row in changed[4:] if row[0] in "LS"),
        end_state=EndState.MISMATCH,
        first_divergence=FirstDivergence(POOL, 4, 12369971, 77, field, recorded + 1, recorded),
    )
    assert not report.is_exact


@pytest.mark.parametrize(("row", "delta"), [(2, 1), (2, -1), (28, 1), (28, -1)])
@pytest.mark.parametrize(("field", "index"), [("amount0", 6), ("amount1", 7)])
def test_an_altered_mint_or_burn_amount_is_found(tmp_path: Path, row: int, delta: int, field: str, index: int) -> None:
    changed = rows()
    changed[row][index] = int(changed[row][index]) + delta
    report = replay_rows(tmp_path, changed)
    assert report.mismatches == 1
    assert report.first_divergence is not None
    assert (report.first_divergence.line, report.first_divergence.field) == (row + 1, field)


def test_unknown_liquidity_amounts_are_not_compared(tmp_path: Path) -> None:
    changed = [[*row[:6], None, None] if isinstance(row, list) and row[0] == "L" else row for row in rows()]
    assert replay_rows(tmp_path, changed) == EXACT


def test_an_altered_call_or_a_missing_event_is_found_and_other_pools_go_on(tmp_path: Path) -> None:
    changed = rows()
    del changed[6]  # a mint out of range: felt when the price gets there
    report = replay_rows(tmp_path, changed)
    assert report.mismatches == 1
    assert report.first_divergence is not None
    assert (report.first_divergence.pool, report.first_divergence.field) == (POOL, "amount1")
    assert report.swaps == 15

    changed = rows()
    for row in changed[1:]:
        if row[0] == "S":
            row[4] = int(row[4]) - 1 if int(row[4]) > 0 else int(row[4]) // 2
    # The third pool's only swap takes all there is, with half the amount as well.
    assert replay_rows(tmp_path, changed).mismatches == 2


def test_a_call_that_reverts_is_a_mismatch_with_the_contract_s_reason(tmp_path: Path) -> None:
    changed = rows()
    changed[3][5] = 1
    report = replay_rows(tmp_path, changed)
    assert report.first_divergence == FirstDivergence(POOL, 4, 12369971, None, "revert", None, "SPL")

    changed = rows()
    changed[2][5] = "-5"
    report = replay_rows(tmp_path, changed)
    assert report.first_divergence is not None
    assert report.first_divergence.field == "revert"


@pytest.mark.parametrize("index", range(2, 7))
def test_an_altered_end_state_is_a_mismatch_of_the_end_only(tmp_path: Path, index: int) -> None:
    changed = rows()
    changed[37][index] = int(changed[37][index]) + 1
    report = replay_rows(tmp_path, changed)
    assert (report.mismatches, report.end_state, report.is_exact) == (0, EndState.MISMATCH, False)
    assert report.first_divergence is not None
    assert (report.first_divergence.line, report.first_divergence.block) == (38, None)


def test_every_tick_of_an_end_state_counts(tmp_path: Path) -> None:
    ticks = rows()[37][7]
    for tick in ticks:
        for index in range(4):
            changed = rows()
            changed[37][7][tick][index] = str(int(ticks[tick][index]) + 1)
            divergence = replay_rows(tmp_path, changed).first_divergence
            assert divergence is not None
            assert divergence.field == f"ticks[{tick}]"
    changed = rows()
    del changed[37][7][next(iter(ticks))]
    assert replay_rows(tmp_path, changed).end_state is EndState.MISMATCH
    changed = rows()
    changed[37][7]["600000"] = ["0", "0", "1", "1"]
    assert replay_rows(tmp_path, changed) == EXACT


@pytest.mark.parametrize(
    ("index", "value", "says"),
    [
        (4, 1, "out of range"),
        (5, 195017, "tick is 195017"),
        (6, "5", "its ticks sum to 0"),
        (7, {"200": [5, 5, 0, 0]}, "sum of liquidity_net"),
        (7, {"201": [5, 5, 0, 0], "400": [5, -5, 0, 0]}, "off the spacing"),
    ],
)
def test_a_state_that_no_pool_can_have_is_the_file_s_fault(
    tmp_path: Path, index: int, value: object, says: str
) -> None:
    changed = rows()
    changed[1][index] = value
    with pytest.raises(ConfigError, match=rf"changed\.jsonl line 2: .*{says}.*correct the P line"):
        replay_rows(tmp_path, changed)
