"""A run as a trace for ui.perfetto.dev and chrome://tracing: calls, what happened in them, and what is held, over time.

Format: Trace Event Format (JSON), times in microseconds since the run's start. A thread's calls and system calls are
slices, page faults and signals instants, what a process holds counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from observer.model.events import Call, Event, Fault, Library, Process, Signal, Syscall
from observer.report.jsonl import as_object, encoded
from observer.story.breaks import Breaks
from observer.story.levels import Levels
from observer.story.sentences import call_words, sentence

__all__ = ["write_perfetto"]

_BATCH: Final = 512
_NOT_TOLD: Final = frozenset({"n", "t_ns", "pid", "tid", "kind", "end_ns", "site"})


def write_perfetto(events: Iterable[Event], out: BinaryIO, page_size: int) -> None:
    """Write *events*, in order of n, to *out*; pages of the machine had *page_size* bytes."""
    out.write(b'{"displayTimeUnit":"ns","traceEvents":[')
    lines: list[bytes] = []
    between = b"\n"
    for record in _records(events, Levels(page_size)):
        lines.append(between + encoded(record))
        between = b",\n"
        if len(lines) == _BATCH:
            out.write(b"".join(lines))
            lines.clear()
    out.write(b"".join(lines) + b"\n]}\n")


def _records(events: Iterable[Event], levels: Levels) -> Iterator[dict[str, Any]]:
    breaks = Breaks()
    for event in events:
        yield {
            **_shape(event), "cat": event.__struct_config__.tag, "name": _name(event), "pid": event.pid,
            "tid": event.tid, "ts": event.t_ns / 1000, "args": _facts(event, breaks.follow(event)),
        }  # fmt: skip
        if isinstance(event, Process) and event.path is not None:
            named = {"name": event.path.rsplit("/", 1)[-1]}
            yield {"ph": "M", "name": "process_name", "pid": event.pid, "tid": event.tid, "args": named}
        level = levels.take(event)
        if level is not None:
            then = getattr(event, "end_ns", None) or event.t_ns
            yield {"ph": "C", "name": "memory", "pid": event.pid, "ts": then / 1000, "args": level._asdict()}


def _shape(event: Event) -> dict[str, Any]:
    """Return what kind of thing it is to be drawn as: a slice, one that never ended, an instant."""
    if isinstance(event, Call | Syscall | Library):
        return {"ph": "B"} if event.end_ns is None else {"ph": "X", "dur": (event.end_ns - event.t_ns) / 1000}
    return {"ph": "i", "s": "p" if isinstance(event, Process) else "t"}


def _name(event: Event) -> str:
    if isinstance(event, Call):
        return call_words(event)
    if isinstance(event, Syscall):
        return event.name
    if isinstance(event, Library):
        return event.function
    if isinstance(event, Fault):
        return f"page fault: {event.where or hex(event.address)}"
    if isinstance(event, Process):
        return event.what
    return event.signal if isinstance(event, Signal) else "lost events"


def _facts(event: Event, moved: int | None) -> dict[str, Any]:
    """Return what a click on it shows: what happened in words, its place, and the fields that are not null."""
    site = getattr(event, "site", None)
    facts: dict[str, Any] = {"n": event.n, "told": sentence(event, moved, at_site=False)}
    if site is not None:
        facts["at"] = site.text
    fields = as_object(event).items()
    return facts | {name: value for name, value in fields if name not in _NOT_TOLD and value is not None}
