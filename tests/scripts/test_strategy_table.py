"""The table of results is what its one command writes, and says what its numbers say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from miner.strategies import NAMES
from protocol.errors import ConfigError
from tideline.backtest_units import Row, Rows
from tideline.strategy_table import END, START, Cell, Scale, _cell, columns_of, put_between, table_text

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
SMALL = ("--strategies", "hold,band", "--draws", "2", "--days", "0.05", "--rounds", "4", "--workers", "1")


def between(page: str) -> list[str]:
    return page.partition(START)[2].partition(END)[0].strip().splitlines()


def test_the_command_writes_the_table_into_the_page(tmp_path: Path) -> None:
    page = tmp_path / "strategies.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    script = str(ROOT / "scripts" / "strategy_table.py")
    done = subprocess.run(
        [sys.executable, script, "--write", str(page), *SMALL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = page.read_text()
    assert text.startswith(f"before\n{START}\n| strategy |") and text.endswith(f"\n{END}\nafter\n")
    written, committed = between(text), between(GUIDE)
    assert written[:2] == committed[:2], "the committed table has the columns that the command writes"
    assert [line.split("|")[1].strip() for line in written[2:4]] == ["`hold`", "`band`"]
    assert "python scripts/strategy_table.py --write docs/strategies.md" in GUIDE


def test_the_committed_table_has_every_strategy_and_says_what_its_cells_say() -> None:
    rows = {}
    for line in between(GUIDE):
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if name.startswith("`"):
            rows[name.strip("`")] = [tuple(float(n) for n in re.findall(r"[-+]\d+\.\d", cell)) for cell in cells]
            for cell, (mean, low, high) in zip(cells, rows[name.strip("`")], strict=True):
                assert low <= mean <= high
                assert cell.startswith("**") or low <= 0.05, "bold where all of the interval lies above 0"
    assert sorted(rows) == sorted(NAMES)
    said = [line for line in between(GUIDE) if line.startswith("- **")]
    for number, (column, line) in enumerate(zip(columns_of(Scale()), said, strict=True)):
        assert line.startswith(f"- **{column.title}**")
        for name, cells in rows.items():
            (_, low, high) = cells[number]
            if low > 0.05:
                assert f"`{name}`" in line.partition(" beat holding")[0]
            if high < -0.05:
                assert f"`{name}`" in line.partition("fell behind it")[0]


def rows_of(scores: list[float]) -> Rows:
    return tuple(Row(score, fees_bp=2.0, lvr_bp=1.0) for score in scores)


def test_one_market_is_read_in_stretches_and_several_market_by_market() -> None:
    one = _cell([rows_of([1.0, 3.0] * 12)], per_day=10)
    assert (one.mean, one.low, one.high, one.fees, one.lvr) == (20, 20, 20, 20, 10)
    several = _cell([rows_of([1.0] * 5), rows_of([3.0] * 5)], per_day=10)
    assert several.mean == 20 and several.high - several.mean == pytest.approx(12.706 * 10, rel=1e-3)


def test_where_none_beats_holding_it_is_said() -> None:
    lost, won = Cell(-2, -3, -1, 1, 2), Cell(2, 1, 3, 3, 2)
    titles = [column.title for column in columns_of(Scale())]
    text = table_text(
        {"a": dict.fromkeys(titles, lost), "b": {title: won if title == "quiet" else lost for title in titles}}, Scale()
    )
    lines = {title: next(line for line in text.splitlines() if line.startswith(f"- **{title}**")) for title in titles}
    assert "`b` beat holding; `a` fell behind it" in lines["quiet"] and "2 times" not in lines["quiet"]
    assert all(
        "**none beats holding**; `a`, `b` fell behind it" in lines[title] for title in titles if title != "quiet"
    )
    assert "| **+2.0 (+1.0 … +3.0)** |" in text and "-2.0 (-3.0 … -1.0)" in text


def test_a_page_without_a_place_is_left_alone() -> None:
    for page in ("", START, f"{END}{START}"):
        with pytest.raises(ConfigError, match="no place for the table"):
            put_between(page, "table")
