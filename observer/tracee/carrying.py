"""What the instruction under a breakpoint does is done on the task's registers and stack, so that the int3 may stay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from resource import RLIM_INFINITY, RLIMIT_STACK, getrlimit, prlimit, setrlimit
from typing import Protocol

from observer.arch.known import NATIVE
from observer.code.emulation import CONSTANT, LINK, NOTHING
from observer.linux.procfs import PAGE
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.memory import Memory
from observer.tracee.returning import IN_REGISTER
from observer.tracee.task import Task

__all__ = ["Carrying", "Footprint"]

_RIP, _RSP = NATIVE.registers.ip, NATIVE.registers.sp


class Footprint(Protocol):
    """Counts the pages that we bring into a tracee."""

    def excluded(self) -> contextlib.AbstractContextManager[None]:
        """Inside, what is brought in is text for breakpoints."""

    def pushing(self) -> contextlib.AbstractContextManager[None]:
        """Inside, it is stack that the program itself would have reached."""


class Carrying:
    """Carries out instructions of stopped tasks."""

    def __init__(self, pages: Footprint) -> None:
        self._pages = pages

    def carry_out(self, task: Task, memory: Memory, point: Breakpoint, words: memoryview, back: int = 0) -> None:
        """Do what the instruction under *point* does to the registers *words*; a call leaves *back*, if that is given.

        Raises:
            OSError: memory that it reaches is not there; the registers may have been changed.
        """
        emulation = point.emulation
        if emulation.pushes == LINK and IN_REGISTER is not None:
            words[IN_REGISTER] = back or emulation.constant
        elif emulation.pushes != NOTHING:
            target = words[_RSP] - memory.word
            value = words[emulation.pushes] if emulation.pushes != CONSTANT else back or emulation.constant
            self.store(task, memory, value, target, is_remembered=point.nests)
            words[_RSP] = target
        words[_RIP] = point.address + emulation.length
        if emulation.apply is not None:
            emulation.apply(words, memory.read)

    def exchange(
        self, task: Task, memory: Memory, words: memoryview, place: int, sp: int, *, is_remembered: bool
    ) -> None:
        """Have the call that has just begun at the stack pointer *sp* return to *place*."""
        if IN_REGISTER is not None:
            words[IN_REGISTER] = place
        else:
            self.store(task, memory, place, sp, is_remembered=is_remembered)

    def store(self, task: Task, memory: Memory, word: int, address: int, *, is_remembered: bool) -> None:
        """Put *word* on the stack at *address*.

        Perhaps that is the first to reach this page of the stack, or of a forked child's copy of it: then it is we who
        bring it in. Where that is done at each call (*is_remembered*), a page that was reached once is taken for there;
        not where there are threads: one may be forking, which shares the pages of all before we are told.
        """
        data = (word & (1 << 8 * memory.word) - 1).to_bytes(memory.word, "little")
        page = address // PAGE
        memory.has_threads |= task.tid != task.pid
        if is_remembered and page in memory.pushed_pages and not memory.has_threads:
            memory.pwrite(data, address)
            return
        with self._pages.pushing(), _stack_limit_of(task.pid):
            memory.pwrite(data, address)
        memory.pushed_pages.add(page)


@contextlib.contextmanager
def _stack_limit_of(pid: int) -> Iterator[None]:
    """Have the stack limit of *pid* ourselves: a stack that grows by our writing grows as far as we are allowed."""
    soft, hard = getrlimit(RLIMIT_STACK)
    try:
        theirs = prlimit(pid, RLIMIT_STACK)[0]
    except PermissionError:  # it has become another user's
        theirs = soft
    within = hard == RLIM_INFINITY or 0 <= theirs <= hard
    if theirs == soft or not within:
        yield
        return
    setrlimit(RLIMIT_STACK, (theirs, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_STACK, (soft, hard))
