"""Choose events: by kind, by source line, by allocator call with everything that became of its piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from observer.errors import UsageError
from observer.model.events import Call, Event, Fault, Signal, Site, Syscall
from observer.model.operations import FREEING

__all__ = ["KINDS", "at_line", "is_file", "life_of", "lifeline", "parse_line", "takes_over"]

_WITHOUT_LINE: Final = re.compile(r".+\+0x[0-9a-f]+|.+ \(.+\)")
_MOST_MOVES: Final = 200
KINDS: Final = ("call", "syscall", "fault", "signal", "process", "library", "lost")


def parse_line(text: str) -> tuple[str, int]:
    """Return file and line of `story.c:28`; of a place without a line, as the story names it, the name and 0.

    >>> parse_line("story.c:28"), parse_line("libc.so.6+0x98930"), parse_line("_start (story)")
    (('story.c', 28), ('libc.so.6+0x98930', 0), ('_start (story)', 0))

    Raises:
        UsageError: if *text* is neither.
    """
    file, _colon, line = text.rpartition(":")
    if file and line.isascii() and line.isdecimal():
        return file, int(line)
    if _WITHOUT_LINE.fullmatch(text):
        return text, 0
    raise UsageError(f"--line {text}", "not of the form FILE:LINE or MODULE+0xOFFSET", "--line story.c:28")


def at_line(events: Iterable[Event], file: str, line: int) -> Iterator[Event]:
    """Yield the events that *file*:*line* caused, with what happened inside its allocator calls.

    *file* may be a whole path or the end of one; of *line* 0 it is the name of a place that has no line.
    """
    calls: dict[int, int] = {}
    for event in events:
        site = getattr(event, "site", None)
        hit = site is not None and is_place(site, file, line)
        if isinstance(event, Call):
            calls[event.tid] = event.n if hit else -1
        inside = isinstance(event, Syscall | Fault) and event.cause is not None and calls.get(event.tid) == event.cause
        if hit or inside:
            yield event


def is_place(site: Site, file: str, line: int) -> bool:
    """Say whether *site* is at *file*:*line*, or, of *line* 0, is the place without a line that is named *file*."""
    if line:
        return site.line == line and is_file(site.file or "", file)
    return not site.line and site.text == file


def is_file(path: str, end: str) -> bool:
    """Say whether *end* names the file *path*: it is the whole path or the end of one."""
    return path == end or path.endswith(f"/{end.removeprefix('./')}")


def life_of(events: Iterable[Event], calls: Sequence[Call]) -> Iterator[Event]:
    """Yield what a piece went through: its *calls* in order, what happened in them, and the first touches of it.

    *calls* are those that made the piece, moved it and freed it; *events* begin at or before the first of them.
    """
    numbers = {call.n for call in calls}
    unfinished = {call.tid for call in calls if call.end_ns is None}
    for event in events:
        if event.n in numbers or getattr(event, "cause", None) in numbers:
            yield event
        elif isinstance(event, Fault):
            if event.chunk is not None and event.chunk.call in numbers:
                yield event
        elif isinstance(event, Signal) and event.fatal and event.tid in unfinished:
            yield event


def takes_over(call: Call) -> bool:
    """Whether *call* gave back, or moved, the piece at its pointer: a realloc(3) that fails leaves it where it is."""
    if not call.pointer or call.op == "malloc_usable_size":
        return False
    return call.op in FREEING or bool(call.result) or not call.bytes_asked


def lifeline(call: Call, giver: Callable[[Call], Call | None], ender: Callable[[Call], Call | None]) -> list[Call]:
    """Return the calls that made, moved and freed the piece that *call* is about, in order.

    *giver* returns the call that had returned a call's pointer, *ender* the one that takes over its result. Of a piece
    that was moved very often those nearest to *call* are told.
    """
    line = [call]
    while len(line) < _MOST_MOVES and takes_over(line[0]) and (before := giver(line[0])) is not None:
        line.insert(0, before)
    for _ in range(_MOST_MOVES):
        after = ender(line[-1]) if line[-1].result else None
        if after is None:
            break
        line.append(after)
    return line
