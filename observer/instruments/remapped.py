"""System calls that change mappings in ways that their arguments and results do not tell: what is there afterwards.

Only the places that a call can have changed are looked at (shmat(2), io_setup(2), remap_file_pages(2),
map_shadow_stack: Linux 6.6), however many mappings there are. What grows by being touched (the stack, MAP_GROWSDOWN)
lies where no call says: it is looked at when a call changes a part of it. And so is what may be executed though no
call asks for that, as in programs of i386 that do not say whether their stack may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns
from typing import Final

from observer.arch.known import NATIVE
from observer.linux import procfs
from observer.linux.regions import regions_within
from observer.model.addresses import Mapping, page_up
from observer.model.memory_calls import map_flags
from observer.recording.notes import Detached, Region
from observer.recording.sink import Sink
from observer.tracee.task import Task

__all__ = ["PERSONALITY", "is_partly_done", "note_all", "note_remapped"]

_SHMDT, _IO_SETUP, _IO_DESTROY, _REMAP_FILE_PAGES = NATIVE.numbers(
    "shmdt", "io_setup", "io_destroy", "remap_file_pages"
)
_DETACHING: Final = frozenset({_SHMDT, _IO_DESTROY})
_REMAPPING: Final = _DETACHING.union({_IO_SETUP, _REMAP_FILE_PAGES}, NATIVE.numbers("shmat", "map_shadow_stack"))
"""Their numbers."""
_MMAP, _MREMAP = NATIVE.numbers("mmap", "mremap")
_OF_RANGES: Final = frozenset({_MMAP, _MREMAP}.union(NATIVE.numbers("munmap", "mprotect", "pkey_mprotect")))
_BRK, PERSONALITY = NATIVE.numbers("brk", "personality")
_IMPLYING: Final = frozenset({_MMAP, _BRK}.union(NATIVE.numbers("mprotect", "pkey_mprotect")))
"""What makes executable whatever may be read, where the personality says so (READ_IMPLIES_EXEC, personality(2))."""
_PARTLY_DONE: Final = frozenset({_MMAP, _MREMAP}.union(NATIVE.numbers("mprotect", "pkey_mprotect")))
"""What these have done before they failed stays done."""
_EINVAL: Final = 22
_REACH: Final = 128 << 20
"""Bytes that the kernel leaves free below a stack, at the least (mmap_base)."""


def note_remapped(sink: Sink, task: Task, number: int, args: tuple[int, ...], result: int, now: int) -> None:
    """Note what the successful call *number* of the stopped *task* left: `detached` an address, or a `region`."""
    if number in _IMPLYING and task.memory is not None and task.memory.reads_execute:
        start, length = args[:2] if number not in (_MMAP, _BRK) else (result - (number == _BRK), 1)
        _note_region(sink, task, start, start + length, monotonic_ns())
    if number == PERSONALITY and task.memory is not None:
        task.memory.reads_execute = procfs.reads_execute(task.tid)
    elif number in _OF_RANGES and task.memory is not None:
        if number == _MMAP and "growsdown" in map_flags(args[3]):
            task.memory.growing.add(page_up(result + args[1]))
        for top in task.memory.growing if number != _MMAP or "fixed" in map_flags(args[3]) else ():
            if any(top - _REACH < start + length and start < top for start, length in _ranges(number, args, result)):
                # Later than the call is recorded to have ended, which is replayed first.
                _note_region(sink, task, top - _REACH, top, monotonic_ns(), is_whole=True)
    elif number in _DETACHING:
        sink.notes.append(Detached(pid=task.pid, t=now, address=args[0]))
    elif number in _REMAPPING:
        start, length = args[:2] if number == _REMAP_FILE_PAGES else (_place(task, number, args, result), 1)
        _note_region(sink, task, start, start + length, now)


def _note_region(sink: Sink, task: Task, start: int, end: int, now: int, *, is_whole: bool = False) -> None:
    """Note what is mapped in [start, end): *is_whole* says that nothing is where nothing is found."""
    try:
        found = [region.mapping for region in regions_within(task.tid, start, end)]
    except PermissionError:
        return  # it forbade to be read (PR_SET_DUMPABLE): its end is not compared either, and that is said
    found = task.memory.inline.without_ours(found) if task.memory is not None else found
    if found:
        start = min(start, found[0].start) if is_whole else found[0].start
        end = max(end, found[-1].end) if is_whole else found[-1].end
        sink.notes.append(Region(pid=task.pid, t=now, start=start, end=end, mappings=tuple(found)))


def _ranges(number: int, args: tuple[int, ...], result: int) -> list[tuple[int, int]]:
    """Return (start, length) of what a call changed."""
    moved = [(result, args[2])] if number == _MREMAP else []
    return [(result if number == _MMAP else args[0], args[1]), *moved]


def is_partly_done(number: int, args: tuple[int, ...], result: int) -> bool:
    """Whether the call *number*, which failed, may have changed mappings.

    Not so a mapping that may lie anywhere: it takes the place of none. As huge pages are asked for that the machine has
    not, it fails again and again, beside threads that map, and what was read beside them need not be what is there.
    """
    if result == -_EINVAL or number not in _PARTLY_DONE:
        return False
    return number != _MMAP or "fixed" in map_flags(args[3])


def note_all(sink: Sink, task: Task, mappings: Sequence[Mapping], now: int) -> None:
    """Note the whole address space of the stopped *task*, whose *mappings* these are; nothing if there are none."""
    if task.memory is not None:
        mappings = task.memory.inline.without_ours(mappings)
    if mappings:
        sink.notes.append(Region(pid=task.pid, t=now, start=0, end=mappings[-1].end, mappings=tuple(mappings)))


def _place(task: Task, number: int, args: tuple[int, ...], result: int) -> int:
    """Return where the call mapped something: io_setup writes the address, as the context's number."""
    if number != _IO_SETUP or task.memory is None:
        return result
    return task.memory.read_word(args[1])
