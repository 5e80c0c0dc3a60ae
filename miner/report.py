"""One self-contained HTML page of charts (inline SVG) and tables: values in, text out."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 260, 70, 12, 10, 26
_COLOURS = ("#0b62a4", "#d9541e", "#2d8a4e", "#8c52a8", "#a37c00", "#5c6670")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 820px; margin: 2em auto; padding: 0 1em; color: #1c2126 }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em } p { color: #5c6670; margin: .3em 0 }
svg { width: 100%; height: auto } .wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
td, th { padding: 2px 9px; text-align: right; border-bottom: 1px solid #e3e7ea; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A named line over the chart's points; None leaves a gap."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch between two heights, from one point to the next."""

    point: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over numbered points, with bands behind them."""

    title: str
    note: str
    lines: Sequence[Line]
    bands: Sequence[Band] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first row is the header."""

    title: str
    note: str
    rows: Sequence[Sequence[str]]


def render(title: str, note: str, parts: Sequence[Chart | Table]) -> str:
    """Return the page.

    Parameters: title, note, texts of the parts  any text: it is escaped   ·   parts  in their order
    Returns:    HTML that loads nothing
    Rounding:   coordinates to a tenth of a pixel
    Raises:     ValueError where lines of one chart have different lengths
    Source:     none
    """
    body = "\n".join(_chart(part) if isinstance(part, Chart) else _table(part) for part in parts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_text(title)}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body><h1>{_text(title)}</h1><p>{_text(note)}</p>\n{body}\n</body></html>\n"
    )


def _table(table: Table) -> str:
    header, *rows = table.rows
    cells = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    lines = "\n".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'{_heading(table)}<div class="wide"><table><tr>{cells}</tr>\n{lines}</table></div>'


def _chart(chart: Chart) -> str:
    lengths = {len(line.values) for line in chart.lines}
    if len(lengths) != 1:
        raise ValueError(f"the lines of {chart.title!r} have different lengths")
    points = lengths.pop()
    line_heights = [value for line in chart.lines for value in line.values if value is not None]
    low, high = _bounds(line_heights)
    # A range may be many times as wide as what the price did: the frame follows it as far as the lines stay legible.
    least, most = low - (high - low), high + (high - low)
    edges = [min(max(edge, least), most) for band in chart.bands for edge in (band.low, band.high)]
    low, high = min([low, *edges]), max([high, *edges])
    ticks = _ticks(low, high)

    def x(point: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * point / max(points - 1, 1)

    def y(value: float) -> float:
        inside = min(max(value, low), high)  # a wide band ends at the frame
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - inside) / (high - low)

    bands = [
        f'<rect x="{x(b.point):.1f}" y="{y(b.high):.1f}" width="{x(b.point + 1) - x(b.point):.1f}" '
        f'height="{y(b.low) - y(b.high):.1f}" fill="#0b62a4" fill-opacity="0.14"/>'
        for b in chart.bands
        if b.low < high and b.high > low
    ]
    grid = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}" stroke="#e3e7ea"/>'
        f'<text x="{_LEFT - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{t:,.6g}</text>'
        for t in ticks
    ]
    lines = [
        f'<path d="{_path([None if v is None else (x(i), y(v)) for i, v in enumerate(line.values)])}" '
        f'fill="none" stroke="{_colour(index)}" stroke-width="1.8"/>'
        for index, line in enumerate(chart.lines)
    ]
    bottom = f'y="{_HEIGHT - 8}"'
    ends = (
        f'<text x="{_LEFT}" {bottom}>0</text>',
        f'<text x="{_WIDTH - _RIGHT}" {bottom} text-anchor="end">round {points - 1}</text>',
    )
    drawing = "\n".join((*grid, *bands, *lines, *ends))
    return (
        f'{_heading(chart)}<p>{_legend(chart.lines)}</p><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{_text(chart.title)}" font-size="11" fill="#5c6670">\n{drawing}</svg>'
    )


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Return the commands of a line that is interrupted where there is no point."""
    commands, pen = [], "M"
    for point in points:
        if point is not None:
            commands.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "M" if point is None else "L"
    return "".join(commands)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    room = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two bounds."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(lines: Sequence[Line]) -> str:
    marks = (f'<span style="color:{_colour(i)}">&#9632;</span> {_text(line.name)}' for i, line in enumerate(lines))
    return " &nbsp; ".join(marks)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _heading(part: Chart | Table) -> str:
    return f"<h2>{_text(part.title)}</h2><p>{_text(part.note)}</p>"


def _text(text: str) -> str:
    return html.escape(text)
