"""Facts about memory beyond the pieces: pages given back, code in data, pages of files, arenas of threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from observer.glibc.parameters import HEAP_BYTES
from observer.labs.program import Program, is_on
from observer.labs.values import Unknown, Value
from observer.model.addresses import page_up
from observer.model.memory_calls import Advise, Map, MemoryCall, Protect, memory_call

__all__ = ["FACTS", "arenas", "discards", "executable", "file_faults"]

_DISCARDING: Final = ("dontneed", "dontneed_locked")


def discards(program: Program, line: str = "") -> Value:
    """Bytes of pages that the program's own lines gave back by madvise(MADV_DONTNEED); their addresses stay mapped."""
    page = program.meta.machine.page_size
    advice = (call for call in _asked(program, line) if isinstance(call, Advise) and call.advice in _DISCARDING)
    return sum(call.size(page) for call in advice)


def executable(program: Program, line: str = "") -> Value:
    """Bytes that the program's own lines made executable, by mmap or mprotect."""
    page = program.meta.machine.page_size
    opened = (call for call in _asked(program, line) if isinstance(call, Map | Protect) and "x" in call.protection)
    return sum(call.size(page) for call in opened)


def file_faults(program: Program, line: str = "") -> Value:
    """Page faults of the program's own lines on files it mapped, not on its code and libraries."""
    if not program.meta.sees_faults:
        return Unknown(f"page faults one by one: {program.meta.how.get('faults', 'not observed')}")
    images = {image.path for image in program.meta.images}
    found = (fault for fault in program.faults if fault.toucher == "program" and is_on(fault.site, line))
    return sum(fault.mapping is not None and fault.mapping not in images and _is_file(fault.mapping) for fault in found)


def _is_file(mapping: str) -> bool:
    return mapping.startswith("/")


def arenas(program: Program) -> Value:
    """Arenas that glibc made for threads beside the main one; one that outgrows its 64 MiB counts again."""
    if not program.meta.machine.libc_version:
        return Unknown("arenas are those of glibc, and the C library here is another one")
    inside = (event for event in program.syscalls if event.pid == program.root and program.cause(event) is not None)
    reserved = map(memory_call, inside)
    return len({start for call in reserved if isinstance(call, Map) for start in _arena_in(call)})


def _arena_in(call: Map) -> Iterator[int]:
    """Yield where an arena begins in what *call* reserves: at a multiple of its size, so twice that is asked for."""
    if call.start is None or not call.reserves:
        return
    start = page_up(call.start, HEAP_BYTES)
    if start + HEAP_BYTES <= call.start + call.length:
        yield start


def _asked(program: Program, line: str) -> Iterator[MemoryCall]:
    """Yield the memory calls of the program's own lines that were carried out."""
    for event in program.syscalls:
        call = memory_call(event) if program.is_own(event) and is_on(event.site, line) else None
        if call is not None and not call.failed:
            yield call


FACTS: Final = (discards, executable, file_faults, arenas)
