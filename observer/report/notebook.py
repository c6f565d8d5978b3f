"""A run in a notebook: `load("story.trace")` as a cell's last value shows its screen and what it held over time."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Final

from rich.console import Console

from observer.report.glance import print_glance
from observer.story.curves import Point, curve
from observer.story.glance import Glance
from observer.trace.reader import Trace

__all__ = ["Shown", "load"]

_COLUMNS: Final = 80
_WIDTH: Final = 640
_HEIGHT: Final = 160
_CURVES: Final = (("mapped", "#999999", "6 3"), ("asked for", "#0072b2", "2 2"), ("resident", "#d55e00", ""))
_STYLE: Final = "font-family:ui-monospace,Menlo,Consolas,monospace;line-height:1.25;white-space:pre;overflow-x:auto"


class Shown:
    """A trace as notebooks show it; `trace` is the trace itself, `glance` what its last screen is made of."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.glance = Glance()
        for event in trace.events():
            self.glance.take(event)

    def _repr_html_(self) -> str:
        """Return the run's screen and a drawing of what its first process held, without scripts."""
        console = Console(file=io.StringIO(), record=True, width=_COLUMNS, highlight=False, markup=False, emoji=False)
        print_glance(console, self.trace.meta, self.glance, self.trace.directory)
        screen = console.export_html(inline_styles=True, code_format="{code}")
        points = curve(self.trace.events(), self.trace.meta.machine.page_size, points=_WIDTH)
        return f'<pre style="{_STYLE}">{screen}</pre>{_drawing(points)}'

    def __repr__(self) -> str:
        console = Console(file=io.StringIO(), width=_COLUMNS, highlight=False, markup=False, emoji=False)
        print_glance(console, self.trace.meta, self.glance, self.trace.directory)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()


def load(directory: str | Path) -> Shown:
    """Return the trace in *directory* to be shown.

    Raises:
        BadTrace: as `Trace.open`.
    """
    return Shown(Trace.open(Path(directory)))


def _drawing(points: list[Point]) -> str:
    """Return the curves of *points* over the events as SVG."""
    highest = max((max(_values(point)) for point in points), default=0)
    if not highest:
        return ""
    first, last = points[0].n, max(points[-1].n, points[0].n + 1)
    lines = []
    for i, (name, color, dashes) in enumerate(_CURVES):
        path = []
        for j, point in enumerate(points):
            x = round((point.n - first) * _WIDTH / (last - first), 1)
            y = round(_HEIGHT - _values(point)[i] * (_HEIGHT - 4) / highest, 1)
            path.append(f"M{x} {y}" if j == 0 else f"H{x}V{y}")
        lines.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{color}" stroke-width="1.5" stroke-dasharray="{dashes}"/>'
            f'<text x="{8 + 110 * i}" y="14" fill="{color}" font-size="12">{html.escape(name)}</text>'
        )
    label = "what the first process held over the events of the run: mapped, asked for, resident"
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT + 2}" width="{_WIDTH}"'
    return f'<svg role="img" aria-label="{label}" {box}>{"".join(lines)}</svg>'


def _values(point: Point) -> tuple[int, int, int]:
    return point.level.heap + point.level.mapped, point.level.asked, point.level.frames
