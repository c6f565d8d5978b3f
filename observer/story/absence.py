"""Why a source line has no events: its file is not in the trace, or the line did nothing that is an event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from observer.errors import NothingFound
from observer.model.events import Event, Fault, Site
from observer.story.query import is_file
from observer.story.sentences import page_words
from observer.story.wording import number

__all__ = ["nothing_at_line"]

_MOST_NAMES: Final = 3


@dataclass(slots=True)
class _Places:
    """Where the trace has events: all files, and of the file asked for its lines and the pages they brought in."""

    files: dict[str, None] = field(default_factory=dict)
    lines: set[int] = field(default_factory=set)
    pages: dict[int, Fault] = field(default_factory=dict)

    def add(self, event: Event, site: Site, file: str) -> None:
        """Note where *event* happened."""
        if site.file is None or site.line is None:
            return
        self.files[site.file] = None
        if is_file(site.file, file):
            self.lines.add(site.line)
            if isinstance(event, Fault) and event.cause is None:
                self.pages[site.line] = event


def nothing_at_line(events: Iterable[Event], file: str, line: int, *, sees_faults: bool = True) -> NothingFound:
    """Return what to say of *file*:*line*, at which none of a trace's *events* is chosen.

    *sees_faults* is whether page faults were recorded one by one, with the lines that took them.
    """
    places = _Places()
    for event in events:
        site = getattr(event, "site", None)
        if isinstance(site, Site):
            places.add(event, site, file)
    if not line:
        return NothingFound(f"nothing is told at {file}", "no event of this trace is there", "--kind call names places")
    what = f"nothing is told at {file}:{line}"
    if not places.files:
        return NothingFound(what, "no code in this trace has line numbers", "compile the program with -g")
    if not places.lines:
        return NothingFound(
            what, f"no event of this trace is in a file {file}", _did_you_mean(file, line, places.files)
        )
    if line in places.lines:
        return NothingFound(what, "it has events, but none that the other options choose", "--line alone")
    return NothingFound(what, _did_nothing(places, line, sees_faults=sees_faults), _nearest(places.lines, file, line))


def _did_you_mean(file: str, line: int, files: Iterable[str]) -> str:
    names = {path.rpartition("/")[2]: None for path in files}
    near = get_close_matches(file.rpartition("/")[2], names, _MOST_NAMES)
    if near:
        return f"--line {' or '.join(f'{name}:{line}' for name in near)}"
    return f"--line with a line of {' or '.join(list(names)[:_MOST_NAMES])}"


def _did_nothing(places: _Places, line: int, *, sees_faults: bool) -> str:
    why = "it was not reached, or called no allocator, made no system call of those recorded and touched no new page"
    if not sees_faults:
        return "page faults were only counted, and have no lines; nothing else that is recorded happened there"
    before = max((other for other in places.pages if other < line), default=None)
    if before is None:
        return why
    fault = places.pages[before]
    return f"{why}: {page_words(fault)}, say, is resident since event {number(fault.n)}, at line {before}"


def _nearest(lines: set[int], file: str, line: int) -> str:
    before = max((other for other in lines if other < line), default=None)
    after = min((other for other in lines if other > line), default=None)
    return f"--line {' or '.join(f'{file}:{other}' for other in (before, after) if other is not None)}"
