"""Where each allocation of a run came from (thread cache, a bin, the top, ...), by an exact model of its allocator.

A call is named only while the model has been right about every pointer and every system call of its process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from observer.compare.sides import ExactSide
from observer.compare.together import grouped
from observer.compare.witness import Witness
from observer.model.events import Call, Event, Process, Syscall

__all__ = ["served_by"]


def served_by(events: Iterable[Event], model: Callable[[int], ExactSide]) -> dict[int, str]:
    """Return where memory came from by the number of the call; *model* makes that of a process by its first thread."""
    processes: dict[int, Witness] = {}
    found: dict[int, str] = {}
    for event, inside in grouped(events):
        if isinstance(event, Process):
            _process(event, processes, model)
            continue
        witness = processes.get(event.pid)
        if witness is None:
            witness = processes[event.pid] = Witness(model(event.pid))
        if isinstance(event, Syscall):
            witness.outside(event)
        elif isinstance(event, Call):
            witness.see(event, [each for each in inside if isinstance(each, Syscall)])
            if witness.source:
                found[event.n] = witness.source
    return found


def _process(event: Process, processes: dict[int, Witness], model: Callable[[int], ExactSide]) -> None:
    known = processes.get(event.pid)
    if event.what == "exec":
        processes[event.pid] = Witness(model(event.pid))
    elif event.child is not None and known is not None:
        if event.what == "fork":
            processes[event.child] = known.copy(event.tid, event.child)
        elif event.what == "vfork":
            processes[event.child] = known  # the memory is the parent's until exec
            known.lend(event.tid, event.child)
        elif event.what == "clone":
            known.thread(event.child, begins=True)
    elif event.what == "exit" and event.tid != event.pid and known is not None:
        known.thread(event.tid, begins=False)
