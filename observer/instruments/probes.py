"""Calls of the program into its libraries, and of anyone into the vDSO: what stands between program and portal.

A probe at each call instruction of the program's own code carries the call out itself, with the address of a trap in
the place of the return address; a probe at each function of the vDSO does the same at its entry. Two stops a call. What
unwinds the stack by tables (C++ exceptions) would find no table for the trap, so in a program that may do that, and
for functions that return twice or never, or ask who called them, only the entry is seen. Any process may unwind: a
library throws through a callback of C, a thread is cancelled. So a probe at the unwinder's own functions puts all
return addresses back before it looks at them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from errno import EIO
from resource import RLIM_INFINITY, RLIMIT_STACK, getrlimit, prlimit, setrlimit
from time import monotonic_ns
from typing import Final

from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.code.instructions import CONSTANT, NOTHING, emulation_of
from observer.code.outgoing import names_any, outgoing_calls, why_none
from observer.code.vdso import doors
from observer.instruments.observed import ObserversPages
from observer.instruments.sink import Sink
from observer.instruments.stacks import WRAPPER, keep_stack
from observer.linux.procfs import PAGE
from observer.linux.ptrace import RegisterSet, signal_info
from observer.model.addresses import Mapping
from observer.model.operations import OPERATIONS
from observer.tracee.memory import Memory, Probe
from observer.tracee.task import LibraryFrame, Task

__all__ = ["ENTRY_ONLY", "LibraryCalls"]

RETURNED, LEFT, ENTRY_ONLY = 1, 2, 4
_RIP, _RSP, _RAX = NATIVE.registers.ip, NATIVE.registers.sp, NATIVE.registers.result
_BEHIND, _TRAPPED = NATIVE.trap.behind, NATIVE.trap.si_code
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
_UNWINDER: Final = -1
_POPPED: Final = 64
"""Bytes of arguments that a function of i386 may take off the stack itself: 4 where it returns a structure."""
_BY_TABLES: Final = "library calls are seen at their entry only: the program may unwind its stack by tables (C++)"


class LibraryCalls:
    """Plants probes and turns their hits into records. *library* watches the program's calls, *vdso* the vDSO's."""

    def __init__(self, sink: Sink, pages: ObserversPages, *, library: bool, vdso: bool) -> None:
        self._sink = sink
        self._pages = pages
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
            emulation = emulation_of(call.code, place, 8 * elf.word)
            if emulation is None or place in memory.breakpoints or memory.read(place, len(call.code)) != call.code:
                continue
            returns = not by_tables and _returns_once(call.function)
            number = self._number(call.function, "")
            self._put(task, memory, Probe(place, number, emulation, call.code[0], is_entry=False, returns=returns))

    def plant_unwinder(self, task: Task, elf: Elf, bias: int) -> None:
        """Plant at what *elf* has of the functions that read return addresses off the stack."""
        memory = task.memory
        if not self._library or memory is None:
            return
        for symbol in elf.definitions_of(_UNWINDERS):
            place, code = symbol.address + bias, elf.read(symbol.address, elf.architecture.longest_instruction)
            emulation = emulation_of(code, place, 8 * elf.word)
            if emulation is not None and place not in memory.probes and memory.read(place, 1) == code[:1]:
                self._put(task, memory, Probe(place, _UNWINDER, emulation, code[0], is_entry=True, returns=False))

    def plant_vdso(self, task: Task, mappings: list[Mapping]) -> None:
        """Plant at the functions of the vDSO."""
        memory = task.memory
        vdso = next((mapping for mapping in mappings if mapping.path == "[vdso]"), None)
        if not self._vdso or memory is None or vdso is None:
            return
        for door in doors(memory.read(vdso.start, vdso.size), vdso.start):
            place = vdso.start + door.offset
            if place not in memory.probes:
                number = self._number(door.name, "[vdso]")
                first = memory.read(place, 1)[0]
                self._put(task, memory, Probe(place, number, door.emulation, first, is_entry=True, returns=True))

    def _number(self, function: str, module: str) -> int:
        key = function, module
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            self._sink.notes.append("probe", number=self._numbers[key], function=function, module=module or None)
        return self._numbers[key]

    def _put(self, task: Task, memory: Memory, probe: Probe) -> None:
        with contextlib.suppress(OSError):  # code that ptrace may not write stays unseen
            memory.probe(task.tid, probe)

    def hit(self, task: Task, registers: RegisterSet) -> bool:
        """Handle a SIGTRAP of *task*; return whether it was one of our probes or their trap."""
        memory = task.memory
        if memory is None or not memory.probes:
            return False
        registers.read(task.tid)
        words = registers.words
        place = words[_RIP] - _BEHIND
        probe = memory.probes.get(place)
        if probe is None and (place != memory.trap or not place):
            return False
        if probe is not None and probe.emulation.length == 1 and signal_info(task.tid)[1] != _TRAPPED:
            return False  # somebody's SIGTRAP found the thread right behind a one-byte instruction
        memory.tid = task.tid
        if probe is None:
            return self._return(task, memory, registers)
        try:
            self._begin(task, memory, probe, registers)
        except OSError as error:
            if error.errno != EIO:
                raise
            # No stack is left, or there is no such memory: the instruction itself shall find that out.
            with self._pages.excluded():
                memory.lift(task.tid, probe)
            words[_RIP] = probe.address
        registers.write(task.tid)
        return True

    def _begin(self, task: Task, memory: Memory, probe: Probe, registers: RegisterSet) -> None:
        """Carry the probed instruction out, with the trap as return address where the return is to be seen."""
        words, emulation = registers.words, probe.emulation
        sp = words[_RSP] if probe.is_entry else words[_RSP] - memory.word
        now = monotonic_ns()
        back = memory.read_word(sp) if probe.is_entry else emulation.constant
        if probe.returns and not memory.trap:
            # Not before: the code that the trap stands in has to have run.
            with self._pages.excluded():
                memory.arm_trap(task.tid)
        ours = memory.trap if probe.returns else back
        if probe.is_entry and probe.returns:
            memory.pwrite(ours.to_bytes(memory.word, "little"), sp)
        self._push(task, memory, probe, words, emulation.constant if probe.is_entry else ours)
        words[_RIP] = probe.address + emulation.length
        if emulation.apply is not None:
            emulation.apply(words, memory.read)
        if probe.number == _UNWINDER:
            self._put_back(task, memory, now)
        else:
            self._note(task, memory, probe, LibraryFrame(sp, probe.number, back, now, probe.address, 0), registers)

    def _note(self, task: Task, memory: Memory, probe: Probe, frame: LibraryFrame, registers: RegisterSet) -> None:
        """Take down the call that *frame* is, which has begun."""
        # A function entered by a jump finds the return address of the call before it: they share it.
        self._give_up(task, frame.sp - 1 if probe.is_entry else frame.sp, frame.began)
        self._counts["library_begun"] += 1
        if probe.is_entry:
            # The vDSO is called by the C library: who called that is known, or found on the stack.
            frame.site = task.probed[-1].site if task.probed else frame.return_address - 1
            if not task.probed:
                frame.stack = keep_stack(self._sink, memory, frame.began, frame.sp, registers, WRAPPER)
        if probe.returns:
            task.probed.append(frame)
            memory.open_calls[frame.sp] = frame
        else:
            self._record(task, frame, frame.began, 0, ENTRY_ONLY)

    def _put_back(self, task: Task, memory: Memory, now: int) -> None:
        """Put the return addresses of all calls back: the unwinder is about to read them. Their ends are not seen."""
        trap = memory.trap
        for frame in (*reversed(task.probed), *task.stray_library.values()):
            if memory.read_word(frame.sp) == trap:
                memory.pwrite(frame.return_address.to_bytes(memory.word, "little"), frame.sp)
            if frame.is_counted:
                frame.is_counted = False
                self._record(task, frame, now, 0, ENTRY_ONLY)
        task.probed.clear()
        task.stray_library.clear()

    def _push(self, task: Task, memory: Memory, probe: Probe, words: memoryview, back: int) -> None:
        """Do what the instruction does to the stack: a call pushes *back*, an entry may begin with a push or a call."""
        pushes = probe.emulation.pushes
        if pushes == NOTHING:
            return
        value = back if pushes == CONSTANT else words[pushes]
        target = words[_RSP] - memory.word
        data = (value & (1 << 8 * memory.word) - 1).to_bytes(memory.word, "little")
        if target // PAGE in memory.pushed_pages:
            memory.pwrite(data, target)
        else:
            # Perhaps the push is the first to reach this page of the stack: then it is we who bring it in.
            with self._pages.pushing(), _stack_limit_of(task.pid):
                memory.pwrite(data, target)
            memory.pushed_pages.add(target // PAGE)
        words[_RSP] = target

    def _give_up(self, task: Task, sp: int, now: int) -> None:
        """Give up calls that the stack pointer *sp* shows to be left: by a jump, or for another stack."""
        while task.probed and task.probed[-1].sp <= sp:
            frame = task.probed.pop()
            task.stray_library[frame.sp] = frame
            if frame.is_counted:
                frame.is_counted = False
                self._counts["library_left"] += 1
                self._record(task, frame, now, 0, LEFT)

    def _return(self, task: Task, memory: Memory, registers: RegisterSet) -> bool:
        words = registers.words
        frame = self._returning(task, memory, words[_RSP] - memory.word)
        if frame is None:
            return False
        registers.jump(task.tid, frame.return_address)
        if frame.is_counted:
            frame.is_counted = False
            self._counts["library_returned"] += 1
            self._record(task, frame, monotonic_ns(), words[_RAX], RETURNED)
        memory.open_calls.pop(frame.sp, None)
        return True

    def _returning(self, task: Task, memory: Memory, sp: int) -> LibraryFrame | None:
        """Take out the call whose return address stood at *sp*, or, in i386, below the arguments that it popped."""
        lowest = sp if memory.word == 8 else sp - _POPPED
        place = max((frame.sp for frame in task.probed if lowest <= frame.sp <= sp), default=None)
        if place is not None:
            self._give_up(task, place - 1, monotonic_ns())
            return task.probed.pop()
        self._give_up(task, sp - 1, monotonic_ns())
        for others in (task.stray_library, memory.open_calls):
            place = max((place for place in others if lowest <= place <= sp), default=None)
            if place is not None:
                return others.pop(place)
        return None

    def _record(self, task: Task, frame: LibraryFrame, ended: int, result: int, flags: int) -> None:
        if flags == ENTRY_ONLY:
            self._counts["library_unreturned"] += 1
        self._sink.into_libraries.append(
            frame.began, ended, task.pid, task.tid, frame.number, flags, result, frame.site, frame.sp, frame.stack,
        )  # fmt: skip

    def ended(self, task: Task) -> None:
        """*task* ends, or its address space does: the calls it is in never return."""
        now = monotonic_ns()
        for frame in reversed(task.probed):
            if frame.is_counted:
                self._counts["library_unreturned"] += 1
                self._record(task, frame, now, 0, 0)
        task.probed.clear()
        task.stray_library.clear()
        if task.memory is not None:
            task.memory.pushed_pages.clear()  # the C library gives the pages of an ended thread's stack back


@contextlib.contextmanager
def _stack_limit_of(pid: int) -> Iterator[None]:
    """Have the stack limit of *pid* ourselves: a stack that grows by our writing grows as far as we are allowed."""
    soft, hard = getrlimit(RLIMIT_STACK)
    theirs = prlimit(pid, RLIMIT_STACK)[0]
    within = hard == RLIM_INFINITY or 0 <= theirs <= hard
    if theirs == soft or not within:
        yield
        return
    setrlimit(RLIMIT_STACK, (theirs, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_STACK, (soft, hard))


def _returns_once(function: str) -> bool:
    """Whether a call of *function* comes back once, and minds not where to."""
    name = function.lstrip("_")
    return name not in _TWICE | _NEVER | _ASKING and function != "_exit" and not function.startswith(_CHECKING)
