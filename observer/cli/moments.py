"""What `observer show --heap` and `--map` tell of one moment of a run: the models and the replay that know it."""

from __future__ import annotations

from heapq import merge
from itertools import takewhile
from typing import TYPE_CHECKING

from observer.errors import BadTrace

if TYPE_CHECKING:
    from rich.console import Console

    from observer.model.chunks import Chunk
    from observer.model.snapshots import HeapSnapshot
    from observer.story.language import Language
    from observer.story.moment import Moment
    from observer.trace.reader import Trace

__all__ = ["show_heap", "show_map_at"]


def show_map_at(console: Console, trace: Trace, n: int, language: Language) -> None:
    """Draw the address space of the process of event *n* as it was after that event."""
    from observer.report.space import print_space
    from observer.story.wording import number

    then = _moment(trace, n)
    print_space(
        console, then.as_end(), language.say("space_after", number(n)), language.say("space_resident"),
        language=language,
    )  # fmt: skip


def show_heap(console: Console, trace: Trace, n: int | None, language: Language, *, everything: bool) -> None:
    """Tell the chunks of the process of event *n* after that event; None: of the first process before its end."""
    from observer.report.heap import print_heap

    then = _moment(trace, n if n is not None else trace.last_of_first())
    snapshot = trace.snapshot_after(then.n)
    chunks, how = _chunks(trace, then, snapshot, language)
    print_heap(console, then, chunks, how, everything=everything, language=language)


def _moment(trace: Trace, n: int) -> Moment:
    from observer.story.moment import moment
    from observer.story.query import KINDS

    pid = trace.pid_of(n)
    if pid is None:
        last = trace.meta.outcome.events - 1
        raise BadTrace(f"{trace.directory} has no event {n:,}", f"its last one is {last:,}", "--at with one of them")
    # What is mapped is known from both of its ends: calls behind the moment tell nothing of it.
    calls = takewhile(lambda event: event.n <= n, trace.events(frozenset({"call"})))
    events = merge(calls, trace.events(frozenset(KINDS) - {"call"}), key=lambda event: event.n)
    return moment(events, trace.meta.ends, trace.meta.machine.page_size, pid, n, _program(trace, pid, n))


def _program(trace: Trace, pid: int, n: int) -> str:
    """Return the path of the program that process *pid* ran at event *n*."""
    from observer.model.events import Process

    programs = dict[int, str]()
    for event in takewhile(lambda event: event.n <= n, trace.events(frozenset({"process"}))):
        if isinstance(event, Process) and event.path is not None:
            programs[event.pid] = event.path
        elif isinstance(event, Process) and event.child is not None:
            programs.setdefault(event.child, programs.get(event.pid, ""))
    return programs.get(pid, "")


def _chunks(
    trace: Trace, then: Moment, snapshot: HeapSnapshot | None, language: Language
) -> tuple[list[Chunk], str]:  # fmt: skip
    """Return the chunks, and who knows of the free ones: the exact model, a *snapshot* of then, else nobody."""
    from observer.compare.heap_at import heap_as_of, heap_at
    from observer.compare.snapshots import beside_snapshot
    from observer.glibc.chunks import HEADER, chunk_size
    from observer.model.chunks import Chunk
    from observer.report.snapshots import told_beside
    from observer.runs.models import exact_model_if_known
    from observer.runs.sources import can_be_followed

    meta = trace.meta
    model = exact_model_if_known(meta.machine, meta.request.environment)
    if model is not None and can_be_followed(meta.machine, meta.request):
        kinds = frozenset({"call", "syscall", "process"})
        events = trace.events(kinds)
        if snapshot is not None:
            found = heap_as_of(events, model, then.pid, snapshot.t_ns)
        else:
            found = heap_at(events, model, then.pid, then.n)
        doubt = "" if found.is_certain else language.say("chunks_doubt")
        how = language.say("chunks_by_model", model.version, doubt)
        if snapshot is not None:
            how += "; " + told_beside(beside_snapshot(found.chunks, trace.chunks_of(snapshot)), snapshot)
        return list(found.chunks), how
    if snapshot is not None:
        return trace.chunks_of(snapshot), language.say("chunks_by_snapshot")
    in_use = [Chunk(piece.start - HEADER, chunk_size(piece.size), "in use") for piece in then.pieces]
    return in_use, language.say("chunks_by_calls")
