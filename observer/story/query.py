"""Choose events: by kind, by source line, by allocator call with everything that became of its piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from observer.errors import UsageError
from observer.model.events import Call, Event, Fault, Signal, Syscall

__all__ = ["KINDS", "at_line", "is_file", "life_of", "parse_line"]

KINDS: Final = ("call", "syscall", "fault", "signal", "process", "library", "lost")


def parse_line(text: str) -> tuple[str, int]:
    """Return file and line of `story.c:28`.

    Raises:
        UsageError: if *text* is not FILE:LINE.
    """
    file, _colon, line = text.rpartition(":")
    if not file or not line.isascii() or not line.isdecimal():
        raise UsageError(f"--line {text}", "not of the form FILE:LINE", "--line story.c:28")
    return file, int(line)


def at_line(events: Iterable[Event], file: str, line: int) -> Iterator[Event]:
    """Yield the events that *file*:*line* caused, with what happened inside its allocator calls.

    *file* may be a whole path or the end of one.
    """
    calls: dict[int, int] = {}
    for event in events:
        site = getattr(event, "site", None)
        hit = site is not None and site.line == line and is_file(site.file or "", file)
        if isinstance(event, Call):
            calls[event.tid] = event.n if hit else -1
        inside = isinstance(event, Syscall | Fault) and event.cause is not None and calls.get(event.tid) == event.cause
        if hit or inside:
            yield event


def is_file(path: str, end: str) -> bool:
    """Say whether *end* names the file *path*: it is the whole path or the end of one."""
    return path == end or path.endswith(f"/{end.removeprefix('./')}")


def life_of(events: Iterable[Event], call: Call) -> Iterator[Event]:
    """Yield *call*, what happened inside it, the first touches of its piece, and the call that ended the piece.

    *events* may begin anywhere at or before *call* and are read until the piece has ended.
    """
    ender: Call | None = None
    for event in events:
        if event.n < call.n:
            continue
        if ender is not None and getattr(event, "cause", None) != ender.n and event.tid == ender.tid:
            return
        if _belongs(event, call) or (ender is not None and getattr(event, "cause", None) == ender.n):
            yield event
        elif ender is None and isinstance(event, Call) and _ends(event, call):
            ender = event
            yield event


def _belongs(event: Event, call: Call) -> bool:
    if event.n == call.n or (isinstance(event, Syscall | Fault) and event.cause == call.n):
        return True
    if isinstance(event, Fault) and event.chunk is not None:
        return event.chunk.call == call.n
    return isinstance(event, Signal) and event.fatal and event.tid == call.tid and call.end_ns is None


def _ends(event: Call, call: Call) -> bool:
    """Say whether *event* frees or moves the piece that *call* returned."""
    if event.pid != call.pid or event.op == "malloc_usable_size":
        return False
    return bool(call.result) and event.pointer == call.result
