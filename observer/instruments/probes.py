"""Calls of the program into its libraries, and of anyone into the vDSO: what stands between program and portal.

A probe, which is a breakpoint at each call instruction of the program's own code and at each function of the vDSO, has
the call come back to a trap: two stops a call. What unwinds the stack by tables (C++ exceptions) would find no table
for the trap, so in a program that may do that, and for functions that return twice or never, or ask who called them,
only the entry is seen. Any process may unwind: a library throws through a callback of C, a thread is cancelled. So
there are probes at the unwinder's own functions, too.
"""

from __future__ import annotations

import contextlib
from time import monotonic_ns
from typing import Any, Final

from observer.code.elf import Elf
from observer.code.emulation import Emulation
from observer.code.instructions import emulation_of
from observer.code.outgoing import names_any, outgoing_calls, why_none
from observer.code.prologue import prologue_of
from observer.code.vdso import doors
from observer.instruments.stacks import WRAPPER, keep_stack
from observer.linux.ptrace import RegisterSet
from observer.model.addresses import Mapping
from observer.model.operations import OPERATIONS
from observer.recording.notes import ProbedFunction
from observer.recording.records import LEFT, RETURNED
from observer.recording.sink import Sink
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.calls import CallFollower
from observer.tracee.frames import Frame
from observer.tracee.listener import Listener
from observer.tracee.memory import Memory
from observer.tracee.returning import IN_REGISTER
from observer.tracee.task import Task

__all__ = ["LibraryCalls"]

_TWICE: Final = frozenset({"setjmp", "sigsetjmp", "savectx", "vfork", "libc_vfork", "getcontext", "swapcontext"})
_NEVER: Final = frozenset({
    "exit", "Exit", "quick_exit", "abort", "longjmp", "siglongjmp", "longjmp_chk", "libc_longjmp", "libc_siglongjmp",
    "setcontext", "pthread_exit", "thrd_exit", "stack_chk_fail", "assert_fail", "chk_fail", "fortify_fail", "err",
    "errx",
})  # fmt: skip
_ASKING: Final = frozenset({"dlsym", "dlvsym", "dlopen", "dlmopen", "mcount", "fentry", "morestack", "backtrace"})
"""Functions that look at their return address: to find the caller's library (dlsym(3)), to count or to go on there."""
_CHECKING: Final = ("__asan_", "__hwasan_", "__lsan_", "__msan_", "__sanitizer_", "__tsan_", "__ubsan_")
_UNWINDING: Final = ("__cxa_throw", "__cxa_begin_catch", "_Unwind_", "__gxx_personality")
_UNWINDERS: Final = frozenset({
    "_Unwind_RaiseException", "_Unwind_ForcedUnwind", "_Unwind_Resume", "_Unwind_Resume_or_Rethrow",
    "_Unwind_Backtrace",
})  # fmt: skip
_BY_TABLES: Final = "library calls are seen at their entry only: the program may unwind its stack by tables (C++)"


class LibraryCalls(Listener):
    """Plants probes and makes records of the calls. *library* watches the program's calls, *vdso* the vDSO's."""

    def __init__(self, sink: Sink, follower: CallFollower, *, library: bool, vdso: bool) -> None:
        self._sink = sink
        self._listener = follower.tell(self)
        self._library = library
        self._vdso = vdso
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts = dict.fromkeys(("library_begun", "library_returned", "library_left", "library_unreturned"), 0)
        self.notes: set[str] = set()

    def counts(self) -> dict[str, int]:
        """Return how many calls were begun, returned, left by a jump, and cut or never seen to return."""
        return dict(self._counts)

    def plant(self, task: Task, elf: Elf, bias: int, *, calls_seen: bool) -> None:
        """Plant at the calls that the program *elf* makes; those of the malloc family are left to *calls_seen*."""
        memory = task.memory
        if not self._library or memory is None:
            return
        outgoing = outgoing_calls(elf)
        if not outgoing:
            self.notes.add(f"calls into libraries are not observed in {elf.path}: {why_none(elf)}")
        by_tables = names_any(elf, _UNWINDING)
        if by_tables:
            self.notes.add(_BY_TABLES)
        for call in outgoing:
            if calls_seen and call.function in OPERATIONS:
                continue
            place = call.address + bias
            emulation = emulation_of(call.code, place, elf.architecture)
            if emulation is None or place in memory.breakpoints or memory.read(place, len(call.code)) != call.code:
                continue
            returns = not by_tables and _returns_once(call.function)
            number = self._number(call.function, "")
            self._put(
                task, memory, place, call.code, emulation, number=number, pushed=-elf.architecture.popped,
                is_before=True, returns=returns,
            )  # fmt: skip

    def plant_unwinder(self, task: Task, elf: Elf, bias: int) -> None:
        """Plant at what *elf* has of the functions that read return addresses off the stack."""
        memory = task.memory
        if not self._library or memory is None:
            return
        for symbol in elf.definitions_of(_UNWINDERS):
            address = prologue_of(elf, symbol.address).place if IN_REGISTER is not None else symbol.address
            place, code = address + bias, elf.read(address, elf.architecture.longest_instruction)
            emulation = emulation_of(code, place, elf.architecture)
            if emulation is not None and place not in memory.breakpoints and memory.read(place, 1) == code[:1]:
                self._put(task, memory, place, code, emulation, returns=False, unwinds=True)

    def plant_vdso(self, task: Task, mappings: list[Mapping]) -> None:
        """Plant at the functions of the vDSO."""
        memory = task.memory
        vdso = next((mapping for mapping in mappings if mapping.path == "[vdso]"), None)
        if not self._vdso or memory is None or vdso is None:
            return
        for door in doors(memory.read(vdso.start, vdso.size), vdso.start):
            place = vdso.start + door.offset
            if place not in memory.breakpoints:
                code = memory.read(place, door.emulation.length)
                self._put(task, memory, place, code, door.emulation, number=self._number(door.name, "[vdso]"))

    def _number(self, function: str, module: str) -> int:
        key = function, module
        if key not in self._numbers:
            number = self._numbers[key] = len(self._numbers)
            self._sink.notes.append(
                ProbedFunction(t=monotonic_ns(), number=number, function=function, module=module or None)
            )
        return self._numbers[key]

    def _put(self, task: Task, memory: Memory, place: int, code: bytes, emulation: Emulation, **role: Any) -> None:
        is_certain = emulation.length > 1
        with contextlib.suppress(OSError):  # code that ptrace may not write stays unseen
            memory.plant(
                task.tid,
                Breakpoint(place, code, emulation, listener=self._listener, nests=True, is_certain=is_certain, **role),
            )

    # ---- calls, as the follower tells of them ----

    def began(self, task: Task, memory: Memory, frame: Frame, registers: RegisterSet) -> None:
        """See Listener."""
        self._counts["library_begun"] += 1
        if frame.point.is_before:
            frame.site = frame.point.address
            return
        # The vDSO is called by the C library: who called that is known, or found on the stack.
        frame.site = task.nested[-1].site if task.nested else frame.return_address - 1
        if not task.nested:
            frame.stack = keep_stack(self._sink, memory, frame.began, frame.sp, registers, WRAPPER)

    def returned(self, task: Task, memory: Memory, frame: Frame, result: int) -> None:
        """See Listener."""
        self._counts["library_returned"] += 1
        self._record(task, frame, monotonic_ns(), result, RETURNED)

    def lost(self, task: Task, frame: Frame, now: int, how: int) -> None:
        """See Listener."""
        self._counts["library_left" if how == LEFT else "library_unreturned"] += 1
        self._record(task, frame, now, 0, how)

    def _record(self, task: Task, frame: Frame, ended: int, result: int, flags: int) -> None:
        self._sink.into_libraries.append(
            frame.began, ended, task.pid, task.tid, frame.point.number, flags, result, frame.site, frame.sp,
            frame.stack,
        )  # fmt: skip


def _returns_once(function: str) -> bool:
    """Whether a call of *function* comes back once, and minds not where to."""
    name = function.lstrip("_")
    return name not in _TWICE | _NEVER | _ASKING and function != "_exit" and not function.startswith(_CHECKING)
