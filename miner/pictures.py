"""The charts of a page as PNG files, drawn by matplotlib, which is an extra: a page itself needs none."""

from __future__ import annotations

import importlib
import math
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.report import COLOURS, Chart, Page
from protocol.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_drawing() -> None:
    """Raise ConfigError where nothing can be drawn."""
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ConfigError("pictures need one more package; install tideline[pictures]") from error


def draw_pngs(page: Page, folder: Path) -> list[Path]:
    """Write each chart of a page into a folder, numbered in their order. Raises ConfigError where that cannot be."""
    check_drawing()
    from matplotlib.figure import Figure

    charts = [part for part in page.parts if isinstance(part, Chart)]
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, chart in enumerate(charts, start=1):
            paths.append(folder / f"{number:02}-{re.sub('[^a-z0-9]+', '-', chart.title.lower()).strip('-')}.png")
            _drawn(chart, Figure(figsize=(9, 3.6), dpi=150, layout="constrained")).savefig(paths[-1])
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}; choose another folder") from error
    return paths


def _drawn(chart: Chart, figure: Figure) -> Figure:
    axes = figure.subplots()
    for index, line in enumerate(chart.lines):
        values = [math.nan if value is None else value for value in line.values]
        style: dict[str, Any] = {"linestyle": "--", "linewidth": 1.0} if line.is_reference else {"linewidth": 1.4}
        axes.plot(range(chart.points), values, color=COLOURS[index % len(COLOURS)], label=line.name, **style)
    bars = [(band.point, band.low, band.high) for band in chart.bands]
    if bars:
        points, lows, highs = zip(*bars, strict=True)
        heights = [high - low for low, high in zip(lows, highs, strict=True)]
        axes.bar(points, heights, 1.0, lows, align="edge", color=COLOURS[0], alpha=0.14, linewidth=0)
    axes.set_xlim(0, max(chart.points - 1, 1))
    axes.set_ylim(*chart.frame)
    axes.set_xticks([point for point, _ in chart.marks], [label for _, label in chart.marks])
    axes.grid(visible=True, axis="y", color="#e3e7ea")
    axes.set_axisbelow(True)
    axes.set_title(chart.title, loc="left")
    axes.set_xlabel("\n".join(textwrap.wrap(chart.note, 120)), fontsize="small", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", ncols=6, loc="best")
    return figure
