"""Every chart of a page becomes a picture, whatever its values."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from miner.pictures import draw_pngs
from miner.report import Band, Chart, Line, Page, Table
from protocol.errors import ConfigError

LINES = [Line("one", [0.0, 10.0, None, 5.0]), Line("two", [1.0, 2.0, 3.0, 4.0], is_reference=True)]
PAGE = Page(
    "",
    "",
    [
        Chart("A $b & c/d", "note $", LINES, [Band(1, 4, 6)], [(0, "x")]),
        Table("t", "", [("a",)]),
        Chart("e", "", LINES),
    ],
)


def test_the_charts_are_drawn_and_the_tables_are_not(tmp_path: Path) -> None:
    paths = draw_pngs(PAGE, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["01-a-b-c-d.png", "02-e.png"]
    sizes = [path.read_bytes()[16:24] for path in paths]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sizes == [(1350).to_bytes(4, "big") + (540).to_bytes(4, "big")] * 2
    assert len({path.read_bytes() for path in paths}) == 2


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another folder"):
        draw_pngs(PAGE, tmp_path / "file" / "folder")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"install tideline\[pictures\]"):
        draw_pngs(PAGE, tmp_path)
