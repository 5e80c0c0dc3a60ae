"""A page is well-formed, loads nothing, and draws what it was given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from miner.report import Band, Chart, Line, Page, Table, render, ticks

CHART = Chart("A <chart>", "a & b", [Line("one", [0.0, 10.0, None, 5.0]), Line("two", [1, 2, 3, 4])], [Band(1, 4, 6)])


def drawing(page: str) -> ElementTree.Element:
    found = re.search(r"<svg.*?</svg>", page, re.S)
    assert found is not None
    return ElementTree.fromstring(found[0])


def test_a_page_holds_its_parts_escaped_and_nothing_to_load() -> None:
    page = render(Page("T <i>", "note", [CHART, Table("t", "n", [("a", "b"), ("<b>", "2")])], [("x <", "1 & 2")]))
    assert "T &lt;i&gt;" in page and "A &lt;chart&gt;" in page and "<td>&lt;b&gt;</td><td>2</td>" in page
    assert "<dt>x &lt;</dt><dd>1 &amp; 2</dd>" in page
    assert not re.search(r"https?:|<script|<link|<img|url\(|@import", page)


def test_lines_and_bands_stand_where_their_values_are() -> None:
    svg = drawing(render(Page("", "", [CHART])))
    first, second = (path.attrib["d"] for path in svg.findall("path"))
    # 10 of -0.5 .. 10.5 on 224 pixels below 10; four points over 678 pixels right of 70
    assert first == "M70.0 223.8L296.0 20.2M748.0 122.0"
    assert second.count("L") == 3
    [band] = svg.findall("rect")
    assert [band.attrib[name] for name in ("x", "y", "width", "height")] == ["296.0", "101.6", "226.0", "40.7"]


def test_a_band_wider_than_the_lines_widens_the_frame_threefold_at_most() -> None:
    chart = Chart("", "", [Line("", [0.0, 10.0])], [Band(0, -1000, 8)])
    svg = drawing(render(Page("", "", [chart])))
    [band], [line] = svg.findall("rect"), svg.findall("path")
    # from 11 below -0.5 to 10.5: 22 high, of 224 pixels
    assert line.attrib["d"] == "M70.0 116.9L748.0 15.1"
    assert (band.attrib["y"], float(band.attrib["y"]) + float(band.attrib["height"])) == ("35.5", 234.0)


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [1e-9, 2e-9], [-1e12, 1e12], [None, None]])
def test_any_values_can_be_drawn(values: list[float | None]) -> None:
    assert "nan" not in render(Page("", "", [Chart("", "", [Line("", values)])]))


def test_lines_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        render(Page("", "", [Chart("c", "", [Line("", [1.0]), Line("", [1.0, 2.0])])]))


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 10, [0, 2, 4, 6, 8, 10]), (-0.31, 0.29, [-0.2, 0, 0.2])])
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_marks_say_what_points_are_and_none_leaves_the_drawing() -> None:
    svg = drawing(
        render(Page("", "", [Chart("", "", [Line("", [1.0, 2.0, 3.0])], (), [(0, "a"), (1, "b<"), (2, "c")])]))
    )
    marks = [(t.text, t.attrib["x"], t.attrib["text-anchor"]) for t in svg.findall("text") if t.attrib["y"] == "252"]
    assert marks == [("a", "70.0", "start"), ("b<", "409.0", "middle"), ("c", "748.0", "end")]


def test_a_reference_is_dashed_and_every_colour_has_a_dark_one() -> None:
    page = render(Page("", "", [Chart("", "", [Line("", [1.0]), Line("", [1.0], is_reference=True)])]))
    assert [path.attrib["class"] for path in drawing(page).findall("path")] == ["c0", "c1 ref"]
    light, dark = re.findall(r"--back: #[0-9a-f]+; (--c0.*?) }", page)
    assert re.findall(r"--c\d", light) == re.findall(r"--c\d", dark) and light != dark
    assert "prefers-color-scheme: dark" in page
