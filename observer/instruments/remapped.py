"""System calls that change mappings in ways that their arguments and results do not tell: what is there afterwards.

Only the places that a call can have changed are looked at (shmat(2), io_setup(2), remap_file_pages(2),
map_shadow_stack: Linux 6.6), however many mappings there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.regions import regions_within
from observer.model.addresses import Mapping
from observer.recording.notes import Detached, Region
from observer.recording.sink import Sink
from observer.tracee.task import Task

__all__ = ["REMAPPING", "note_all", "note_remapped"]

_SHMDT, _IO_SETUP, _IO_DESTROY, _REMAP_FILE_PAGES = NATIVE.numbers(
    "shmdt", "io_setup", "io_destroy", "remap_file_pages"
)
_DETACHING: Final = frozenset({_SHMDT, _IO_DESTROY})
REMAPPING: Final = _DETACHING.union({_IO_SETUP, _REMAP_FILE_PAGES}, NATIVE.numbers("shmat", "map_shadow_stack"))
"""Their numbers."""


def note_remapped(sink: Sink, task: Task, number: int, args: tuple[int, ...], result: int, now: int) -> None:
    """Note what the successful call *number* of the stopped *task* left: `detached` an address, or a `region`."""
    if number in _DETACHING:
        sink.notes.append(Detached(pid=task.pid, t=now, address=args[0]))
        return
    start, length = args[:2] if number == _REMAP_FILE_PAGES else (_place(task, number, args, result), 1)
    try:
        found = [region.mapping for region in regions_within(task.tid, start, start + length)]
    except PermissionError:
        return  # it forbade to be read (PR_SET_DUMPABLE): its end is not compared either, and that is said
    if found:
        start, end = found[0].start, found[-1].end
        sink.notes.append(Region(pid=task.pid, t=now, start=start, end=end, mappings=tuple(found)))


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
