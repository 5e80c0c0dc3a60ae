"""`tideline replay` as an operator meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocol.errors import ConfigError
from tideline.commands.replay import replay

DATA = Path(__file__).parent.parent / "data"
SAMPLE = DATA / "three_young_pools.jsonl"


def test_an_exact_file_prints_one_object_and_succeeds() -> None:
    result = CliRunner().invoke(replay, [str(SAMPLE)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == '{"swaps": 15, "liquidity_changes": 18, "mismatches": 0, "end_state": "match"}\n'


@pytest.mark.parametrize(("name", "swaps", "changes"), [("usdc-weth-005", 6045, 109), ("wbtc-weth-03", 725, 178)])
def test_a_shipped_record_is_replayed_by_name(name: str, swaps: int, changes: int) -> None:
    result = CliRunner().invoke(replay, [name])
    assert json.loads(result.stdout) == {
        "swaps": swaps,
        "liquidity_changes": changes,
        "mismatches": 0,
        "end_state": "absent",
    }


def test_a_difference_is_located_and_fails(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    row = json.loads(lines[3])
    row[8] = str(int(row[8]) + 1)
    lines[3] = json.dumps(row)
    path = tmp_path / "changed.jsonl"
    path.write_text("\n".join(lines))
    result = CliRunner().invoke(replay, [str(path)])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "swaps": 15,
        "liquidity_changes": 18,
        "mismatches": 1,
        "end_state": "mismatch",
        "not_replayed": 14,
        "first_divergence": {
            "pool": "0x7bea39867e4169dbe237d55c8242a8f2fcdcc387",
            "line": 4,
            "block": 12369971,
            "log_index": None,
            "field": "sqrt_price_x96",
            "expected": "1365858010991656269325361022285506",
            "got": "1365858010991656269325361022285505",
        },
    }


def test_a_difference_in_a_tick_of_the_end_state_is_exact_in_json(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    row = json.loads(lines[38])
    row[7]["16080"] = ["1", "1", "0", "0"]
    lines[38] = json.dumps(row)
    path = tmp_path / "changed.jsonl"
    path.write_text("\n".join(lines))
    result = CliRunner().invoke(replay, [str(path)])
    divergence = json.loads(result.stdout)["first_divergence"]
    assert result.exit_code == 1
    assert divergence["field"] == "ticks[16080]"
    assert (divergence["expected"], divergence["got"][0]) == (["1", "1", "0", "0"], "29027260554345671219")


def test_a_file_that_cannot_be_used_is_the_operator_s_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "half.jsonl.gz"
    path.write_bytes((DATA / "ethereum_genesis_165_pools.jsonl.gz").read_bytes()[:40_000])
    for name in (str(path), "no-such-record"):
        result = CliRunner().invoke(replay, [name])
        assert isinstance(result.exception, ConfigError)
        assert "\n" not in str(result.exception)
        assert result.stdout == ""


def test_progress_goes_to_standard_error() -> None:
    result = CliRunner().invoke(replay, ["--progress", str(DATA / "ethereum_genesis_165_pools.jsonl.gz")])
    assert json.loads(result.stdout)["mismatches"] == 0
    assert result.stderr == "\r1000 lines\r2000 lines\n"


def test_the_example_of_the_help_is_true() -> None:
    shown = CliRunner().invoke(replay, ["--help"]).stdout.splitlines()
    command = next(index for index, line in enumerate(shown) if line.strip().startswith("$ tideline replay "))
    result = CliRunner().invoke(replay, shown[command].split()[3:])
    assert result.stdout.strip() == shown[command + 1].strip()
