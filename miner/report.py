"""One self-contained HTML page of charts (inline SVG) and tables: values in, text out."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 260, 70, 12, 10, 26
COLOURS = ("#0b62a4", "#d9541e", "#2d8a4e", "#8c52a8", "#a37c00", "#5c6670")
_DARK = ("#6cb2ee", "#f08a5d", "#6fc48d", "#c295da", "#d8b13c", "#98a3ad")
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5c6670; --rule: #e3e7ea; --back: #fff; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #98a3ad; --rule: #333b43; --back: #14181c; DARK }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2em auto; padding: 0 1em }
body { color: var(--ink); background: var(--back) }
h1 { font-size: 1.4em; line-height: 1.3 } h2 { font-size: 1.1em; margin: 2em 0 .2em }
p { color: var(--soft); margin: .3em 0 }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(230px, 40%), 1fr)); gap: .8em; margin: 1.2em 0 }
dl div { border: 1px solid var(--rule); border-radius: 6px; padding: .5em .8em }
dt { color: var(--soft); font-size: 13px } dd { margin: 0; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto; font-size: 11px } @media (max-width: 600px) { svg { font-size: 17px } }
svg text { fill: var(--soft) } .grid { stroke: var(--rule) }
path { fill: none; stroke-width: 1.8; stroke-linejoin: round } path.ref { stroke-width: 1.2; stroke-dasharray: 5 3 }
rect { fill: var(--c0); fill-opacity: .14 }
.legend > span { display: inline-block; margin-right: 1.2em } .wide { overflow: auto; max-height: 32em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
td, th { padding: 2px 9px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap }
th { position: sticky; top: 0; background: var(--back) } td:first-child, th:first-child { text-align: left }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A named line over the chart's points; None leaves a gap. What others are compared with is drawn dashed."""

    name: str
    values: Sequence[float | None]
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch between two heights, from one point to the next."""

    point: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over numbered points, with bands behind them; `marks` say what some of the points are."""

    title: str
    note: str
    lines: Sequence[Line]
    bands: Sequence[Band] = ()
    marks: Sequence[tuple[float, str]] = ()

    @property
    def points(self) -> int:
        """How many points there are. Raises ValueError where lines disagree."""
        lengths = {len(line.values) for line in self.lines}
        if len(lengths) != 1:
            raise ValueError(f"the lines of {self.title!r} have different lengths")
        return lengths.pop()

    @property
    def frame(self) -> tuple[float, float]:
        """The lowest and the highest value shown: bands may widen that of the lines threefold, so that these stay
        legible.
        """
        low, high = _bounds([value for line in self.lines for value in line.values if value is not None])
        least, most = low - (high - low), high + (high - low)
        edges = [min(max(edge, least), most) for band in self.bands for edge in (band.low, band.high)]
        return min([low, *edges]), max([high, *edges])


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first row is the header."""

    title: str
    note: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: a title, what is worth knowing first, as text and as named facts, and its parts."""

    title: str
    note: str
    parts: Sequence[Chart | Table]
    facts: Sequence[tuple[str, str]] = ()


def render(page: Page) -> str:
    """Return the page.

    Parameters: page  any texts: they are escaped
    Returns:    HTML that loads nothing, light or dark as the reader prefers
    Rounding:   coordinates to a tenth of a pixel
    Raises:     ValueError where lines of one chart have different lengths
    Source:     none
    """
    body = "\n".join(_chart(part) if isinstance(part, Chart) else _table(part) for part in page.parts)
    facts = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in page.facts)
    first = f"<h1>{_text(page.title)}</h1><p>{_text(page.note)}</p>" + (f"<dl>{facts}</dl>" if facts else "")
    style = _STYLE.replace("LIGHT", _variables(COLOURS)).replace("DARK", _variables(_DARK))
    style += "".join(f".c{n} {{ stroke: var(--c{n}); color: var(--c{n}) }}\n" for n in range(len(COLOURS)))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{_text(page.title)}</title><style>{style}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{first}\n{body}\n</body></html>\n'


def _variables(colours: Sequence[str]) -> str:
    return "; ".join(f"--c{number}: {colour}" for number, colour in enumerate(colours))


def _table(table: Table) -> str:
    header, *rows = table.rows
    cells = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    lines = "\n".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'{_heading(table)}<div class="wide"><table><tr>{cells}</tr>\n{lines}</table></div>'


def _chart(chart: Chart) -> str:
    points, (low, high) = chart.points, chart.frame

    def x(point: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * point / max(points - 1, 1)

    def y(value: float) -> float:
        inside = min(max(value, low), high)  # a wide band ends at the frame
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - inside) / (high - low)

    bands = [
        f'<rect x="{x(b.point):.1f}" y="{y(b.high):.1f}" width="{x(b.point + 1) - x(b.point):.1f}" '
        f'height="{y(b.low) - y(b.high):.1f}"/>'
        for b in chart.bands
        if b.low < high and b.high > low
    ]
    grid = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{t:,.6g}</text>'
        for t in ticks(low, high)
    ]
    lines = [
        f'<path class="c{index % len(COLOURS)}{" ref" if line.is_reference else ""}" '
        f'd="{_path([None if v is None else (x(i), y(v)) for i, v in enumerate(line.values)])}"/>'
        for index, line in enumerate(chart.lines)
    ]
    marks = [
        f'<text x="{x(point):.1f}" y="{_HEIGHT - 8}" text-anchor="{_anchor(point, points)}">{_text(label)}</text>'
        for point, label in chart.marks
    ]
    drawing = "\n".join((*grid, *bands, *lines, *marks))
    return (
        f'{_heading(chart)}<p class="legend">{_legend(chart.lines)}</p><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img" aria-label="{_text(chart.title)}">\n{drawing}</svg>'
    )


def _anchor(point: float, points: int) -> str:
    """Return how a label lies to its point, so that none leaves the drawing."""
    return "start" if point <= 0 else "end" if point >= points - 1 else "middle"


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


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two bounds."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(lines: Sequence[Line]) -> str:
    marks = (
        f'<span><span class="c{i % len(COLOURS)}">{"╌╌" if line.is_reference else "■"}</span> {_text(line.name)}</span>'
        for i, line in enumerate(lines)
    )
    return "".join(marks)


def _heading(part: Chart | Table) -> str:
    return f"<h2>{_text(part.title)}</h2><p>{_text(part.note)}</p>"


def _text(text: str) -> str:
    return html.escape(text)
