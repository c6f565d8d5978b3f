"""Two runs, or two moments of one, beside each other: what all of it came to, then place by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Final

from rich.console import Console
from rich.text import Text

from observer.recording.text import to_json
from observer.report.screen import heading, paragraph, put, right, safe
from observer.story.differences import Difference, Totals
from observer.story.places import MEASURES
from observer.story.wording import number, plural, size

__all__ = ["ROWS", "print_differences", "write_differences"]

ROWS: Final = 20
"""How many places are shown."""
_SIZES: Final = frozenset({"bytes", "live", "waste"})
_NAMES: Final = {
    "bytes": "asked for", "calls": "allocating calls", "live": "not freed", "resident": "page frames",
    "waste": "wasted", "faults": "page faults",
}  # fmt: skip
_WIDE: Final = 12


def print_differences(
    console: Console, names: tuple[str, str], both: tuple[Totals, Totals], found: Sequence[Difference], measure: str,
    most: int | None = ROWS,
) -> None:  # fmt: skip
    """Print both totals, and the places that differ in *measure*, at most so many."""
    put(console, f"A  {safe(names[0])}")
    put(console, f"B  {safe(names[1])}")
    heading(console, "In all")
    _columns(console, "")
    for name in MEASURES:
        _row(console, both[0][name], both[1][name], name, _NAMES[name])
    heading(console, "Place by place", f"by {_NAMES[measure]}")
    shown = [each for each in found if each.by(measure)]
    if shown:
        _columns(console, "place")
    for each in shown[:most]:
        _row(console, each.before[measure], each.after[measure], measure, each.text, "cyan")
    if most is not None and len(shown) > most:
        put(console, f"  and {number(len(shown) - most)} more: --all")
    if len(found) > len(shown):
        rest = [each for each in found if not each.by(measure)]
        others = ", ".join(name for name in MEASURES if any(each.by(name) for each in rest))
        text = f"{'and ' if shown else ''}{plural(len(rest), 'place')} in other numbers: --by {others}"
        paragraph(console, text, first="  ", hanging=4)
    elif not found:
        put(console, "  no place differs in anything")


def _columns(console: Console, last: str) -> None:
    titles = "".join(f"{right(title, _WIDE)}  " for title in ("B - A", "A", "B"))
    put(console, Text(f"  {titles}{last}".rstrip(), "dim"))


def _row(console: Console, before: int, after: int, measure: str, text: str, style: str = "") -> None:
    said = size if measure in _SIZES else number
    more = after - before
    sign = "+" if more > 0 else "-" if more < 0 else ""
    values = (f"{sign}{said(abs(more))}", said(before), said(after))
    line = Text("  " + "".join(f"{right(value, _WIDE)}  " for value in values))
    line.append(safe(text), style)
    line.truncate(console.width, overflow="ellipsis")
    put(console, line)


def write_differences(
    out: BinaryIO, names: tuple[str, str], both: tuple[Totals, Totals], found: Sequence[Difference]
) -> None:
    """Write one JSON object: the names of both, their totals, and each place that differs, by measure."""
    places = [{"place": each.text, "a": each.before, "b": each.after} for each in found]
    whole = {"a": {"name": names[0], **both[0]}, "b": {"name": names[1], **both[1]}, "places": places}
    out.write(to_json(whole) + b"\n")
