"""The rows of a part as events, in the one order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt

from observer.model.events import (
    Call,
    ChunkRef,
    Event,
    Fault,
    KernelWork,
    Library,
    Lost,
    Misuse,
    Process,
    Signal,
    Syscall,
)  # fmt: skip
from observer.model.where import text_of
from observer.trace.columns import Columns, SiteTable, Words
from observer.trace.part import Part

__all__ = ["calls_of", "events_of", "name_sources", "others_of"]

_SEPARATOR = "\x1f"
_MISUSE: Final = ("misuse", "misuse_given_at", "misuse_freed_at")
_ASKED: Final = ("size", "count", "alignment", "pointer", "result", "parameter", "value")


def events_of(part: Part) -> list[Event]:
    """Return the events of *part*, as they will be read back from the tables, in order of n; made once."""
    if part.events is None:
        part.call_events = list(_calls(part.calls, part.sites))
        part.events = sorted([*part.call_events, *others_of(part)], key=lambda event: event.n)
    return part.events


def others_of(part: Part) -> list[Event]:
    """Return the events of *part* that are no allocator calls, in order of n."""
    sites = part.sites
    events: list[Event] = [*_syscalls(part.syscalls, sites, part.syscall_work)]
    events += _faults(part.faults, sites, part.fault_work)
    events += _libraries(part.into_libraries, sites)
    events += [Signal(**{**row, "site": sites.of(row["site"])}) for row in part.signals]
    events += [Process(**row) for row in part.processes]
    events += [Lost(**row) for row in part.lost]
    events.sort(key=lambda event: event.n)
    return events


def calls_of(part: Part, rows: npt.NDArray[np.int64]) -> list[Call]:
    """Return some of the allocator calls of *part* as events."""
    return list(_calls(part.calls.some(rows), part.sites))


def name_sources(part: Part, sources: dict[int, str], impossible: dict[int, Misuse]) -> None:
    """Say of the calls of *part* where their memory came from, and what cannot be of a heap that nobody damaged.

    *sources* and *impossible* have it by their n, and lose what was said.
    """
    events_of(part)
    words = part.sites.words
    for row, call in enumerate(part.call_events):
        source = sources.pop(call.n, None)
        if source is not None:
            part.calls.coded["served_by"][row] = words.number(source)
            msgspec.structs.force_setattr(call, "served_by", source)
        misuse = impossible.pop(call.n, None) if impossible else None
        if misuse is not None and call.misuse is None:
            _write_misuse(part.calls, words, row, misuse)
            msgspec.structs.force_setattr(call, "misuse", misuse)


def _write_misuse(columns: Columns, words: Words, row: int, misuse: Misuse) -> None:
    for name, text in zip(_MISUSE, (misuse.what, misuse.given_at, misuse.freed_at), strict=True):
        columns.coded[name][row] = words.number(text)
    columns.numbers["misuse_given"][row] = misuse.given if misuse.given is not None else -1
    columns.numbers["misuse_freed"][row] = misuse.freed if misuse.freed is not None else -1


def _rows(columns: Columns, words: Words, *names: str) -> Iterator[tuple[Any, ...]]:
    found: list[list[Any]] = []
    for name in names:
        if name in columns.numbers:
            found.append(columns.numbers[name].tolist())
        elif name in columns.coded:
            found.append(_texts(columns, words, name))
        else:
            found.append(columns.found[name] if name in columns.found else columns.texts[name])
    return zip(*found, strict=True)


def _texts(columns: Columns, words: Words, name: str) -> list[str | None]:
    """Return the texts of a column that is given by numbers of words."""
    texts: list[str | None] = words.texts(columns.coded[name]).tolist()
    if name != "where":
        return texts
    behind = columns.numbers["where_at"].tolist()
    return [text if at < 0 or text is None else text_of(text, at) for text, at in zip(texts, behind, strict=True)]


def _calls(columns: Columns, sites: SiteTable) -> Iterator[Call]:
    if not columns.length:
        return
    rows = _rows(
        columns, sites.words, "n", "t_ns", "pid", "tid", "op", "where", "end_ns", "returned", "errno", "site", "origin",
        "served_by", "steps", "inner_calls", "allocator", "misuse", "stack",
    )  # fmt: skip
    asked = zip(*(_some(columns, name) for name in _ASKED), strict=True)
    for i, (
        (
            n, t_ns, pid, tid, op, where, end_ns, returned, errno, site, origin, served_by, steps, inner, allocator,
            misuse, stack,
        ),
        (size, count, alignment, pointer, result, parameter, value),
    ) in enumerate(zip(rows, asked, strict=True)):  # fmt: skip
        yield Call(
            n=n, t_ns=t_ns, pid=pid, tid=tid, op=op, size=size, count=count, alignment=alignment, pointer=pointer,
            result=result, where=where, end_ns=end_ns if returned else None, errno=errno or None,
            site=sites.of(site), origin=origin, served_by=served_by, steps=steps, inner=inner, allocator=allocator,
            parameter=parameter, value=value, misuse=_misuse(columns, sites.words, i) if misuse is not None else None,
            stack=stack or None,
        )  # fmt: skip


def _some(columns: Columns, name: str) -> Iterable[int | None]:
    """Return a column in which not every row has a value; mostly none has one, and none is made then."""
    has, values = columns.numbers[f"has_{name}"], columns.numbers[name]
    if not has.any():
        return repeat(None, columns.length)
    if has.all():
        return cast("list[int | None]", values.tolist())
    return [value if is_there else None for value, is_there in zip(values.tolist(), has.tolist(), strict=True)]


def _misuse(columns: Columns, words: Words, row: int) -> Misuse:
    what, given_at, freed_at = (words.words[columns.coded[name][row]] for name in _MISUSE)
    given, freed = (int(columns.numbers[f"misuse_{name}"][row]) for name in ("given", "freed"))
    return Misuse(what or "", given if given >= 0 else None, given_at, freed if freed >= 0 else None, freed_at)


def _syscalls(columns: Columns, sites: SiteTable, work: dict[int, KernelWork]) -> Iterator[Syscall]:
    if not columns.length:
        return
    rows = _rows(
        columns, sites.words, "n", "t_ns", "pid", "tid", "name", "number", "result", "returned", "errno", "gate",
        "ring_before", "end_ns", "cause", "site", "decoded", "within", "arity", "a0", "a1", "a2", "a3", "a4", "a5",
    )  # fmt: skip
    for row, (
        n, t_ns, pid, tid, name, number, result, returned, errno, gate, ring_before, end_ns, cause, site, decoded,
        within, arity, *words,
    ) in enumerate(rows):  # fmt: skip
        yield Syscall(
            n=n, t_ns=t_ns, pid=pid, tid=tid, name=name, number=number, args=tuple(words[:arity]),
            result=result if returned else None, errno=errno or None, gate=gate, ring_before=ring_before,
            end_ns=end_ns if returned else None, cause=cause if cause >= 0 else None, site=sites.of(site),
            decoded=tuple(decoded.split(_SEPARATOR)) if decoded else (), within=within if within >= 0 else None,
            kernel=work.get(row),
        )  # fmt: skip


def _faults(columns: Columns, sites: SiteTable, work: dict[int, KernelWork]) -> Iterator[Fault]:
    if not columns.length:
        return
    rows = _rows(
        columns, sites.words, "n", "t_ns", "pid", "tid", "address", "where", "ip", "access", "major", "ring", "mapping",
        "chunk_call", "chunk_address", "chunk_size", "toucher", "cause", "site", "frame",
    )  # fmt: skip
    for row, (
        n, t_ns, pid, tid, address, where, ip, access, major, ring, mapping, call, chunk, size, toucher, cause, site,
        frame,
    ) in enumerate(rows):  # fmt: skip
        yield Fault(
            n=n, t_ns=t_ns, pid=pid, tid=tid, address=address, where=where, ip=ip, access=access, major=major == 1,
            ring=ring, mapping=mapping, chunk=ChunkRef(call, chunk, size) if call >= 0 else None, toucher=toucher,
            cause=cause if cause >= 0 else None, site=sites.of(site), frame=frame if frame >= 0 else None,
            kernel=work.get(row),
        )  # fmt: skip


def _libraries(columns: Columns, sites: SiteTable) -> Iterator[Library]:
    if not columns.length:
        return
    rows = _rows(
        columns, sites.words, "n", "t_ns", "pid", "tid", "function", "module", "result", "returned", "end_ns", "site",
        "crossings",
    )  # fmt: skip
    for n, t_ns, pid, tid, function, module, result, returned, end_ns, site, crossings in rows:
        yield Library(
            n=n, t_ns=t_ns, pid=pid, tid=tid, function=function, module=module, result=result if returned else None,
            end_ns=end_ns if returned else None, site=sites.of(site), crossings=crossings if crossings >= 0 else None,
        )  # fmt: skip
