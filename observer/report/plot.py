"""A picture for a paper or a handout: asked for, mapped and resident over time (PNG, SVG)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from observer.errors import SCARCE, ObserverError, UsageError
from observer.model.filenames import safe
from observer.story.curves import Point

__all__ = ["FORMATS", "picture"]

FORMATS: Final = ("png", "svg")
_CURVES: Final = ("mapped (brk, mmap)", "asked for", "resident (page frames)")
_COLORS: Final = ("#999999", "#0072b2", "#d55e00")
"""Grey and two of the colours that everybody can tell apart (Okabe, Ito); the lines have dashes, too."""
_OVER: Final = {True: "milliseconds since the start", False: "events of the run, in their order"}
_NO_DOCSTRINGS: Final = 2
"""The level of python -OO, by which modules have no docstrings."""
_PANIC: Final = "PanicException"
_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes"))


def picture(points: Sequence[Point], title: str, form: str, *, over_time: bool = False) -> bytes:
    """Return the picture of *points* in the format *form*, one of FORMATS: over the events, or *over_time*.

    It begins where the first memory comes.

    Raises:
        UsageError: what draws it is not installed, or cannot work without its docstrings.
        ObserverError: what draws it gave up.
    """
    if sys.flags.optimize >= _NO_DOCSTRINGS:
        raise UsageError("cannot draw", "Altair needs its docstrings, which python -OO takes away", "PYTHONOPTIMIZE=1")
    try:
        import altair
        import vl_convert
    except ImportError as error:
        raise UsageError(
            "cannot draw", f"{error.name} is not installed", f"{sys.executable} -m pip install altair vl-convert-python"
        ) from error
    began = next((i for i, point in enumerate(points) if any(point.level)), 0)
    points = points[max(began - 1, 0) :]
    highest = max((max(_values(point)) for point in points), default=0)
    unit, name = next((size, word) for size, word in _UNITS if highest >= size or size == 1)
    order = list(_CURVES)
    rows = [
        {"at": point.t_ns / 1e6 if over_time else point.n, "size": value / unit, "what": what}
        for point in points for what, value in zip(_CURVES, _values(point), strict=True)
    ]  # fmt: skip
    what = altair.Color("what:N", sort=order, title=None, scale=altair.Scale(domain=order, range=list(_COLORS)))
    dashes = altair.StrokeDash(
        "what:N", sort=order, title=None, scale=altair.Scale(domain=order, range=[[6, 3], [2, 2], [1, 0]])
    )
    chart: Any = (
        altair.Chart({"values": rows}, title=safe(title), width=640, height=300)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=altair.X("at:Q", title=_OVER[over_time], scale=altair.Scale(zero=False)),
            y=altair.Y("size:Q", title=name), color=what, strokeDash=dashes,
        )
        .configure_legend(orient="top", symbolType="stroke", symbolSize=400, labelLimit=0)
        .configure_axis(gridColor="#eeeeee", titleFontWeight="normal")
        .configure_title(fontWeight="normal", anchor="start", offset=12)
        .configure_view(stroke=None)
    )  # fmt: skip
    specification = chart.to_json()
    try:
        if form == "svg":
            return str(vl_convert.vegalite_to_svg(specification)).encode() + os.linesep.encode()
        drawn: bytes = vl_convert.vegalite_to_png(specification, scale=2)
    except BaseException as error:
        if type(error).__name__ != _PANIC:  # of its Rust, no Exception: a thread that could not be started, say
            raise
        scarce = next((number for number in SCARCE if os.strerror(number) in str(error)), 0)
        raise ObserverError(
            "cannot draw", str(error), SCARCE.get(scarce, "observer report, which draws, too")
        ) from error
    return drawn


def _values(point: Point) -> tuple[int, int, int]:
    level = point.level
    return level.heap + level.mapped, level.asked, level.frames
