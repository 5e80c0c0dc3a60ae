"""A page is well-formed, loads nothing, and draws what it was given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from miner.report import Band, Chart, Line, Table, _ticks, render

CHART = Chart("A <chart>", "a & b", [Line("one", [0.0, 10.0, None, 5.0]), Line("two", [1, 2, 3, 4])], [Band(1, 4, 6)])


def drawing(page: str) -> ElementTree.Element:
    found = re.search(r"<svg.*?</svg>", page, re.S)
    assert found is not None
    return ElementTree.fromstring(found[0])


def test_a_page_holds_its_parts_escaped_and_nothing_to_load() -> None:
    page = render("T <i>", "note", [CHART, Table("t", "n", [("a", "b"), ("<b>", "2")])])
    assert "T &lt;i&gt;" in page and "A &lt;chart&gt;" in page and "<td>&lt;b&gt;</td><td>2</td>" in page
    assert not re.search(r"https?:|<script|<link|<img|url\(|@import", page)


def test_lines_and_bands_stand_where_their_values_are() -> None:
    svg = drawing(render("", "", [CHART]))
    first, second = (path.attrib["d"] for path in svg.findall("path"))
    # 10 of -0.5 .. 10.5 on 224 pixels below 10; four points over 678 pixels right of 70
    assert first == "M70.0 223.8L296.0 20.2M748.0 122.0"
    assert second.count("L") == 3
    [band] = svg.findall("rect")
    assert [band.attrib[name] for name in ("x", "y", "width", "height")] == ["296.0", "101.6", "226.0", "40.7"]


def test_a_band_wider_than_the_lines_widens_the_frame_threefold_at_most() -> None:
    chart = Chart("", "", [Line("", [0.0, 10.0])], [Band(0, -1000, 8)])
    svg = drawing(render("", "", [chart]))
    [band], [line] = svg.findall("rect"), svg.findall("path")
    # from 11 below -0.5 to 10.5: 22 high, of 224 pixels
    assert line.attrib["d"] == "M70.0 116.9L748.0 15.1"
    assert (band.attrib["y"], float(band.attrib["y"]) + float(band.attrib["height"])) == ("35.5", 234.0)


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [1e-9, 2e-9], [-1e12, 1e12], [None, None]])
def test_any_values_can_be_drawn(values: list[float | None]) -> None:
    assert "nan" not in render("", "", [Chart("", "", [Line("", values)])])


def test_lines_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        render("", "", [Chart("c", "", [Line("", [1.0]), Line("", [1.0, 2.0])])])


@pytest.mark.parametrize(("low", "high", "ticks"), [(0, 10, [0, 2, 4, 6, 8, 10]), (-0.31, 0.29, [-0.2, 0, 0.2])])
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert _ticks(low, high) == pytest.approx(ticks)
