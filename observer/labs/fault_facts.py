"""Facts about page faults: how many, on which pages, and how many frames these held at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.labs.language import BadExpression
from observer.labs.program import Program, at_line, is_on
from observer.labs.values import Unknown, Value
from observer.model.addresses import is_numbered
from observer.model.events import Fault, Syscall
from observer.model.memory_calls import Advise, Break, Unmap, memory_call

__all__ = ["FACTS"]

_BYS: Final = ("program", "allocator", "kernel", "any")
_PROCESSES: Final = ("parent", "child", "any")


def faults(program: Program, line: str = "", by: str = "program", process: str = "any") -> Value:
    """Page faults on the program's data (heap, memory without a file), taken by program, allocator, kernel or any."""
    if by not in _BYS or process not in _PROCESSES:
        raise BadExpression(f"faults: by is one of {', '.join(_BYS)}, process one of {', '.join(_PROCESSES)}")
    unseen = _unseen(program, kernel=by in ("kernel", "any"))
    if unseen is not None:
        return unseen
    found = at_line(program.faults, line)
    return sum(_is_data(fault) and by in (fault.toucher, "any") and _is_of(fault, program, process) for fault in found)


def touched(program: Program, line: str = "") -> Value:
    """How many pages of its data the program's first process took faults on."""
    unseen = _unseen(program, kernel=False)
    if unseen is not None:
        return unseen
    return len({_page_of(fault, program) for fault in at_line(program.faults, line) if _is_own(fault, program)})


def frames(program: Program, line: str = "") -> Value:
    """The most pages that its first process had brought in by faults on its data and not given up, at a time.

    Pages are given up by madvise (MADV_DONTNEED), munmap, and a break that moves down.
    """
    unseen = _unseen(program, kernel=False)
    if unseen is not None:
        return unseen
    held: set[int] = set()
    most = 0
    events: list[Fault | Syscall] = [*program.faults, *program.syscalls]
    for event in sorted(events, key=lambda event: event.n):
        if isinstance(event, Fault):
            if _is_own(event, program) and is_on(event.site, line):
                held.add(_page_of(event, program))
                most = max(most, len(held))
        elif event.pid == program.root:
            start, end = _given_up(event, program)
            held = {page for page in held if not start <= page < end} if start < end else held
    return most


def _unseen(program: Program, *, kernel: bool) -> Unknown | None:
    """Return why faults cannot be counted here, those in the kernel among them if they are asked for."""
    how = program.meta.how
    if not program.meta.sees_faults:
        return Unknown(f"page faults one by one: {how.get('faults', 'not observed')}")
    if kernel and not program.meta.sees_kernel_faults:
        return Unknown(f"page faults in the kernel: {how.get('faults in kernel mode', 'not observed')}")
    return None


def _is_data(fault: Fault) -> bool:
    return fault.chunk is not None or fault.mapping == "[heap]" or is_numbered(fault.mapping)


def _is_of(fault: Fault, program: Program, process: str) -> bool:
    return process == "any" or (fault.pid == program.root) == (process == "parent")


def _is_own(fault: Fault, program: Program) -> bool:
    return _is_data(fault) and fault.toucher == "program" and fault.pid == program.root


def _page_of(fault: Fault, program: Program) -> int:
    return fault.address // program.meta.machine.page_size


def _given_up(event: Syscall, program: Program) -> tuple[int, int]:
    """Return the numbers [start, end) of the pages that *event* takes away, none if it does nothing of that kind."""
    size, moved = program.meta.machine.page_size, program.moved[event.n]
    match memory_call(event):
        case Break(end=int(end)) if moved < 0:
            return -(-end // size), -(-(end - moved) // size)
        case (Unmap(failed=False) | Advise(advice="dontneed", failed=False)) as call:
            return call.start // size, (call.start + call.size(size)) // size
    return 0, 0


FACTS: Final[tuple[Callable[..., Value], ...]] = (faults, touched, frames)
